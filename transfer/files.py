"""Local files as sources and sinks: positioned reads and writes, in threads.

Everything here works on an open descriptor and an offset, so that any number of
parts of one file move at once and a retry reads again from the part's start.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from transfer.checksums import new_digest
from transfer.errors import (
    BadKeyError,
    DiskFullError,
    LocalError,
    NotFoundError,
    SourceChangedError,
    TransferError,
)
from transfer.model import Span
from transfer.sizes import KIB, MIB
from transfer.store import Extent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from threading import Lock

    from typing_extensions import Buffer

    from transfer.checksums import Algorithm, Checksum, Digest
    from transfer.store import Sink
    from transfer.tally import Tally

CHUNK = MIB
# A disk's file gets memory in pieces as large as what is written with one call. A virtual
# machine gives free ones of 2 MiB back to its host, and to have one again takes five times
# as long as to fill it. From a quarter of a MiB on, a call does not count.
WRITTEN_AT_ONCE = 256 * KIB
# As many as one call takes (IOV_MAX, writev(2)).
_MOST_PIECES = 1024
# One trip to a thread hashes so much; it cannot be cancelled on the way.
HASHED_AT_ONCE = 64 * MIB
# Whoever has opened a source knows its name, and says it.
_READING = "read", "the source"
# What the kernel says where it does not copy between two files by itself.
_NO_KERNEL_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
)


def read_exactly(fd: int, size: int, offset: int) -> bytes:
    """Return `size` bytes at `offset`; SourceChangedError if the file ends before."""
    data = os.pread(fd, size, offset)
    if len(data) == size:
        return data
    pieces = [data]
    missing = size - len(data)
    while missing:
        data = os.pread(fd, missing, offset + size - missing)
        if not data:
            raise SourceChangedError(
                f"the file became shorter while it was read: it ends at byte"
                f" {offset + size - missing}, bytes up to {offset + size} were expected"
            )
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def write_fully(fd: int, pieces: Sequence[Buffer], offset: int) -> None:
    """Write all pieces, one after the other, from `offset` on."""
    views = [memoryview(piece).cast("B") for piece in pieces]
    while views:
        written = os.pwritev(fd, _at_once(views), offset)
        offset += written
        while views and written >= len(views[0]):
            written -= len(views[0])
            del views[0]
        if written:
            views[0] = views[0][written:]


def _at_once(views: list[memoryview]) -> list[memoryview]:
    """Return the first of the pieces, as many as are written with one call."""
    size = 0
    for count, view in enumerate(views[:_MOST_PIECES]):
        size += len(view)
        if size >= WRITTEN_AT_ONCE:
            return [*views[:count], view[: len(view) + WRITTEN_AT_ONCE - size]]
    return views[:_MOST_PIECES]


class FileSource:
    """A span of an open file; the descriptor belongs to whoever opened it."""

    __slots__ = ("_extent",)
    origin = None

    def __init__(self, fd: int, span: Span, check: Callable[[], None] | None = None) -> None:
        self._extent = Extent(fd, span, check)

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._extent.span.size

    @property
    def extent(self) -> Extent:
        """The file itself."""
        return self._extent

    async def pour(self, sink: Sink, tally: Tally) -> None:
        """Write all bytes into the sink; see `Source`."""
        if sink.extent is not None:
            await copy_extent(self._extent, sink.extent, tally)
            return
        offset = 0
        while offset < self.size:
            data = await anyio.to_thread.run_sync(read_chunk, self._extent, offset, CHUNK, tally)
            await sink.write(offset, data)
            offset += len(data)


class FileSink:
    """A span of an open file to write to."""

    __slots__ = ("_extent",)

    def __init__(self, fd: int, span: Span, lock: Lock | None = None) -> None:
        self._extent = Extent(fd, span, lock=lock)

    @property
    def extent(self) -> Extent:
        """The file itself."""
        return self._extent

    async def write(self, offset: int, data: Buffer) -> None:
        """Write bytes at an offset from the start of the span."""
        await anyio.to_thread.run_sync(
            write_fully, self._extent.fd, [data], self._extent.span.start + offset
        )


def read_chunk(extent: Extent, offset: int, most: int, tally: Tally) -> bytes:
    """Return up to `most` bytes at an offset in the extent, counted, the last ones checked."""
    size = min(most, extent.span.size - offset)
    with local_errors(*_READING):
        data = read_exactly(extent.fd, size, extent.span.start + offset)
    if offset + size == extent.span.size and extent.check is not None:
        extent.check()
    tally.update(data)
    return data


async def copy_extent(source: Extent, sink: Extent, tally: Tally) -> None:
    """Copy a range of a file to another file, on this machine."""
    size = source.span.size
    for offset in range(0, max(size, 1), HASHED_AT_ONCE):
        stop = min(offset + HASHED_AT_ONCE, size)
        await anyio.to_thread.run_sync(_copy, source, sink, Span(offset, stop), tally)


def _copy(source: Extent, sink: Extent, piece: Span, tally: Tally) -> None:
    """Read each chunk to hash it, then have the kernel copy it.

    Where two files can share their blocks, no byte is written. What is a hole in
    the source becomes one in the target, whose file is long enough already.
    """
    buffer = memoryview(bytearray(min(CHUNK, piece.size)))
    offset = piece.start
    while offset < piece.stop:
        chunk = buffer[: min(len(buffer), piece.stop - offset)]
        start = source.span.start + offset
        with local_errors(*_READING):
            if os.preadv(source.fd, [chunk], start) != len(chunk):
                chunk[:] = read_exactly(source.fd, len(chunk), start)
        place = sink.span.start + offset
        if not (_is_hole(source.fd, start, len(chunk)) and _is_hole(sink.fd, place, len(chunk))):
            _copy_chunk(source.fd, start, sink.fd, place, chunk)
        tally.update(chunk)
        offset += len(chunk)
    # After the last copy: what the kernel copied must be what was hashed.
    if offset == source.span.size and source.check is not None:
        source.check()


def _is_hole(fd: int, start: int, size: int) -> bool:
    try:
        return os.lseek(fd, start, os.SEEK_DATA) >= start + size
    except OSError as error:
        return error.errno == errno.ENXIO  # a hole up to the end


def _copy_chunk(from_fd: int, start: int, to_fd: int, place: int, chunk: memoryview) -> None:
    done = 0
    try:
        while done < len(chunk):
            done += os.copy_file_range(
                from_fd, to_fd, len(chunk) - done, start + done, place + done
            ) or _ended(start + done)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
        write_fully(to_fd, [chunk[done:]], place + done)


def _ended(at: int) -> int:
    raise SourceChangedError(f"the file became shorter while it was read: it ends at byte {at}")


async def hash_extent(extent: Extent, algorithm: Algorithm) -> Checksum:
    """Return the checksum of a range of a file; the pages stay in the cache for what follows."""
    digest = new_digest(algorithm)
    for start in range(extent.span.start, extent.span.stop, HASHED_AT_ONCE):
        stop = min(start + HASHED_AT_ONCE, extent.span.stop)
        with local_errors(*_READING):
            await anyio.to_thread.run_sync(_hash, extent.fd, start, stop, digest)
    return digest.finish()


def hash_range(fd: int, span: Span, algorithm: Algorithm) -> Checksum:
    """Return the checksum of a range of a file; blocks."""
    digest = new_digest(algorithm)
    _hash(fd, span.start, span.stop, digest)
    return digest.finish()


def _hash(fd: int, start: int, stop: int, digest: Digest) -> None:
    buffer = memoryview(bytearray(min(CHUNK, stop - start)))
    while start < stop:
        piece = buffer[: min(len(buffer), stop - start)]
        size = os.preadv(fd, [piece], start)
        if not size:
            raise SourceChangedError(f"the file became shorter: it ends at byte {start}")
        digest.update(piece[:size])
        start += size


@contextmanager
def local_errors(action: str, path: str) -> Generator[None]:
    """Translate OSError: "cannot <action> <path>: why"."""
    try:
        yield
    except TransferError:
        raise
    except OSError as error:
        raise translated(error, action, path) from error


def translated(error: OSError, action: str, path: str) -> TransferError:
    """Return our error for an OSError, with a hint where there is something to do."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    message = f"cannot {action} {path}: {reason}"
    match error.errno:
        case errno.ENOENT:
            return NotFoundError(message)
        case errno.ENOSPC | errno.EDQUOT:
            return DiskFullError(message, hint="free some space and run it again")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return LocalError(message, hint="check the permissions")
        case errno.ENAMETOOLONG:
            return BadKeyError(message)
        case errno.EISDIR:
            return LocalError(message, hint="name a file")
        case errno.EMFILE | errno.ENFILE:
            return LocalError(message, hint="lower --concurrency, or raise `ulimit -n`")
        case _:
            return LocalError(message)
