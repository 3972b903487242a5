"""Small files carried one after the other, by one thread of this process or of another.

A load knows only how things go well: a file that fails is left for whoever has given
it, and so are the rest if the server is in trouble.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from transfer.checksums import Algorithm, checksum_of, differ
from transfer.errors import (
    DamagedInTransitError,
    InterruptedTransferError,
    StoreError,
    TransferError,
)
from transfer.proof import Evidence, verdict
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer.model import Intent, ObjectInfo, Verified
    from transfer.quick import Batcher, BatchReader, BatchWriter, Steps

# A disk may take so many seconds to write out what it holds, which may be other programs' too.
_SYNC_PATIENCE = 900.0


class File(NamedTuple):
    """What is to be carried: an object as it was listed, and the key that it is to have."""

    info: ObjectInfo
    key: str


class Arrival(NamedTuple):
    """A file, by its place in the load, that is there for good.

    `checksum` is its text; `elapsed` in seconds.
    """

    number: int
    checksum: str
    verified: Verified
    elapsed: float


class Way(NamedTuple):
    """Which ends of it are on this machine, and need no proof."""

    source_is_local: bool
    target_is_local: bool


class Carried(Protocol):
    """How far a load is."""

    @property
    def size(self) -> int:
        """How many bytes have been carried; falls when a file fails."""
        ...

    @property
    def pulse(self) -> float:
        """What changes while it is alive."""
        ...

    def end(self) -> tuple[list[Arrival], list[int]]:
        """Have no more of it arrive; return what has, and the places of all others."""
        ...


def room_for(files: Sequence[File]) -> int:
    """Return the bytes of memory that they pass through: what has grown is seen to."""
    return 1 + max(file.info.size for file in files)


def clear(target: Batcher, intent: Intent, files: Sequence[File]) -> None:
    """Remove what a load has left that will not come to its end; what cannot be is left."""
    with suppress(TransferError):
        target.clear(intent, [file.key for file in files])


class Load:
    """Files between the same two stores.

    Each passes through the same memory. It runs in a thread, which may be held up so
    long that it is given up: what `end` has returned once does not change any more.
    """

    def __init__(self, files: Sequence[File], way: Way) -> None:
        self._files = files
        self._way = way
        self._next = 0
        self._settled = 0
        self._tally = Tally()
        self._arrived: list[Arrival] = []
        self._left: list[int] = []
        self._lock = threading.Lock()
        self._ended = self._finished = False
        self._finishing = math.inf

    @property
    def size(self) -> int:
        """How many bytes it has carried; falls when a file fails."""
        return self._settled + self._tally.moved

    @property
    def pulse(self) -> float:
        """What changes while it is alive; a disk may take its time to write out what it holds."""
        finishing = 0 < time.monotonic() - self._finishing < _SYNC_PATIENCE
        return time.monotonic() if finishing else self._next + self.size

    def end(self) -> tuple[list[Arrival], list[int]]:
        """Return what is there for good, and what is still to be done, the long way."""
        with self._lock:
            self._ended = True
            if not self._finished:
                return [], list(range(len(self._files)))
            return list(self._arrived), [*self._left, *range(self._next, len(self._files))]

    def run(self, reader: BatchReader, writer: BatchWriter) -> Steps[None]:
        """Carry all of them; what did not work is left."""
        try:
            yield from self._carry_all(reader, writer)
        except Exception:
            # Nobody has foreseen it: what was begun is taken away.
            self.end()
            yield from writer.finish(lambda: False)
            raise
        self._finishing = time.monotonic()
        failed = yield from writer.finish(lambda: not self._ended)
        with self._lock:
            if self._ended:
                return  # it took so long that others do it
            for arrival in self._arrived:
                if self._files[arrival.number].key in failed:
                    self._left.append(arrival.number)
            lost = set(self._left)
            self._arrived = [a for a in self._arrived if a.number not in lost]
            self._finished = True

    def _carry_all(self, reader: BatchReader, writer: BatchWriter) -> Steps[None]:
        room = memoryview(bytearray(room_for(self._files)))
        while self._next < len(self._files) and not self._ended:
            try:
                arrival = yield from self._carry(self._next, room, reader, writer)
            except TransferError as error:
                self._tally.restart()
                self._left.append(self._next)
                self._next += 1
                if isinstance(error, StoreError) and error.retryable:
                    break
            else:
                self._arrived.append(arrival)
                self._next += 1

    def _carry(
        self, number: int, room: memoryview, reader: BatchReader, writer: BatchWriter
    ) -> Steps[Arrival]:
        began = time.monotonic()
        info, key = self._files[number]
        tally = self._tally
        data, known = yield from reader.read(info, room, tally)
        if self._ended:
            raise InterruptedTransferError("given up")  # while it was being read
        algorithm = writer.algorithm or (known.algorithm if known else Algorithm.CRC32C)
        moved = checksum_of(algorithm, data)
        said = known or info.checksum
        if differ(said, moved):
            raise DamagedInTransitError(f"{info.key}: {moved}, not {said}, arrived")
        stored = yield from writer.write(key, data, moved, tally)
        proved = verdict(key, Evidence(said, moved, stored, *self._way))
        tally.restart()
        self._settled += len(data)
        return Arrival(number, str(moved), proved, time.monotonic() - began)
