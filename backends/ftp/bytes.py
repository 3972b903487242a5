"""Bytes over FTP's data connections, and what proves that they arrived.

A data connection just ends, whether its file was whole or not. So the reply that
follows is waited for, and sizes are compared; checksums too, where the server
can be asked for them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio.to_thread

from backends.ftp.connections import check_progress
from transfer.checksums import Algorithm, new_digest
from transfer.errors import SourceChangedError
from transfer.mover.stall import StallWatch

if TYPE_CHECKING:
    from aioftp.client import DataConnectionThrottleStreamIO
    from typing_extensions import Buffer

    from backends.ftp.connections import Connection
    from transfer.checksums import Digest
    from transfer.store import Sink, Source
    from transfer.tally import Tally

PIECE = 256 * 1024
BUFFER = 2 << 20
# Bytes that a socket may take before the writer has to wait.
_UNSENT = 512 * 1024


async def store(
    connection: Connection,
    path: str,
    source: Source,
    tally: Tally,
    *,
    digest: Digest | None,
    stall_timeout: float,
) -> None:
    """Write a whole source to a path, as one file."""
    async with connection.data(f"STOR {path}") as stream:
        sink = _StreamSink(stream, digest)
        try:
            with StallWatch(lambda: sink.sent, lambda: stall_timeout) as watch:
                await source.pour(sink, tally)
            check_progress(watch.stalled, stall_timeout)
            await connection.finish(stream)
        except ConnectionError:
            await connection.verdict(stream)
            raise


class _StreamSink:
    extent = None

    def __init__(self, stream: DataConnectionThrottleStreamIO, digest: Digest | None) -> None:
        self._stream = stream
        self._digest = digest
        self.sent = 0
        stream.writer.transport.set_write_buffer_limits(high=_UNSENT)

    async def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), PIECE):
            # The transport may keep what the socket does not take at once.
            piece = bytes(view[begin : begin + PIECE])
            await _hash(self._digest, piece)
            await self._stream.write(piece)
            self.sent += len(piece)
        del offset


async def fetch(
    connection: Connection,
    path: str,
    target: Target,
    *,
    start: int,
    stall_timeout: float,
) -> None:
    """Read a range of a file into a sink, from byte `start` of what the server sends.

    `target` skips what comes before the range. Raises SourceChangedError if the
    file ends earlier, or goes on where the object should end.
    """
    async with connection.data(f"RETR {path}", start) as stream:
        more = b""
        with StallWatch(lambda: target.seen, lambda: stall_timeout) as watch:
            while target.wanted and (data := await _read(stream, target.wanted)):
                await target.take(data)
            if target.to_the_end and not target.wanted:
                more = await stream.reader.read(1)
        check_progress(watch.stalled, stall_timeout)
        if target.wanted:
            # Its reply tells a file that has ended from a connection that was cut.
            await connection.finish(stream)
            raise SourceChangedError(f"{path} became shorter while it was read")
        if not target.to_the_end:
            await connection.give_up(stream)
            return
        if more:
            raise SourceChangedError(f"{path} became longer while it was read")
        await connection.finish(stream)


async def starts_where_asked(
    connection: Connection, path: str, size: int, *, stall_timeout: float
) -> bool:
    """Ask for the last byte of a file alone; tell whether that, and no more, is what comes.

    There are servers that say 350 to REST, and send everything.
    """
    async with connection.data(f"RETR {path}", size - 1) as stream:
        if len(await read_all(stream, 2, stall_timeout=stall_timeout)) == 1:
            await connection.finish(stream)
            return True
        await connection.give_up(stream)
        return False


async def read_all(
    stream: DataConnectionThrottleStreamIO, most: float = math.inf, *, stall_timeout: float
) -> bytes:
    """Return all that comes until the end, or until it is as much as is wanted at most."""
    data = bytearray()
    with StallWatch(lambda: len(data), lambda: stall_timeout) as watch:
        while len(data) < most and (piece := await stream.reader.read(PIECE)):
            data += piece
    check_progress(watch.stalled, stall_timeout)
    return bytes(data)


class Target:
    """A range that is cut out of a stream: so many bytes are skipped, then so many wanted."""

    def __init__(self, sink: Sink, tally: Tally, *, skip: int, size: int, to_the_end: bool) -> None:
        self._sink = sink
        self._tally = tally
        self._skip = skip
        self._size = size
        self.to_the_end = to_the_end
        self.seen = 0
        self._last = b""

    @property
    def wanted(self) -> int:
        """Bytes still to come."""
        return self._skip + self._size - self.seen

    async def take(self, data: bytes) -> None:
        """Take in the next bytes; the last of them are kept back until `release`."""
        begin = self.seen
        self.seen += len(data)
        piece = data[max(0, self._skip - begin) :]
        if not piece:
            return
        if not self.wanted:
            self._last = piece
            return
        await self._write(begin, piece)

    async def release(self) -> None:
        """Let the last bytes go: what was read has proved to be what was opened."""
        if self._last:
            await self._write(self.seen - len(self._last), self._last)

    async def _write(self, begin: int, piece: bytes) -> None:
        self._tally.update(piece)
        await self._sink.write(max(begin, self._skip) - self._skip, piece)


def digest_for(algorithm: Algorithm | None) -> Digest | None:
    """Start a checksum that a server can be asked for too."""
    return new_digest(algorithm) if algorithm is not None else None


async def _read(stream: DataConnectionThrottleStreamIO, wanted: int) -> bytes:
    """Return the next bytes, not too few of them; none at the end."""
    pieces: list[bytes] = []
    missing = min(PIECE, wanted)
    while missing and (data := await stream.reader.read(missing)):
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


async def _hash(digest: Digest | None, piece: bytes) -> None:
    if digest is not None:
        await anyio.to_thread.run_sync(digest.update, piece)
