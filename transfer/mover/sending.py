"""Sending a body that is a range of a file: the byte path of uploads.

What only has to be counted is sent by the kernel. What is hashed on the way passes
through one of the few buffers that all share (see `buffers`), as long as the file is
in memory and the socket takes what it gets: two connections at a time, whose buffers
stay in the caches, cost less than eight with one each. Nobody holds such a buffer who
has to wait. Where the file or the line is slow, and for TLS, which takes all of a
piece or nothing, each thread has a buffer of its own.

The last bytes of a source are held back until it was seen to be unchanged.
"""

from __future__ import annotations

import os
import time
from contextlib import closing
from typing import TYPE_CHECKING

from transfer.files import local_errors, read_exactly
from transfer.mover.buffers import HELD, own_buffer
from transfer.mover.connection import MORE, WITH_HEAD
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Generator

    from transfer.mover.buffers import Buffers
    from transfer.mover.connection import Connection
    from transfer.store import Extent
    from transfer.tally import Tally

# Held back until the source was checked.
_LAST = 64 * 1024
# What is not in memory, or on a disk as fast, comes in less than so many bytes a second;
# a thread that had to wait for a processor may take so many seconds more.
_FROM_MEMORY = 500e6
_PREEMPTED = 0.004
_FIRST_SLICE = 256 * 1024
_LARGEST_SLICE = 4 * MIB


def send_source(
    connection: Connection, buffers: Buffers, head: bytes, source: Extent, tally: Tally
) -> bool:
    """Send a head and a range of a file; False if an answer came before the end.

    Raises OSError of the socket, LocalError and SourceChangedError of the file.
    """
    size = source.span.size
    if size <= WITH_HEAD:
        last = _last(source, 0, tally)
        connection.sock.sendall(head + last)
        tally.advance(len(last))
        return True
    connection.sock.sendall(head, *(() if connection.encrypted else (MORE,)))
    outgoing = _Outgoing(connection, source, size - _LAST, tally)
    with closing(outgoing.pieces(buffers)) as pieces:
        for _ in pieces:
            if connection.answering():
                return False  # there is no use in going on
    last = _last(source, size - _LAST, tally)
    connection.send_last(last)
    tally.advance(len(last))
    return True


class _Outgoing:
    """What of a source is to be sent up to `stop`, and how far that is."""

    def __init__(self, connection: Connection, source: Extent, stop: int, tally: Tally) -> None:
        self._connection = connection
        self._source = source
        self._stop = stop
        self._tally = tally
        self._offset = 0

    def pieces(self, buffers: Buffers) -> Generator[None]:
        """Send piece by piece."""
        if not self._connection.encrypted:
            if not self._tally.hashes:
                yield from self._by_kernel()
            yield from self._without_waiting(buffers)
        yield from self._with_own_buffer()

    def _by_kernel(self) -> Generator[None]:
        slices = _SliceSize()
        while self._offset < self._stop:
            start = self._source.span.start + self._offset
            began = time.monotonic()
            size = min(slices.size, self._stop - self._offset)
            try:
                count = self._connection.send_slice(self._source.fd, start, size)
            except OSError:
                # Of the file, or of the socket? Only the file can be asked.
                self._check_readable(start, size)
                raise
            if not count:
                self._check_readable(start, 1)
            self._took(slices, began)
            self._moved(count)
            yield

    def _without_waiting(self, buffers: Buffers) -> Generator[None]:
        """Send with a buffer that others use too, until there is something to wait for."""
        connection = self._connection
        while self._offset < self._stop and not connection.slow:
            with buffers.one() as buffer:
                keeps_up = self._while_taken(buffer)
            if not keeps_up:
                return
            if self._offset < self._stop:
                connection.wait_to_send()
            yield

    def _while_taken(self, buffer: memoryview) -> bool:
        """Send what the socket takes at once; tell whether the file keeps up."""
        enough = time.monotonic() + HELD
        while self._offset < self._stop:
            began = time.monotonic()
            piece = self._read(buffer[: self._connection.appetite])
            now = time.monotonic()
            sent = self._connection.send_some(piece)
            self._sent(piece[:sent])
            if now - began > _PREEMPTED + len(piece) / _FROM_MEMORY:
                return False
            if sent < len(piece) or now > enough:
                break
        return True

    def _with_own_buffer(self) -> Generator[None]:
        """Send piece by piece, and wait for what has to be waited for."""
        buffer, slices = own_buffer(), _SliceSize()
        while self._offset < self._stop:
            piece = self._read(buffer[: slices.size])
            began = time.monotonic()
            self._connection.sock.sendall(piece)
            self._took(slices, began)
            self._sent(piece)
            yield

    def _took(self, slices: _SliceSize, began: float) -> None:
        took = time.monotonic() - began
        slices.adapt(took)
        self._connection.took(took)

    def _read(self, room: memoryview) -> memoryview:
        room = room[: self._stop - self._offset]
        start = self._source.span.start + self._offset
        with local_errors("read", "the source"):
            count = os.preadv(self._source.fd, [room], start)
            if not count:
                self._check_readable(start, 1)
        return room[:count]

    def _check_readable(self, start: int, size: int) -> None:
        """Raise what keeps these bytes from being read, if anything does."""
        with local_errors("read", "the source"):
            read_exactly(self._source.fd, size, start)

    def _sent(self, piece: memoryview) -> None:
        self._tally.hash(piece)
        self._moved(len(piece))

    def _moved(self, count: int) -> None:
        self._offset += count
        self._tally.advance(count)


class _SliceSize:
    """How much to hand over in one call: what passes in a moment, so that progress shows."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = _FIRST_SLICE

    def adapt(self, took: float) -> None:
        """Learn from the last call, which took so many seconds."""
        if took < 0.02:
            self.size = min(self.size * 2, _LARGEST_SLICE)
        elif took > 0.5:
            self.size = max(self.size // 2, 64 * 1024)


def _last(source: Extent, offset: int, tally: Tally) -> bytes:
    """Return the last bytes of the source, once it was seen to be unchanged."""
    with local_errors("read", "the source"):
        data = read_exactly(source.fd, source.span.size - offset, source.span.start + offset)
    if source.check is not None:
        source.check()
    tally.hash(data)
    return data
