"""One run: a fixed crew of workers that ask the scheduler what to do next.

No task is made per file or per part. A worker's turn is a command of some
machine, carried out, reported back; when there is nothing to start, it waits
for a bell. All clean-up is here too: whatever ends the run, the uploads that it
opened are given up (or kept, where they may be resumed) within a few seconds.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from transfer.checksums import Algorithm, new_digest
from transfer.engine.attempts import Attempts, Lane
from transfer.engine.batches import Batches, Small
from transfer.engine.bell import Bell
from transfer.engine.expand import Item, Lookup, expand, only_itself
from transfer.engine.grace import Grace
from transfer.engine.keeping import Keeper
from transfer.engine.pace import Odometer, keep_pace
from transfer.engine.policies import bounds_of, limits_of, plan_of, planned_for, policy_of
from transfer.engine.report import Failure, Report
from transfer.engine.resumption import remembered
from transfer.engine.tail import Tail
from transfer.engine.transfer import FileTransfer
from transfer.engine.turns import Turns
from transfer.errors import InterruptedTransferError, TransferError, UsageError
from transfer.events import (
    DRY_RUN,
    FileDone,
    FileFailed,
    FileSkipped,
    FileStarted,
    Notice,
    PartRaised,
    Progress,
)
from transfer.events import Event as RunEvent
from transfer.journal import Journal
from transfer.machine import Failed, Machine, Put, Send
from transfer.pacing import Pacer, Sample
from transfer.planner import Plan, grain_of
from transfer.quick import quick_of
from transfer.redaction import redact
from transfer.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from transfer.engine.batches import Batch
    from transfer.engine.report import Options
    from transfer.engine.stores import Stores
    from transfer.locations import Location
    from transfer.machine import Command, Event
    from transfer.settings import Settings
    from transfer.store import Store
    from transfer.workers.fleet import Fleet

# Everything stops within 5 s of being told to, in seconds from then: what the
# store is in the middle of may be finished, then the rest is given up.
TO_FINISH = 2.5
TO_CLEAN_UP = 4.5
# How often progress is published, in seconds.
TICK = 0.2
# How many files are listed ahead of their transfer, so that the total is known soon.
LOOKAHEAD = 50_000


class Run:
    """Moves files from sources to a target; used once."""

    def __init__(
        self,
        stores: Stores,
        settings: Settings,
        options: Options,
        publish: Callable[[RunEvent], None],
        fleet: Fleet,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._options = options
        self._publish = publish
        self._attempts = Attempts(partial(policy_of, settings))
        self._pacer = Pacer(bounds_of(settings))
        self._odometer = Odometer()
        self._tail = Tail(self._idle_turns)
        self._turns = Turns(self._pacer.limit, self._work)
        self._scheduler = Scheduler(limits_of(settings, self._pacer.limit))
        self._bell = Bell()
        self._batches = Batches(
            options,
            quick_of(stores.mover),
            self._pacer.limit,
            memory=settings.max_memory,
            fleet=fleet,
        )
        self._carrying: set[Batch] = set()
        self._running: set[FileTransfer] = set()
        self._listed = False
        self._all_taken = False
        self._found = 0
        self._found_bytes = 0
        self._waiting_bytes = 0
        self._settled_bytes = 0
        self._started = 0.0
        self._grace = Grace(TO_FINISH, TO_CLEAN_UP)
        self._keeper = Keeper(
            Journal.from_settings(settings),
            resume=options.resume,
            take_over=options.take_over,
            settings=remembered(settings, options),
            notify=lambda message: publish(Notice(message)),
        )
        self.report = Report()

    async def execute(self, sources: Sequence[Location], target: Location) -> Report:
        """Move everything; failures of single files are in the report, not raised."""
        self._started = anyio.current_time()
        # The first use of a checksum imports its library: not on the event loop.
        await anyio.to_thread.run_sync(new_digest, Algorithm.CRC32C)
        await self._keeper.look()
        listed, items = anyio.create_memory_object_stream[Item](LOOKAHEAD)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._grace.watch)
                group.start_soon(self._list, sources, target, listed)
                group.start_soon(self._feed, items)
                group.start_soon(self._tick)
                group.start_soon(self._keeper.beat)
                group.start_soon(self._tail.watch)
                group.start_soon(self._batches.bring_workers)
                group.start_soon(keep_pace, self._pacer, self._sample, self._change_turns)
                await self._turns.run()
                group.cancel_scope.cancel()
        finally:
            with self._grace.last_scope():
                await self._wind_up()
            self._finish()
        return self.report

    def progress(self) -> Progress:
        """Return the counters as they are now."""
        moved = self._settled_bytes + sum(item.meter.moved for item in self._running)
        moved += sum(batch.size for batch in self._carrying)
        files = len(self.report.done) + len(self.report.skipped) + len(self.report.failed)
        running = tuple(_transfer(job).progress() for job in self._scheduler.jobs)
        return Progress(moved, self._found_bytes, files, self._found, self._listed, running)

    def _sample(self) -> Sample:
        """Return what the pacer wants to see."""
        moved = self._odometer.read(
            (item.meter for item in self._running), sum(batch.size for batch in self._carrying)
        )
        return Sample(moved, self._busy, self._attempts.throttled, self._attempts.retries)

    @property
    def _busy(self) -> int:
        return self._scheduler.operations + len(self._carrying)

    def _idle_turns(self) -> int:
        """Return how many turns are free because nothing is left to begin."""
        over = self._all_taken and not self._batches.ready and self._scheduler.spent
        return max(0, self._turns.limit - self._busy) if over else 0

    def _change_turns(self, limit: int) -> None:
        self._scheduler.limits = limits_of(self._settings, limit)
        self._batches.turns = limit
        self._turns.change(limit)
        self._bell.ring()

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            self._publish(self.progress())

    async def _list(
        self, sources: Sequence[Location], target: Location, listed: MemoryObjectSendStream[Item]
    ) -> None:
        """List the sources while their files are already being moved."""
        items = expand(sources, target, self._lookup, self._options.chosen)
        if self._options.expect is not None:
            items = only_itself(items, sources[0])
        async with listed:
            async for item in items:
                self._found += 1
                self._found_bytes += item.info.size
                self._waiting_bytes += item.info.size
                try:
                    await _sent(listed, item)
                except anyio.BrokenResourceError:
                    return  # nobody takes them any more: the run is being stopped
        self._listed = True

    async def _feed(self, items: MemoryObjectReceiveStream[Item]) -> None:
        """Take files on as there is room for them."""
        try:
            async with items:
                while True:
                    try:
                        item = items.receive_nowait()
                    except anyio.WouldBlock:
                        self._bell.ring()
                        item = await items.receive()
                    await self._take_on(item)
        except anyio.EndOfStream:
            pass
        finally:
            self._all_taken = True
            self._bell.ring()

    async def _take_on(self, item: Item) -> None:
        self._waiting_bytes -= item.info.size
        if item.error is not None:
            self._failed(item, item.error)
            return
        if self._options.dry_run and not self._options.looks_first:
            self._skipped(item, DRY_RUN)
            return
        while self._batches.full or not self._scheduler.has_room:
            await self._bell.wait()
        try:
            source = await self._store(item.source)
            target = await self._store(item.target)
            if self._options.metadata and not target.traits.keeps_metadata:
                raise UsageError(f"{item.target} can have no metadata", hint="leave it out")
            cut = self._plan(item, source, target)
        except TransferError as error:
            self._failed(item, error)
            return
        if not self._batches.takes(Small(item, source, target, cut)):
            self._begin(item, source, target, cut)
        elif self._batches.many:
            self._bell.ring()

    def _begin(self, item: Item, source: Store, target: Store, cut: Plan) -> None:
        transfer = FileTransfer(
            item,
            source,
            target,
            Machine(
                cut,
                keep=self._options.resume and _resumable(target),
                max_put=target.traits.max_put,
            ),
            attempts=self._attempts,
            grace=self._grace,
            tail=self._tail,
            keeper=self._keeper,
            options=self._options,
            publish=self._publish,
        )
        self._running.add(transfer)
        self._scheduler.add(transfer)
        self._publish(FileStarted(str(item.source), str(item.target), cut.size, cut.count))
        self._bell.ring()

    def _plan(self, item: Item, source: Store, target: Store) -> Plan:
        if self._options.compare_only or self._options.dry_run:
            return Plan(item.info.size)
        former = partial(self._keeper.former_part_size, item)
        connections = planned_for(self._pacer.bounds)
        cut = plan_of(
            item.info.size,
            source,
            target,
            self._settings,
            connections=connections,
            grain=grain_of(item.info.size, self._waiting_bytes, self._pacer.limit),
            former=former,
            as_it_is=not (self._options.metadata or self._options.no_clobber),
        )
        if cut.raised_from is not None and cut.part_size is not None:
            self._publish(PartRaised(str(item.target), cut.raised_from, cut.part_size))
        return cut

    async def _lookup(self, location: Location) -> Lookup:
        store = await self._store(location)
        lane = Lane(store.url)
        return Lookup(
            store,
            lambda key: self._attempts.run(lane, partial(store.stat, key)),
            lambda prefix, token: self._attempts.run(lane, partial(store.scan, prefix, token)),
        )

    async def _store(self, location: Location) -> Store:
        """Open a store, or return the one that is open; a coordinator may be away for a moment."""
        found = self._stores.opened(location)
        if found is not None:
            return found
        lane = Lane(redact(location.root), opening=True)
        return await self._attempts.run(lane, partial(self._stores.get, location))

    async def _work(self) -> None:
        while not self._turns.surplus:
            task = self._scheduler.next()
            if task is not None:
                job, command = task
                await self._turn(_transfer(job), command)
            elif self._batches.ready and self._scheduler.has_room:
                # What failed in batches comes first, or it would pile up.
                await self._carry_some()
            elif self._all_taken and not self._scheduler.jobs and not self._batches.busy:
                self._bell.ring()
                return
            else:
                await self._bell.wait()

    async def _carry_some(self) -> None:
        """Carry a batch; what it leaves, or what meets a host in trouble, goes the long way."""
        if not self._batches.pays(self._attempts):
            self._begin_small(self._batches.give_up_one())
            return
        batch = self._batches.next()
        self._carrying.add(batch)
        try:
            with suppress(TransferError):
                await self._batches.carry(batch)
        finally:
            self._carrying.discard(batch)
            self._odometer.left(batch.size)
            arrived, remaining = batch.end()
            for result in arrived:
                self._settled_bytes += result.size
                self._publish(FileStarted(result.source, result.target, result.size, 0))
                self._publish(result)
                self.report.done.append(result)
            self._batches.done(batch, self._attempts, arrived=bool(arrived))
            self._bell.ring()
        for small in remaining:
            self._begin_small(small)

    def _begin_small(self, small: Small) -> None:
        self._begin(small.item, small.source, small.target, small.plan)

    async def _turn(self, transfer: FileTransfer, command: Command) -> None:
        """Carry out one command and report it, even when cancelled half-way."""
        event: Event | None = None
        try:
            event = await self._perform(transfer, command)
        finally:
            await self._report(transfer, event or _failed_event(command, _interrupted()))

    async def _perform(self, transfer: FileTransfer, command: Command) -> Event | None:
        with anyio.CancelScope() as scope:
            if isinstance(command, Put | Send):
                transfer.sending.add(scope)
            try:
                return await transfer.perform(command)
            except TransferError as error:
                return _failed_event(command, error)
            finally:
                transfer.sending.discard(scope)
        return None

    async def _report(self, transfer: FileTransfer, event: Event) -> None:
        settled = self._scheduler.feed(transfer, event)
        if isinstance(event, Failed):
            # Parts of a transfer that has failed need not arrive any more.
            for scope in transfer.sending:
                scope.cancel()
        if settled:
            await self._settle(transfer)
        self._bell.ring()

    async def _settle(self, transfer: FileTransfer) -> None:
        self._running.discard(transfer)
        self._odometer.left(transfer.meter.travelled)
        with anyio.CancelScope(shield=True):
            await transfer.close()
        if transfer.kept is not None:
            self.report.kept += 1
            self.report.kept_bytes += transfer.kept
        error = transfer.error()
        if error is None:
            try:
                result = transfer.result()
            except TransferError as found:
                error = found
            else:
                self._settled_bytes += result.size
                self._publish(result)
                if isinstance(result, FileDone):
                    self.report.done.append(result)
                else:
                    self.report.skipped.append(result)
                return
        self._failed(transfer.item, error)

    async def _wind_up(self) -> None:
        """Give up what a cancelled run left open: all uploads at once."""
        for job in self._scheduler.stop(_interrupted()):
            await self._settle(_transfer(job))
        while (task := self._scheduler.next()) is not None:
            async with anyio.create_task_group() as group:
                while task is not None:
                    job, command = task
                    group.start_soon(self._turn, _transfer(job), command)
                    task = self._scheduler.next()

    def _failed(self, item: Item, error: TransferError) -> None:
        source, target = str(item.source), str(item.target)
        self._found_bytes -= item.info.size
        self.report.failed.append(Failure(source, target, error))
        self._publish(FileFailed(source, target, error.code, str(error)))

    def _skipped(self, item: Item, reason: str) -> None:
        result = FileSkipped(str(item.source), str(item.target), item.info.size, reason)
        self.report.skipped.append(result)
        self._settled_bytes += item.info.size
        self._publish(result)

    def _finish(self) -> None:
        self.report.retries = self._attempts.retries
        self.report.elapsed = anyio.current_time() - self._started
        self._publish(self.report.summary())


def _transfer(job: object) -> FileTransfer:
    if not isinstance(job, FileTransfer):
        raise TypeError
    return job


def _resumable(target: Store) -> bool:
    return target.parts is not None and target.parts.resumable


async def _sent(listed: MemoryObjectSendStream[Item], item: Item) -> None:
    """Pass an item on; without a turn of the event loop while there is room."""
    try:
        listed.send_nowait(item)
    except anyio.WouldBlock:
        await listed.send(item)


def _failed_event(command: Command, error: TransferError) -> Failed:
    return Failed(error, command.part.number if isinstance(command, Send) else None)


def _interrupted() -> InterruptedTransferError:
    return InterruptedTransferError("interrupted")
