"""Bytes to and from an open file on an SFTP server, many requests at once.

A round trip per request would make a far server slow: so pieces are under way
together, each cut by the library into requests that the server takes. Memory is
bounded by the number of pieces. What ends a transfer early waits for the answers
to what was sent: nothing of an attempt is written once the next one begins.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio

from transfer.errors import SourceChangedError, StalledError
from transfer.mover.stall import StallWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncssh
    from typing_extensions import Buffer

    from transfer.model import Span
    from transfer.store import Sink, Source
    from transfer.tally import Tally

# A piece of a file, in bytes, and how many are under way for one part or range.
PIECE = 256 * 1024
AHEAD = 8
# What one part or range holds in memory: the pieces, and what the source has just read.
BUFFER = PIECE * AHEAD + (1 << 20)


class _Window:
    """Jobs of one transfer, a few at once; the first error ends them all, and is raised."""

    def __init__(self) -> None:
        self._group: anyio.abc.TaskGroup | None = None
        self._room = anyio.Semaphore(AHEAD)
        self._error: Exception | None = None
        self.done = 0

    async def run(self, feed: Callable[[], Awaitable[None]]) -> None:
        """Run `feed`, which starts jobs, and all of those."""
        async with anyio.create_task_group() as self._group:
            await self._guarded(feed)
        if self._error is not None:
            raise self._error

    async def start(self, job: Callable[[], Awaitable[None]]) -> None:
        """Begin a job when there is room."""
        await self._room.acquire()
        if self._group is None:
            raise AssertionError
        self._group.start_soon(self._job, job)

    async def _job(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await self._guarded(job)
        finally:
            self._room.release()

    async def _guarded(self, job: Callable[[], Awaitable[None]]) -> None:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - raised again when all have ended
            if self._error is None and self._group is not None:
                self._error = error
                self._group.cancel_scope.cancel()
        else:
            self.done += 1


async def upload(
    source: Source,
    file: asyncssh.SFTPClientFile,
    start: int,
    tally: Tally,
    stall_timeout: float,
) -> None:
    """Write a whole source into a file from byte `start` on; on return the server has it all."""
    window = _Window()

    async def feed() -> None:
        await source.pour(_FileSink(window, file, start), tally)

    with StallWatch(lambda: window.done, lambda: stall_timeout) as watch:
        await window.run(feed)
    _check_stalled(watch, stall_timeout)


async def download(
    file: asyncssh.SFTPClientFile,
    span: Span,
    sink: Sink,
    tally: Tally,
    *,
    stall_timeout: float,
    check: Callable[[], Awaitable[None]],
) -> None:
    """Write a range of a file into a sink; `check` is called before the last bytes are.

    Raises SourceChangedError if the file ends before the range does.
    """
    window = _Window()
    feed = partial(_fetch_all, window, file, span, sink, tally=tally, check=check)
    with StallWatch(lambda: window.done, lambda: stall_timeout) as watch:
        await window.run(feed)
    _check_stalled(watch, stall_timeout)


async def _fetch_all(
    window: _Window,
    file: asyncssh.SFTPClientFile,
    span: Span,
    sink: Sink,
    *,
    tally: Tally,
    check: Callable[[], Awaitable[None]],
) -> None:
    waiting: deque[_Fetch] = deque()
    offset = span.start
    while offset < span.stop or waiting:
        while offset < span.stop and len(waiting) < AHEAD:
            fetch = _Fetch(file, offset, min(PIECE, span.stop - offset))
            await window.start(fetch.run)
            waiting.append(fetch)
            offset += fetch.size
        fetch = waiting.popleft()
        data = await fetch.result()
        if fetch.offset + fetch.size == span.stop:
            await check()
        tally.update(data)
        await sink.write(fetch.offset - span.start, data)


class _Fetch:
    def __init__(self, file: asyncssh.SFTPClientFile, offset: int, size: int) -> None:
        self._file = file
        self.offset = offset
        self.size = size
        self._data = b""
        self._arrived = anyio.Event()

    async def run(self) -> None:
        self._data = await self._file.read(self.size, self.offset)
        self._arrived.set()

    async def result(self) -> bytes:
        await self._arrived.wait()
        if len(self._data) != self.size:
            raise SourceChangedError(
                f"the file became shorter while it was read: it ends at byte"
                f" {self.offset + len(self._data)}"
            )
        return self._data


class _FileSink:
    extent = None

    def __init__(self, window: _Window, file: asyncssh.SFTPClientFile, start: int) -> None:
        self._window = window
        self._file = file
        self._start = start

    async def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), PIECE):
            piece = view[begin : begin + PIECE]
            # Bytes cannot change; anything else may, once this has returned.
            kept = piece if isinstance(data, bytes) else bytes(piece)
            await self._window.start(partial(self._send, self._start + offset + begin, kept))

    async def _send(self, offset: int, piece: memoryview | bytes) -> None:
        await self._file.write(cast(bytes, piece), offset)  # any buffer will do


def _check_stalled(watch: StallWatch, stall_timeout: float) -> None:
    if watch.stalled:
        raise StalledError(f"no byte moved for {stall_timeout:.0f} s")
