"""Answering a GET with an object: whole or one range, as HTTP has it (RFC 9110)."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from transfer.content_types import UNKNOWN, content_type_of
from transfer.coordinator.relay import RelayResponse
from transfer.coordinator.requests import OutOfRangeError, range_of
from transfer.errors import SourceChangedError
from transfer.model import Span
from transfer.tally import Tally
from transfer.wire import CHECKSUM_HEADER

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from transfer.coordinator.state import Coordinator
    from transfer.model import ObjectInfo
    from transfer.store import OpenObject


# Somebody may replace an object just when it is asked for, but hardly ever that often.
_LOOKS = 3


async def serve_object(request: Request, coordinator: Coordinator, key: str) -> Response:
    """Return the answer to a GET or HEAD for an object."""
    info = await coordinator.objects.stat(key)
    return _ObjectResponse(request, coordinator, info)


class _ObjectResponse(Response):
    """Opens the object when the answer begins, and closes it with its end.

    What the head says, it says of what was opened: another object may have taken
    the place of the one that was looked at.
    """

    def __init__(self, request: Request, coordinator: Coordinator, info: ObjectInfo) -> None:
        super().__init__()
        self._request = request
        self._coordinator = coordinator
        self._info = info

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            opened = await self._open(stack)
            await self._answer(opened)(scope, receive, send)

    async def _open(self, stack: AsyncExitStack) -> OpenObject:
        """Open what was looked at; if it was replaced in between, look again."""
        objects, key = self._coordinator.objects, self._info.key
        for look in range(_LOOKS):
            if look:
                self._info = await objects.stat(key)
            with suppress(SourceChangedError):
                opened = await stack.enter_async_context(objects.open(key, self._info))
                if opened.info.size == self._info.size:
                    return opened
        raise SourceChangedError(f"{key} is replaced again and again", hint="try it later")

    def _answer(self, opened: OpenObject) -> Response:
        request, info = self._request, self._info
        if _not_wanted(request, info):
            return Response(status_code=412)
        headers = _headers(info)
        # A client that goes on with another version gets all of this one.
        goes_on = request.headers.get("if-range") in {None, headers.get("etag")}
        try:
            span = range_of(request, info.size) if goes_on else None
        except OutOfRangeError:
            return Response(status_code=416, headers={"content-range": f"bytes */{info.size}"})
        if span is not None:
            headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{info.size}"
        return RelayResponse(
            opened.source(span or Span(0, info.size)),
            Tally(),
            self._coordinator.counters,
            status=200 if span is None else 206,
            headers=headers,
            stall_timeout=self._coordinator.settings.stall_timeout,
        )


def _headers(info: ObjectInfo) -> dict[str, str]:
    name = info.key.rpartition("/")[2]
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
