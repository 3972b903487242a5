"""HTTP/1.1 heads: written and read without a socket (RFC 9112).

Bodies do not pass through here but for chunked ones: a body of known length goes
straight between socket and file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httptools

from transfer.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a connection goes."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Read the address out of a URL; UsageError if there is none."""
        scheme, _, rest = url.partition("://")
        return _address(f"{scheme}://{rest.partition('/')[0]}")


@lru_cache(maxsize=64)
def _address(url: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UsageError("not an address that can be requested") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise UsageError("not an address that can be requested")
    return Address(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])


def request_head(method: str, url: str, headers: Mapping[str, str], length: int | None) -> bytes:
    """Return the head of a request; the URL goes out as it is, byte for byte.

    `length` is that of the body, None for no body. Raises UsageError for what
    must not be sent: a header with a line break would be two.
    """
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    target = f"/{path}" if slash else "/"
    host = authority.rpartition("@")[2].removesuffix(f":{_PORTS.get(scheme, 0)}")
    if not _TARGET.fullmatch(target) or not _TARGET.fullmatch(host):
        raise UsageError("not an address that can be requested")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    names = set()
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UsageError(f"the header {ascii(name)[:60]} cannot be sent")
        lines.append(f"{name}: {value}")
        names.add(name.lower())
    if length is not None and "content-length" not in names:
        lines.append(f"Content-Length: {length}")
    if "user-agent" not in names:
        lines.append("User-Agent: multipart-transfer")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


@dataclass(slots=True)
class Head:
    """The head of an answer, and how its body ends.

    `length` is None where only the end of the connection, or of the chunks, says so.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunked: bool = False
    keep_alive: bool = True


class HeadReader:
    """Takes bytes in until a head is complete; `rest` is what came behind it."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._data = b""
        self._interim = 0
        self.rest = b""

    def feed(self, data: bytes) -> Head | None:
        """Take in bytes; return the head when it is complete. Raises ProtocolError."""
        data = self._data + data if self._data else data
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD:
                    raise ProtocolError(f"an answer with a head of more than {MAX_HEAD} bytes")
                self._data = data
                return None
            head = _parsed(data[: end + 4], self._method)
            data = data[end + 4 :]
            if head.status >= 200:
                self.rest = data
                return head
            # 1xx: the real answer is still to come, though not for ever.
            self._interim += end + 4
            if self._interim > MAX_HEAD:
                raise ProtocolError("an answer that never begins")


class ChunkedBody:
    """Takes a chunked body apart; `overrun` tells that something came behind it."""

    def __init__(self, head: Head) -> None:
        self._pieces: list[bytes] = []
        self.complete = self.overrun = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(_chunked_head(head))

    def on_body(self, data: bytes) -> None:
        """Called by the parser."""
        if not self.complete:
            self._pieces.append(data)

    def on_message_begin(self) -> None:
        """Called by the parser: for the body's own head, and for what is behind it."""
        self.overrun = self.complete

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.complete = True

    def feed(self, data: bytes) -> list[bytes]:
        """Take in bytes as they came; return what of the body is in them."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            raise ProtocolError("an answer with broken chunks") from None
        pieces, self._pieces = self._pieces, []
        return pieces


class _Collector:
    __slots__ = ("headers",)

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in self.headers:
            if key == "content-length" and self.headers[key] != text:
                raise ProtocolError("an answer with two lengths")
            text = f"{self.headers[key]}, {text}" if key != "content-length" else text
        self.headers[key] = text


def _parsed(data: bytes, method: str) -> Head:
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(data)
        status = parser.get_status_code()
    except httptools.HttpParserCallbackError as error:
        raise error.__context__ or error from None
    except httptools.HttpParserError:
        raise ProtocolError("an answer that is not HTTP") from None
    headers = collector.headers
    head = Head(status, headers)
    head.chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    if method == "HEAD" or status in {204, 304} or status < 200:
        head.length, head.chunked = 0, False
    elif not head.chunked and "content-length" in headers:
        text = headers["content-length"]
        if not text.isdecimal() or len(text) > 19:
            raise ProtocolError("an answer with a length that is none")
        head.length = int(text)
    connection = headers.get("connection", "").lower()
    old = data.startswith(b"HTTP/1.0") and "keep-alive" not in connection
    head.keep_alive = "close" not in connection and not old
    return head


def _chunked_head(head: Head) -> bytes:
    return f"HTTP/1.1 {head.status} -\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
