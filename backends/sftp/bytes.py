"""Bytes to and from an open file on an SFTP server, many requests at once.

A round trip per request would make a far server slow: so requests are under way
together, each of a size that the server takes. Memory is bounded by the window.
What ends a transfer early is followed by a close, which the server answers after
all that was asked before: nothing of an attempt is written once the next begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
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

# Bytes that are asked for or sent and not yet answered, for one part or range.
WINDOW = 2 << 20
# What goes to a sink at once: writing to a file is a trip to a thread.
_GATHERED = 256 * 1024
# What one part or range holds in memory: the window, and what was just read or gathered.
BUFFER = WINDOW + (1 << 20)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file open on one connection; no request may be longer than `block` bytes."""

    file: asyncssh.SFTPClientFile
    block: int


class _Window:
    """Jobs of one transfer, a few at once; the first error ends them all, and is raised."""

    def __init__(self, room: int) -> None:
        self._group: anyio.abc.TaskGroup | None = None
        self._room = anyio.Semaphore(room)
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
    source: Source, opened: OpenedFile, start: int, tally: Tally, stall_timeout: float
) -> None:
    """Write a whole source into a file from byte `start` on; on return the server has it all."""
    window = _Window(WINDOW // opened.block)

    async def feed() -> None:
        await source.pour(_FileSink(window, opened, start), tally)

    with StallWatch(lambda: window.done, lambda: stall_timeout) as watch:
        await window.run(feed)
    _check_stalled(watch, stall_timeout)


async def download(
    opened: OpenedFile,
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
    room = WINDOW // opened.block
    window = _Window(room)
    reading = _Reading(opened, span, window, room)

    async def feed() -> None:
        offset = 0
        while data := await reading.gather():
            if offset + len(data) == span.size:
                await check()
            tally.update(data)
            await sink.write(offset, data)
            offset += len(data)

    with StallWatch(lambda: window.done, lambda: stall_timeout) as watch:
        await window.run(feed)
    _check_stalled(watch, stall_timeout)


class _Reading:
    """Blocks of a range that are asked for ahead, and come out in order."""

    def __init__(self, opened: OpenedFile, span: Span, window: _Window, room: int) -> None:
        self._opened = opened
        self._next = span.start
        self._stop = span.stop
        self._window = window
        self._room = room
        self._waiting: deque[_Fetch] = deque()

    async def gather(self) -> bytes:
        """Return the next bytes, of some blocks together; none at the end."""
        pieces: list[bytes] = []
        while len(pieces) * self._opened.block < _GATHERED:
            await self._ask()
            if not self._waiting:
                break
            pieces.append(await self._waiting.popleft().result())
        return b"".join(pieces)

    async def _ask(self) -> None:
        while self._next < self._stop and len(self._waiting) < self._room:
            size = min(self._opened.block, self._stop - self._next)
            fetch = _Fetch(self._opened.file, self._next, size)
            await self._window.start(fetch.run)
            self._waiting.append(fetch)
            self._next += size


@dataclass(slots=True)
class _Fetch:
    file: asyncssh.SFTPClientFile
    offset: int
    size: int
    _data: bytes = b""
    _arrived: anyio.Event = field(default_factory=anyio.Event)

    async def run(self) -> None:
        """Ask until all of the block is there: a server may give less than was asked for."""
        while len(self._data) < self.size:
            missing = self.size - len(self._data)
            more: bytes = await self.file.read(missing, self.offset + len(self._data))
            if not more:
                break
            self._data += more
        self._arrived.set()

    async def result(self) -> bytes:
        """Wait for the block."""
        await self._arrived.wait()
        if len(self._data) != self.size:
            raise SourceChangedError(
                f"the file became shorter while it was read: it ends at byte"
                f" {self.offset + len(self._data)}"
            )
        return self._data


class _FileSink:
    extent = None

    def __init__(self, window: _Window, opened: OpenedFile, start: int) -> None:
        self._window = window
        self._file = opened.file
        self._block = opened.block
        self._start = start

    async def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        for begin in range(0, len(view), self._block):
            piece = view[begin : begin + self._block]
            # Bytes cannot change; anything else may, once this has returned.
            kept = piece if isinstance(data, bytes) else bytes(piece)
            await self._window.start(partial(self._send, self._start + offset + begin, kept))

    async def _send(self, offset: int, piece: memoryview | bytes) -> None:
        await self._file.write(cast(bytes, piece), offset)  # any buffer will do


def _check_stalled(watch: StallWatch, stall_timeout: float) -> None:
    if watch.stalled:
        raise StalledError(f"no byte moved for {stall_timeout:.0f} s")
