"""The session that the libraries for Google's APIs ask through, on our own mover.

So their calls take the same way as everything else: its proxies, its trust, its
time-outs, no redirects, and no life of its own that somebody has to end. What the
library calls a response is an answer that was read already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.redaction import redact
from transfer.signing import quote_value
from transfer.sizes import MIB
from transfer.statuses import error_of_status
from transfer.store import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transfer.errors import TransferError
    from transfer.store import Mover


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came back with."""

    body: bytes

    async def read(self) -> bytes:
        """Return the body."""
        return self.body

    async def text(self) -> str:
        """Return the body as text."""
        return self.body.decode(errors="replace")

    async def json(self, **_: object) -> Any:
        """Return the body's value; raises ValueError."""
        return json.loads(self.body)


class MoverSession:
    """Makes the calls of `gcloud.aio.auth.AioSession` that are needed here.

    Raises what `error_of` an answer that is no success returns. `most` bounds an
    answer, in bytes.
    """

    def __init__(
        self,
        mover: Mover,
        error_of: Callable[[Response], TransferError] | None = None,
        *,
        most: int = MIB,
    ) -> None:
        self._mover = mover
        self._error_of = error_of
        self._most = most

    async def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,  # noqa: ASYNC109 - the library's own name for it
        params: Mapping[str, str] | None = None,
        **_: object,
    ) -> Answer:
        """Ask with GET."""
        return await self._ask("GET", _with(url, params), headers or {}, timeout)

    async def delete(
        self,
        url: str,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        timeout: float = 10,  # noqa: ASYNC109 - as above
    ) -> Answer:
        """Ask with DELETE."""
        return await self._ask("DELETE", _with(url, params), headers, timeout)

    async def post(
        self,
        url: str,
        data: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,  # noqa: ASYNC109 - as above
        **_: object,
    ) -> Answer:
        """Ask with POST."""
        body = data.encode() if isinstance(data, str) else data
        sent = {**(headers or {}), "Content-Length": str(len(body))}
        return await self._ask("POST", url, sent, timeout, body)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], patience: float, body: bytes = b""
    ) -> Answer:
        request = Request(method, url, headers, patience=patience, body=body, most=self._most)
        answer = await self._mover.exchange(request)
        if answer.ok:
            return Answer(answer.body)
        if self._error_of is not None:
            raise self._error_of(answer)
        message = f"{redact(url)}: {answer.status}{_said(answer)}"
        raise error_of_status(answer.status, answer.headers, message)


def _with(url: str, params: Mapping[str, str] | None) -> str:
    """Return a URL with its query; spaces are %20, which nobody takes for a plus."""
    return f"{url}?{encoded(params)}" if params else url


def encoded(query: Mapping[str, str]) -> str:
    """Return a query."""
    return "&".join(f"{name}={quote_value(value)}" for name, value in query.items())


def _said(answer: Response) -> str:
    """Return what an error's body says, in brackets: OAuth's way, or that of Google's APIs."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return ""
    said = found.get("error", "") if isinstance(found, dict) else ""
    if isinstance(said, dict):
        said = said.get("message", "")
    more = found.get("error_description", "") if isinstance(found, dict) else ""
    words = " ".join(f"{said} {more}".split())[:200]
    return f" ({words})" if words.isprintable() and words else ""
