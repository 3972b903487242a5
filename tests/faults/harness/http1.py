"""HTTP/1.1 as a server sees it, byte for byte: no library that smooths things over.

Names of headers are kept in lower case, values and the target exactly as sent
(Latin-1, so that encoding them again gives the bytes back). Source: RFC 9112.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

MAX_HEAD = 64 * 1024
PIECE = 64 * 1024


class BadHttpError(Exception):
    """The peer sent what is no HTTP request."""


class TruncatedError(Exception):
    """The connection ended inside a body."""


@dataclass
class Request:
    """The head of a request; `query` holds names and values as sent, still encoded."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    path: str = ""
    query: list[tuple[str, str]] = field(default_factory=list)

    def header(self, name: str) -> str | None:
        """Return a header's value, or its values with commas."""
        values = [value for key, value in self.headers if key == name]
        return ",".join(values) if values else None

    def param(self, name: str) -> str | None:
        """Return a parameter of the query, decoded; None if it is not there."""
        for key, value in self.query:
            if decoded(key) == name:
                return decoded(value)
        return None

    @property
    def keeps_alive(self) -> bool:
        """Whether the client may send another request on this connection."""
        return (self.header("connection") or "").lower() != "close"


def decoded(text: str) -> str:
    """Decode percent-encoding; bytes that are no UTF-8 stay visible as surrogates."""
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "surrogateescape")


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """Read a head; None at the end of the connection. Raises BadHttpError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadHttpError("the connection ended inside a head") from None
        return None
    except asyncio.LimitOverrunError:
        raise BadHttpError("a head that is too long") from None
    return parse_head(head)


def parse_head(head: bytes) -> Request:
    """Parse a request line and headers; raises BadHttpError."""
    lines = head.decode("latin-1").removesuffix("\r\n\r\n").lstrip("\r\n").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not words[1].startswith("/"):
        raise BadHttpError(f"no request line: {lines[0][:80]!r}")
    headers = [_header(line) for line in lines[1:]]
    if words[2] == "HTTP/1.0":
        headers = [pair for pair in headers if pair[0] != "connection"]
        headers.append(("connection", "close"))
    request = Request(words[0], words[1], headers)
    request.path, _, query = words[1].partition("?")
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        request.query.append((name, value))
    lengths = {value for name, value in headers if name == "content-length"}
    if len(lengths) > 1 or (lengths and request.header("transfer-encoding") is not None):
        raise BadHttpError("it is not clear where the body ends")
    return request


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name or name != name.strip():
        raise BadHttpError(f"no header: {line[:80]!r}")
    return name.lower(), value.strip(" \t")


class Body:
    """The body of a request, read when somebody asks for it; `received` counts its bytes.

    `go_ahead` is called before the first read: it sends 100 Continue to who waits
    for that. Raises TruncatedError if the connection ends before the body does.
    """

    def __init__(self, reader: asyncio.StreamReader, request: Request, go_ahead=None) -> None:
        self._reader = reader
        self._go_ahead = go_ahead
        coding = (request.header("transfer-encoding") or "").lower()
        self.chunked = coding == "chunked"
        if coding and not self.chunked:
            raise BadHttpError(f"unknown transfer coding {coding[:40]!r}")
        length = request.header("content-length")
        if length is not None and not length.isdecimal():
            raise BadHttpError("no content length")
        self.length = int(length) if length is not None else None
        self.received = 0
        self.data = b""
        self.ended = not self.chunked and not self.length

    @property
    def awaited(self) -> bool:
        """Whether the client waits to be told to send it."""
        return self._go_ahead is not None

    async def read(self) -> bytes:
        """Return the whole body; asked again, the same."""
        pieces = [self.data]
        while piece := await self.piece():
            pieces.append(piece)
        self.data = b"".join(pieces)
        return self.data

    async def some(self, count: int) -> None:
        """Read until `count` bytes have come, or all of them; `read` will return them too."""
        while self.received < count and (piece := await self.piece()):
            self.data += piece

    async def discard(self, limit: int) -> None:
        """Read and forget what is left, at most so many bytes."""
        while limit > 0 and (piece := await self.piece()):
            limit -= len(piece)

    async def piece(self) -> bytes:
        """Return the next bytes of the body as they arrive; none at its end."""
        if self.ended:
            return b""
        if self._go_ahead is not None:
            self._go_ahead()
            self._go_ahead = None
        return await (self._chunk() if self.chunked else self._rest())

    async def _rest(self) -> bytes:
        length = self.length or 0
        piece = await self._reader.read(min(PIECE, length - self.received))
        if not piece:
            raise TruncatedError
        self.received += len(piece)
        self.ended = self.received == length
        return piece

    async def _chunk(self) -> bytes:
        size = _chunk_size(await self._line())
        if not size:
            while await self._line():
                pass
            self.ended = True
            return b""
        try:
            piece = await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            self.received += len(error.partial)
            raise TruncatedError from None
        if await self._line():
            raise BadHttpError("a chunk that does not end where it said")
        self.received += size
        return piece

    async def _line(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise TruncatedError from None


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise BadHttpError("no chunk size") from None
