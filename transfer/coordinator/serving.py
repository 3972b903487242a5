"""Answering a GET with an object: whole or one range, as HTTP has it (RFC 9110)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from transfer.content_types import UNKNOWN, content_type_of
from transfer.coordinator.relay import RelayResponse
from transfer.coordinator.requests import OutOfRangeError, range_of
from transfer.model import Span
from transfer.tally import Tally
from transfer.wire import CHECKSUM_HEADER

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from transfer.coordinator.state import Coordinator
    from transfer.model import ObjectInfo


async def serve_object(request: Request, coordinator: Coordinator, key: str) -> Response:
    """Return the answer to a GET or HEAD for an object."""
    info = await coordinator.objects.stat(key)
    headers = _headers(info, key)
    if _not_wanted(request, info):
        return Response(status_code=412)
    # A client that goes on with another version gets all of this one.
    goes_on = request.headers.get("if-range") in {None, headers.get("etag")}
    try:
        span = range_of(request, info.size) if goes_on else None
    except OutOfRangeError:
        return Response(status_code=416, headers={"content-range": f"bytes */{info.size}"})
    if span is not None:
        headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{info.size}"
    status = 200 if span is None else 206
    return _ObjectResponse(coordinator, key, info, span or Span(0, info.size), (status, headers))


class _ObjectResponse(Response):
    """Opens the object when the answer begins, and closes it with its end."""

    def __init__(
        self,
        coordinator: Coordinator,
        key: str,
        info: ObjectInfo,
        span: Span,
        head: tuple[int, dict[str, str]],
    ) -> None:
        super().__init__(status_code=head[0], headers=head[1])
        self._coordinator = coordinator
        self._key = key
        self._info = info
        self._span = span
        self._given = head[1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(
                self._coordinator.objects.open(self._key, self._info)
            )
            relay = RelayResponse(
                opened.source(self._span),
                Tally(),
                self._coordinator.counters,
                status=self.status_code,
                headers=self._given,
            )
            await relay(scope, receive, send)


def _headers(info: ObjectInfo, key: str) -> dict[str, str]:
    name = key.rpartition("/")[2]
    kind = info.content_type or content_type_of(name) or UNKNOWN
    headers = {
        "accept-ranges": "bytes",
        "content-type": kind,
        # A browser must not take an artifact for a page of this origin.
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "x-content-type-options": "nosniff",
    }
    if info.version:
        headers["etag"] = f'"{info.version.strip(chr(34))}"'
    if info.modified is not None:
        headers["last-modified"] = formatdate(info.modified, usegmt=True)
    if info.checksum is not None:
        headers[CHECKSUM_HEADER] = str(info.checksum)
    return headers


def _not_wanted(request: Request, info: ObjectInfo) -> bool:
    """Whether If-Match names another version."""
    wanted = request.headers.get("if-match")
    if wanted is None or wanted == "*":
        return False
    return (info.version or "").strip('"') not in {tag.strip(' "') for tag in wanted.split(",")}
