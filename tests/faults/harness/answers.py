"""Answers, and how they are put on the wire: also in ways that no decent server would."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable


@dataclass
class Answer:
    """A status, headers and a body.

    `framing` says how the end of the body is told. `length` is the Content-Length
    that is claimed, where it is not that of the body; `cut` ends the connection
    after so many bytes of the body. `prelude` makes what is sent before the body,
    piece by piece, behind the head. `raw` replaces everything. `closes` ends the
    connection; `code` is the store's own word for an error.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    framing: Literal["length", "chunked", "close"] = "length"
    length: int | None = None
    cut: int | None = None
    prelude: Callable[[], AsyncIterator[bytes]] | None = None
    raw: bytes | None = None
    closes: bool = False
    rst: bool = False
    code: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


async def write_answer(writer: asyncio.StreamWriter, answer: Answer, *, head_only: bool) -> int:
    """Write an answer; return how many bytes of its body went out."""
    if answer.raw is not None:
        writer.write(answer.raw)
        await writer.drain()
        return len(answer.raw)
    bodiless = head_only or answer.status in {204, 304}
    writer.write(_head(answer, head_only=head_only))
    if bodiless:
        await writer.drain()
        return 0
    if answer.prelude is not None:
        async for piece in answer.prelude():
            writer.write(_framed(answer, piece))
            await writer.drain()
    body = answer.body if answer.cut is None else answer.body[: answer.cut]
    if body:
        writer.write(_framed(answer, body))
    if answer.framing == "chunked" and answer.cut is None:
        writer.write(b"0\r\n\r\n")
    await writer.drain()
    return len(body)


def _head(answer: Answer, *, head_only: bool) -> bytes:
    headers = dict(answer.headers)
    if answer.framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
    elif answer.framing == "close":
        headers["Connection"] = "close"
    elif answer.status not in {204, 304} or answer.length is not None:
        length = len(answer.body) if answer.length is None else answer.length
        if not (head_only and "Content-Length" in headers):
            headers["Content-Length"] = str(length)
    if answer.closes or answer.cut is not None:
        headers.setdefault("Connection", "close")
    try:
        reason = HTTPStatus(answer.status).phrase
    except ValueError:
        reason = "Whatever"
    lines = [f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _framed(answer: Answer, piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece) if answer.framing == "chunked" else piece
