"""Small files in batches: in one thread, without the loop in between.

A small file costs more in tasks and hops between threads than in bytes. So those that
go in one piece and need nothing decided wait here, and a worker that is free carries
off as many as leave enough for the others. A batch knows only how things go well: a
file that fails in it is done again the long way, with all that belongs to it, and so
are the rest of the batch if the server is in trouble.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from transfer.checksums import Algorithm, checksum_of, differ
from transfer.engine.attempts import Lane
from transfer.engine.proof import Evidence, verdict
from transfer.errors import DamagedInTransitError, StalledError, StoreError, TransferError
from transfer.events import FileDone
from transfer.model import Intent
from transfer.quick import batches_of
from transfer.sizes import MIB
from transfer.tally import Tally

if TYPE_CHECKING:
    from transfer.checksums import Checksum
    from transfer.engine.attempts import Attempts
    from transfer.engine.expand import Item
    from transfer.engine.report import Options
    from transfer.model import Verified
    from transfer.planner import Plan
    from transfer.quick import BatchReader, BatchWriter, Quick, Steps
    from transfer.store import Store

T = TypeVar("T")

# A disk may take so many seconds to write out what it holds, which may be other programs' too.
_SYNC_PATIENCE = 900.0
# Larger files are worth a thread's time of their own.
SMALL = 4 * MIB
# So few files that wait are done the long way, where each is shown by itself.
FEW = 4
# So many at most, of so many bytes, are seen, or lost, together.
MOST, MOST_BYTES = 64, 16 * MIB
# Files that wait; more would only hold up those that are not small.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Small:
    """A file that waits for a batch."""

    item: Item
    source: Store
    target: Store
    plan: Plan


@dataclass(frozen=True, slots=True)
class Carried:
    """A file that has arrived, if its batch was finished; `elapsed` in seconds."""

    small: Small
    checksum: Checksum
    verified: Verified
    elapsed: float

    def result(self) -> FileDone:
        """Return what is told of it."""
        item = self.small.item
        source, target, size = str(item.source), str(item.target), item.info.size
        return FileDone(source, target, size, 0, self.elapsed, self.verified, str(self.checksum))


class Batch:
    """Files between the same two stores, one after the other.

    Each passes through the same `room`, in bytes. It runs in a thread, which may be held up
    so long that it is given up: what `end` has returned once does not change any more.
    """

    def __init__(self, waiting: deque[Small]) -> None:
        self.waiting = waiting
        self.source = waiting[0].source
        self.target = waiting[0].target
        # A byte more than the largest: what has grown is seen to.
        self.room = 1 + max(small.plan.size for small in waiting)
        self._steps = 0
        self._settled = 0
        self._tally = Tally()
        self._carried: list[Carried] = []
        self._left: list[Small] = []
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
        return time.monotonic() if finishing else self._steps + self.size

    def end(self) -> tuple[list[Carried], list[Small]]:
        """Return what is there for good, and what is still to be done, the long way."""
        with self._lock:
            self._ended = True
            if self._finished:
                return list(self._carried), [*self._left, *self.waiting]
            return [], [*(c.small for c in self._carried), *self._left, *self.waiting]

    def run(self, reader: BatchReader, writer: BatchWriter) -> Steps[None]:
        """Carry all of them; what did not work is left."""
        room = memoryview(bytearray(self.room))
        while self.waiting and not self._ended:
            small = self.waiting[0]
            try:
                carried = yield from self._carry(small, room, reader, writer)
            except TransferError as error:
                self._tally.restart()
                self._move(self._left, small)
                if isinstance(error, StoreError) and error.retryable:
                    break
            else:
                self._move(self._carried, carried)
            self._steps += 1
        self._finishing = time.monotonic()
        failed = yield from writer.finish(lambda: not self._ended)
        with self._lock:
            self._left += [c.small for c in self._carried if c.small.item.target.key in failed]
            self._carried = [c for c in self._carried if c.small.item.target.key not in failed]
            self._finished = True

    def _move(self, to: list[T], what: T) -> None:
        """Have the first of those that wait in another list, and never in neither."""
        with self._lock:
            self.waiting.popleft()
            to.append(what)

    def _carry(
        self, small: Small, room: memoryview, reader: BatchReader, writer: BatchWriter
    ) -> Steps[Carried]:
        began = time.monotonic()
        tally = self._tally
        data, known = yield from reader.read(small.item.info, room, tally)
        algorithm = writer.algorithm or (known.algorithm if known else Algorithm.CRC32C)
        moved = checksum_of(algorithm, data)
        said = known or small.item.info.checksum
        if differ(said, moved):
            raise DamagedInTransitError(f"{small.item.source}: {moved}, not {said}, arrived")
        stored = yield from writer.write(small.item.target.key, data, moved, tally)
        evidence = Evidence(
            said, moved, stored, small.source.traits.local, small.target.traits.local
        )
        proved = verdict(small.item.target, evidence)
        tally.restart()
        self._settled += len(data)
        return Carried(small, moved, proved, time.monotonic() - began)


class Batches:
    """The small files of a run that wait, and how they are carried, by so many `workers`.

    `memory` is how many bytes those may hold that are carried at the same time.
    """

    def __init__(self, options: Options, quick: Quick | None, workers: int, *, memory: int) -> None:
        plain = not (
            options.skip_existing
            or options.no_clobber
            or options.by_content
            or options.compare_only
            or options.require_verified
            or options.expect is not None
        )
        self._quick = quick if plain else None
        self._options = options
        self._memory = memory
        self.workers = workers
        self._waiting: deque[Small] = deque()
        self._running = 0
        self._held = 0
        self._held_up = False

    @property
    def ready(self) -> bool:
        """Whether a worker should look here."""
        return bool(self._waiting)

    @property
    def many(self) -> bool:
        """Whether so many wait that every worker can have all that it may carry."""
        return len(self._waiting) >= 2 * MOST * self.workers

    @property
    def busy(self) -> bool:
        """Whether something waits or is carried."""
        return bool(self._waiting or self._running)

    @property
    def full(self) -> bool:
        """Whether no more should wait."""
        return len(self._waiting) >= BACKLOG

    def takes(self, small: Small) -> bool:
        """Take a file in, if it is one for a batch."""
        if (
            self._quick is None
            or self._held_up
            or small.plan.part_size is not None
            or small.plan.size > SMALL
            or not (small.source.traits.local or small.target.traits.local)
            or batches_of(small.source) is None
            or batches_of(small.target) is None
        ):
            return False
        self._waiting.append(small)
        return True

    def pays(self, attempts: Attempts) -> bool:
        """Tell whether the next file should go in a batch.

        Not where few wait, nor while the host that it meets is asked by single probes only,
        and not where all memory is held by others.
        """
        first = self._waiting[0]
        few = len(self._waiting) < FEW
        fits = not few and not self._held_up and self._fits(first)
        return fits and not attempts.in_trouble(_lane(first))

    def _fits(self, small: Small) -> bool:
        """Tell whether there is memory for a file; for one batch there always is."""
        return not self._running or self._held + small.plan.size < self._memory

    def give_up_one(self) -> Small:
        """Return a file that is not to go in a batch after all."""
        return self._waiting.popleft()

    def next(self) -> Batch:
        """Return files to carry now, between two stores: few, if there are few for many workers."""
        count = min(-(-len(self._waiting) // (2 * self.workers)), MOST)
        taken = deque([self._waiting.popleft()])
        size = taken[0].plan.size
        while len(taken) < count and self._waiting:
            small = self._waiting[0]
            size += small.plan.size
            alike = small.source is taken[0].source and small.target is taken[0].target
            if not alike or size > MOST_BYTES or not self._fits(small):
                break
            taken.append(self._waiting.popleft())
        batch = Batch(taken)
        self._running += 1
        self._held += batch.room
        return batch

    async def carry(self, batch: Batch) -> None:
        """Have a thread carry a batch; whatever this raises, what is left is in it."""
        source, target = batches_of(batch.source), batches_of(batch.target)
        if self._quick is None or source is None or target is None:
            raise AssertionError
        intent = Intent(None, metadata=self._options.metadata, algorithm=Algorithm.CRC32C)
        reader, writer = await source.reader(), await target.writer(intent)
        if reader is not None and writer is not None:
            try:
                await self._quick.run(batch.run(reader, writer), lambda: batch.pulse)
            except StalledError:
                # It may be a disk, and so the thread of all batches, that does not answer.
                self._held_up = True
                raise

    def done(self, batch: Batch, attempts: Attempts, *, arrived: bool) -> None:
        """Take note of the end of a batch, of which something may have arrived."""
        self._running -= 1
        self._held -= batch.room
        if arrived:
            attempts.heard(_lane(batch))


def _lane(pair: Small | Batch) -> Lane:
    """Return where the bytes go: the lane of a read is that of its target, as elsewhere."""
    return Lane(pair.target.url, data=True)
