"""Where HTTP messages begin and end in a stream of bytes that somebody else parses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


# What is longer is no HTTP, and has no end.
_MAX_HEAD = 1024**2


@dataclass(frozen=True)
class Piece:
    """Bytes of one message; `first` and `last` say whether it begins or ends here."""

    data: bytes
    number: int
    first: bool
    last: bool


class Messages:
    """Cuts one direction of a connection into messages, as its bytes come.

    `methods` is filled by the direction of requests and emptied by that of
    responses: an answer to HEAD has no body. 100 Continue counts as part of the
    message behind it.
    """

    def __init__(self, methods: list[bytes], *, responses: bool) -> None:
        self._methods = methods
        self._responses = responses
        self._number = 0
        self._inside = False
        self._head = b""
        # Bytes of the body still to come; None: no end is announced.
        self._left: int | None = 0
        self._chunks = False

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yield the pieces that these bytes are, in order."""
        while data:
            first = not self._inside
            if first:
                self._inside, self._head, self._left, self._chunks = True, b"", -1, False
                self._number += 1
            taken = self._take(data)
            last = self._left == 0
            yield Piece(data[:taken], self._number, first, last)
            data = data[taken:]
            self._inside = not last

    def _take(self, data: bytes) -> int:
        if self._left is None:
            return len(data)
        if self._left > 0:
            taken = min(self._left, len(data))
            # Behind a chunk comes the line of the next one.
            self._left = (self._left - taken) or (-1 if self._chunks else 0)
            return taken
        return self._take_chunk_line(data) if self._chunks else self._take_head(data)

    def _take_head(self, data: bytes) -> int:
        before = len(self._head)
        self._head += data
        end = self._head.find(b"\r\n\r\n", max(0, before - 3))
        if end < 0:
            if len(self._head) > _MAX_HEAD:
                self._left = None
            return len(data)
        head = self._head[: end + 4]
        self._head = b""
        interim = self._responses and re.match(rb"HTTP/1\.\d 1\d\d ", head)
        self._left = -1 if interim else self._body_of(head)
        return end + 4 - before

    def _body_of(self, head: bytes) -> int | None:
        method = head.split(b" ", 1)[0]
        if self._responses:
            asked = self._methods.pop(0) if self._methods else b""
            if asked == b"HEAD" or re.match(rb"HTTP/1\.\d (204|304) ", head):
                return 0
        else:
            self._methods.append(method)
        if re.search(rb"\r\ntransfer-encoding: *chunked\r\n", head, re.IGNORECASE):
            self._chunks = True
            return -1
        length = re.search(rb"\r\ncontent-length: *(\d+)\r\n", head, re.IGNORECASE)
        if length is not None:
            return int(length[1])
        return None if self._responses else 0

    def _take_chunk_line(self, data: bytes) -> int:
        """A line with a size, or an empty one behind the last chunk (trailers pass as lines)."""
        before = len(self._head)
        self._head += data
        end = self._head.find(b"\r\n")
        if end < 0:
            return len(data)
        line = self._head[:end]
        self._head = b""
        size = re.fullmatch(rb"([0-9a-fA-F]+) *(;.*)?", line)
        if size is not None and int(size[1], 16):
            # The bytes of the chunk, and the end of the line behind them.
            self._left = int(size[1], 16) + 2
        elif not line:
            self._left = 0
        return end + 2 - before
