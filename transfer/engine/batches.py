"""Small files in batches: without the event loop in between.

A small file costs more in tasks and hops between threads than in bytes. So those that
go in one piece and need nothing decided wait here, and a turn that is free has as many
carried as leaves enough for the others: by one thread, or by worker processes where so
many wait that those pay. A batch knows only how things go well: a file that fails in it
is done again the long way, with all that belongs to it, and so are the rest of the batch
if the server is in trouble.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from transfer.carrying import File, Load, Way, clear, room_for
from transfer.checksums import Algorithm
from transfer.engine.attempts import Lane
from transfer.errors import StalledError, TransferError
from transfer.events import FileDone
from transfer.model import Intent
from transfer.quick import batches_of
from transfer.sizes import GIB, MIB
from transfer.workers.fleet import Order, tidy_up

if TYPE_CHECKING:
    from transfer.carrying import Arrival, Carried
    from transfer.engine.attempts import Attempts
    from transfer.engine.expand import Item
    from transfer.engine.report import Options
    from transfer.planner import Plan
    from transfer.quick import Batcher, Quick
    from transfer.store import Store
    from transfer.workers.fleet import Fleet, Worker

# Larger files are worth a thread's time of their own.
SMALL = 4 * MIB
# So few files that wait are done the long way, where each is shown by itself.
FEW = 4
# So many at most, of so many bytes, are seen, or lost, together.
MOST, MOST_BYTES = 64, 16 * MIB
# Files that wait; more would only hold up those that are not small.
BACKLOG = 4096
# What carrying costs, in seconds of a processor: a file, and a byte.
_EACH, _BYTE = 0.0001, 0.6 / GIB
# How long a worker that has been told to end may take, in seconds.
_GONE = 1.0


@dataclass(frozen=True, slots=True)
class Small:
    """A file that waits for a batch."""

    item: Item
    source: Store
    target: Store
    plan: Plan

    @property
    def cost(self) -> float:
        """About how many seconds of a processor it takes."""
        return _EACH + _BYTE * self.plan.size


class Batch:
    """Files between the same two stores; `load` is how far they are, once they are carried."""

    def __init__(self, smalls: list[Small]) -> None:
        self.smalls = smalls
        self.source, self.target = smalls[0].source, smalls[0].target
        self.files = [File(small.item.info, small.item.target.key) for small in smalls]
        self.way = Way(self.source.traits.local, self.target.traits.local)
        self.room = room_for(self.files)
        self.load: Carried | None = None

    @property
    def size(self) -> int:
        """How many bytes it has carried; falls when a file fails."""
        return self.load.size if self.load else 0

    @property
    def pulse(self) -> float:
        """What changes while it is alive."""
        return self.load.pulse if self.load else 0

    def end(self) -> tuple[list[FileDone], list[Small]]:
        """Return what is told of those that have arrived, and what is still to be done."""
        if self.load is None:
            return [], self.smalls
        arrived, left = self.load.end()
        return [self._result(arrival) for arrival in arrived], [self.smalls[n] for n in left]

    def _result(self, arrival: Arrival) -> FileDone:
        number, checksum, verified, elapsed = arrival
        item = self.smalls[number].item
        source, target, size = str(item.source), str(item.target), item.info.size
        return FileDone(source, target, size, 0, elapsed, verified, checksum)


class Batches:
    """The small files of a run that wait, and how they are carried, in so many `turns` at once.

    `memory` is how many bytes those may hold that are carried at the same time.
    """

    def __init__(
        self, options: Options, quick: Quick | None, turns: int, *, memory: int, fleet: Fleet
    ) -> None:
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
        self.turns = turns
        self._fleet = fleet
        self._cost = 0.0
        self._worth_workers = anyio.Event()
        self._typical: tuple[Store, ...] = ()
        self._waiting: deque[Small] = deque()
        self._running = 0
        self._held = 0
        self._held_up = False

    @property
    def ready(self) -> bool:
        """Whether a turn that is free should look here."""
        return bool(self._waiting)

    @property
    def many(self) -> bool:
        """Whether so many wait that every turn can have all that it may carry."""
        return len(self._waiting) >= min(2 * MOST * self.turns, BACKLOG)

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
        self._cost += small.cost
        if self._fleet.waits and self._cost >= self._fleet.worth:
            self._typical = small.source, small.target
            self._worth_workers.set()
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
        return self._take()

    def _take(self) -> Small:
        small = self._waiting.popleft()
        self._cost -= small.cost
        return small

    def next(self) -> Batch:
        """Return files to carry now, between two stores: few, if there are few for many turns."""
        count = min(-(-len(self._waiting) // (2 * self.turns)), MOST)
        taken = [self._take()]
        size = taken[0].plan.size
        while len(taken) < count and self._waiting:
            small = self._waiting[0]
            size += small.plan.size
            alike = small.source is taken[0].source and small.target is taken[0].target
            if not alike or size > MOST_BYTES or not self._fits(small):
                break
            taken.append(self._take())
        batch = Batch(taken)
        self._running += 1
        self._held += batch.room
        return batch

    async def bring_workers(self) -> None:
        """Begin worker processes, once there is work for them."""
        await self._worth_workers.wait()
        with suppress(TransferError):  # whoever carries it will meet that too
            found = [await _batcher(store) for store in self._typical]
            if all(batcher and self._fleet.portable(batcher) for batcher in found):
                await self._fleet.begin({type(batcher).__module__ for batcher in found})

    async def carry(self, batch: Batch) -> None:
        """Have a batch carried; whatever this raises, what is left is in it."""
        source, target = await _batcher(batch.source), await _batcher(batch.target)
        if self._quick is None or source is None or target is None:
            return
        intent = Intent(None, metadata=self._options.metadata, algorithm=Algorithm.CRC32C)
        try:
            worker = self._fleet.idlest()
            order = self._order(source, target, intent, batch) if worker else None
            if worker is not None and order is not None:
                await self._by_process(self._quick, worker, order, batch)
            else:
                await self._by_thread(self._quick, source, target, intent, batch)
        except StalledError:
            # It may be a disk, and so the thread of all batches, that does not answer.
            self._held_up = True
            raise

    def _order(
        self, source: Batcher, target: Batcher, intent: Intent, batch: Batch
    ) -> Order | None:
        """Return a batch as a worker can be given it, None if it cannot."""
        one, other = self._fleet.portable(source), self._fleet.portable(target)
        if one is None or other is None:
            return None
        return Order(one, other, batch.way, intent, batch.files)

    async def _by_thread(
        self, quick: Quick, source: Batcher, target: Batcher, intent: Intent, batch: Batch
    ) -> None:
        batch.load = load = Load(batch.files, batch.way)
        steps = load.run(source.reader(quick), target.writer(quick, intent))
        job = quick.submit(steps)
        try:
            await quick.wait(job, lambda: load.pulse)
        finally:
            if not job.future.done():
                # A disk that takes its time; what is written comes to nothing.
                load.end()
                await tidy_up([partial(clear, target, intent, batch.files)])

    async def _by_process(self, quick: Quick, worker: Worker, order: Order, batch: Batch) -> None:
        batch.load = sent = worker.carry(order)
        try:
            await quick.wait(sent, lambda: sent.pulse)
        except StalledError:
            if not sent.future.done():
                worker.kill()  # what it still did would be unexpected
            raise
        finally:
            if not sent.future.done():
                sent.abandon()
            if sent.lost:
                with anyio.move_on_after(_GONE, shield=True):
                    await worker.gone()
                await tidy_up([order.clear])

    def done(self, batch: Batch, attempts: Attempts, *, arrived: bool) -> None:
        """Take note of the end of a batch, of which something may have arrived."""
        self._running -= 1
        self._held -= batch.room
        if arrived:
            attempts.heard(_lane(batch))


async def _batcher(store: Store) -> Batcher | None:
    batches = batches_of(store)
    return None if batches is None else await batches.batcher()


def _lane(pair: Small | Batch) -> Lane:
    """Return where the bytes go: the lane of a read is that of its target, as elsewhere."""
    return Lane(pair.target.url, data=True)
