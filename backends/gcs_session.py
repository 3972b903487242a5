"""The session that gcloud-aio-auth asks through, on our own mover.

So tokens take the same way as everything else: its proxies, its trust, its
time-outs, no redirects, and no life of its own that somebody has to end. What the
library calls a response is an answer that was read already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transfer.redaction import redact
from transfer.statuses import error_of_status
from transfer.store import Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.store import Mover


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call came back with."""

    body: bytes

    async def text(self) -> str:
        """Return the body."""
        return self.body.decode(errors="replace")

    async def json(self) -> Any:
        """Return the body's value; raises ValueError."""
        return json.loads(self.body)


class MoverSession:
    """Makes the two calls of `gcloud.aio.auth.AioSession` that tokens need.

    Raises TransferError for what is no success.
    """

    def __init__(self, mover: Mover) -> None:
        self._mover = mover

    async def get(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10,  # noqa: ASYNC109 - the library's own name for it
        **_: object,
    ) -> Answer:
        """Ask with GET."""
        return await self._ask(Request("GET", url, headers or {}, patience=timeout))

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
        return await self._ask(Request("POST", url, sent, patience=timeout, body=body))

    async def _ask(self, request: Request) -> Answer:
        answer = await self._mover.exchange(request)
        if not answer.ok:
            message = f"{redact(request.url)}: {answer.status}{_said(answer)}"
            raise error_of_status(answer.status, answer.headers, message)
        return Answer(answer.body)


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
