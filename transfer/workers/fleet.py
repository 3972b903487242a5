"""The worker processes of an engine: begun once they pay, given loads, and ended with it.

The first is a fresh interpreter (a fork of this process would copy whatever locks its
threads hold) that imports no more than it needs, the others are its forks. One that ends
by itself is not replaced; one that does not stop when told to is killed, with all others.
What they had is left, and where no worker is there, a thread carries.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

import anyio
import anyio.to_thread

from transfer.carrying import clear
from transfer.errors import ConnectionLostError
from transfer.processors import usable_processors
from transfer.workers import messages
from transfer.workers.messages import Ended, Know, Moving, Ready, Stop, Unpacker, packed
from transfer.workers.starting import interpreter, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from transfer.carrying import Arrival, File, Way
    from transfer.model import Intent
    from transfer.quick import Batcher
    from transfer.settings import Settings
    from transfer.workers.messages import Message

# More would wait for the event loop.
_MOST = 4
# To begin one costs a third of so many seconds of a processor.
WORTH = 0.25
# How long they may take to end, of themselves and when they were killed, in seconds.
_LEAVE, _DIE = 1.5, 0.5
# How long the clean-up after what was not finished may take, in seconds.
_TIDY = 1.0
# Batchers that are kept as they are sent; each renewal of keys makes another.
_KEPT = 8
# Of loads that a worker has got nothing of, so many are enough.
_IN_VAIN = 2


def workers_for(processors: int, wanted: int | None) -> int:
    """Return how many workers there are to be, where so many are wanted; None is as many as pay."""
    if wanted is not None:
        return wanted
    return min(processors, _MOST) if processors > 1 else 0


class SentLoad:
    """A load that a worker carries; `lost` if the worker has died with it.

    `stopped` before its end by us, it says nothing of the worker.
    """

    def __init__(self, worker: Worker, number: int, order: Order) -> None:
        self.order = order
        self.future: Future[None] = Future()
        self.future.set_running_or_notify_cancel()
        self.number = number
        self.size = 0
        self.pulse = 0.0
        self.lost = self.stopped = False
        self._worker = worker
        self._result: tuple[list[Arrival], list[int]] | None = None

    def interrupt(self) -> None:
        """Have it come to its end soon."""
        self.stopped = True
        self._worker.tell(Stop(self.number, for_good=False))

    def abandon(self) -> None:
        """Have nothing more of it arrive, and whatever it has begun cleaned up."""
        self._worker.tell(Stop(self.number, for_good=True))

    def end(self) -> tuple[list[Arrival], list[int]]:
        """Return what has arrived and what has not; until it has ended, nothing has."""
        if self._result is None:
            self._result = [], list(range(len(self.order.files)))
        return self._result

    def moved(self, size: int, pulse: float) -> None:
        """Take note of how far it is."""
        self.size, self.pulse = size, pulse

    def ended(self, arrived: list[Arrival], left: list[int], size: int) -> None:
        """Take note of its end."""
        if self._result is None:
            self.size = size
            self._result = arrived, left
        self.future.set_result(None)

    def lose(self) -> None:
        """Take note that nobody carries it any more."""
        self.lost = True
        self.future.set_exception(ConnectionLostError("the worker process has ended"))


class Worker(asyncio.Protocol):
    """One process, as the event loop sees it; the fleet is told if it fails."""

    def __init__(self, fleet: Fleet) -> None:
        self.ready = False
        self._fleet = fleet
        self._ended = anyio.Event()
        self._leaving = False
        self._transport: asyncio.WriteTransport | None = None
        self._arriving = Unpacker()
        self._loads: dict[int, SentLoad] = {}
        self._known: list[Batcher] = []
        self._numbers = 0
        self._proved = False
        self._in_vain = 0

    @property
    def busy(self) -> int:
        """How many loads it has."""
        return len(self._loads)

    @property
    def orders(self) -> list[Order]:
        """What it has been told to carry, and has not come to the end of."""
        return [sent.order for sent in self._loads.values()]

    def carry(self, order: Order) -> SentLoad:
        """Have files carried from one store to another."""
        stores = self._introduce(order.source), self._introduce(order.target)
        self._numbers += 1
        sent = SentLoad(self, self._numbers, order)
        self._loads[sent.number] = sent
        self.tell(messages.carry(sent.number, stores, order.way, order.intent, order.files))
        return sent

    def _introduce(self, known: Portable) -> int:
        for number, batcher in enumerate(self._known):
            if batcher is known.batcher:
                return number
        self._known.append(known.batcher)
        number = len(self._known) - 1
        self.tell(Know(number, known.pickled))
        return number

    def tell(self, message: Message) -> None:
        """Send a message; one that has ended does not hear it."""
        if self._transport is not None and not self._leaving:
            self._transport.write(packed(message))

    def kill(self) -> None:
        """End it at once, with all the others: it does not answer."""
        self._fleet.lament("it does not answer")
        self._fleet.kill()

    def hang_up(self) -> None:
        """Have it end; what it has is given up."""
        self._lose_all()
        if self._transport is not None and not self._leaving:
            with suppress(OSError):  # it has hung up before
                self._transport.write_eof()
        self._leaving = True

    async def gone(self) -> None:
        """Wait until the process has ended, and so does nothing any more."""
        await self._ended.wait()

    def forget(self) -> None:
        """Do not listen any more."""
        if self._transport is not None:
            self._transport.abort()

    def _lose_all(self) -> None:
        """Give it no more, and give up what it has."""
        self.ready = False
        lost, self._loads = list(self._loads.values()), {}
        for sent in lost:
            sent.lose()

    # --- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        # Not every loop's transports say that they are one.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Take in what it tells."""
        for message in self._arriving.feed(data):
            self._hear(message)

    def _hear(self, message: Message) -> None:
        if isinstance(message, Ready):
            self.ready = not self._leaving
        elif isinstance(message, Moving):
            for number, size, pulse in message.loads:
                if number in self._loads:
                    self._loads[number].moved(size, pulse)
        elif isinstance(message, Ended) and message.number in self._loads:
            sent = self._loads.pop(message.number)
            sent.ended(messages.arrivals_of(message), message.left, message.size)
            self._judge(message, stopped=sent.stopped)

    def _judge(self, message: Ended, *, stopped: bool) -> None:
        """Give it no more if it fails, or lacks something that we have.

        That may be a name server, or certificates: nobody here can tell it from a server
        that refuses everything, of which others will tell.
        """
        self._proved = self._proved or bool(message.arrived)
        self._in_vain = 0 if message.arrived else self._in_vain + (not stopped)
        if message.trouble and self.ready:
            self._fleet.lament(message.trouble)
        if message.trouble or (self._in_vain >= _IN_VAIN and not self._proved):
            self.ready = False

    def connection_lost(self, error: Exception | None) -> None:
        """Give up what it had; tell of it, unless that was wanted."""
        del error
        self._ended.set()
        self._lose_all()
        if not self._leaving:
            self._leaving = True
            self._fleet.lament("it has ended")


class Portable(NamedTuple):
    """A batcher, and how it is sent to another process."""

    batcher: Batcher
    pickled: bytes

    def __repr__(self) -> str:
        """There are keys in it."""
        return "<batcher>"


class Order(NamedTuple):
    """Files to carry from one store to another, all meant so."""

    source: Portable
    target: Portable
    way: Way
    intent: Intent
    files: Sequence[File]

    def clear(self) -> None:
        """Remove what was left at the target by whoever has not come to the end of it; blocks."""
        clear(self.target.batcher, self.intent, self.files)


class Fleet:
    """At most so many workers as `count`; `close` ends them.

    They are not worth their while before there is work for `worth` seconds.
    """

    def __init__(
        self, count: int, worth: float, *, connect_timeout: float, notify: Callable[[str], None]
    ) -> None:
        self.worth = worth
        self._count = count
        self._connect_timeout = connect_timeout
        self._notify = notify
        self._workers: list[Worker] = []
        self._first: subprocess.Popen[bytes] | None = None
        self._begun = False
        self._lamented = False
        self._portable: deque[tuple[Batcher, Portable | None]] = deque(maxlen=_KEPT)

    @classmethod
    def from_settings(cls, settings: Settings, notify: Callable[[str], None]) -> Fleet:
        """Return a fleet with nobody in it yet."""
        count = workers_for(usable_processors(), settings.workers)
        worth = WORTH if settings.workers is None else 0
        return cls(count, worth, connect_timeout=settings.connect_timeout, notify=notify)

    @property
    def waits(self) -> bool:
        """Whether there could be workers that have not been begun."""
        return self._count > 0 and not self._begun

    def idlest(self) -> Worker | None:
        """Return the worker with the least to do, None if there is none."""
        ready = [worker for worker in self._workers if worker.ready]
        return min(ready, key=_busy) if ready else None

    def portable(self, batcher: Batcher) -> Portable | None:
        """Return what can be sent to a worker, None for what cannot be pickled."""
        for known, portable in self._portable:
            if known is batcher:
                return portable
        try:
            found = Portable(batcher, pickle.dumps(batcher, pickle.HIGHEST_PROTOCOL))
        except Exception:  # noqa: BLE001 - whatever a plug-in raises
            found = None
            if not self.worth:  # they were asked for
                self.lament("a store cannot be told to it")
        self._portable.append((batcher, found))
        return found

    async def begin(self, modules: Iterable[str]) -> None:
        """Begin all of them, if that was not done yet; each is used from when it is ready.

        `modules` are what they will need.
        """
        if not self.waits:
            return
        self._begun = True
        program = interpreter()
        if program is None:
            if not self.worth:
                self.lament("this program is not Python's own")
            return
        start = partial(started, program, self._count, self._connect_timeout, modules)
        loop = asyncio.get_running_loop()
        with anyio.CancelScope(shield=True):
            try:
                self._first, lines = await anyio.to_thread.run_sync(start)
            except OSError as error:
                self.lament(error.strerror or str(error))
                return
            for line in lines:
                _, worker = await loop.create_unix_connection(partial(Worker, self), sock=line)
                self._workers.append(worker)

    def lament(self, reason: str) -> None:
        """Tell, once, that a worker does not do what it should."""
        if not self._lamented:
            self._lamented = True
            self._notify(f"a worker process has failed ({reason}): its files are moved without it")

    def kill(self) -> None:
        """End them all at once; they may do what they are at until they are `gone`."""
        if self._first is not None:
            with suppress(ProcessLookupError, PermissionError):  # of dead ones, some systems say
                os.killpg(self._first.pid, signal.SIGKILL)
        for worker in self._workers:
            worker.hang_up()

    async def close(self) -> None:
        """End them all, and wait for that."""
        first, workers = self._first, self._workers
        if first is not None:
            with anyio.CancelScope(shield=True):
                patience = _LEAVE if any(worker.ready for worker in workers) else 0
                unfinished = [order for worker in workers for order in worker.orders]
                for worker in workers:
                    worker.hang_up()
                if not await _all_gone(workers, patience):
                    self.kill()
                    await _all_gone(workers, _DIE)
                await anyio.to_thread.run_sync(_reap, first)
                for worker in workers:
                    worker.forget()
                await tidy_up([order.clear for order in unfinished])
        self._first, self._workers, self._begun = None, [], False
        self._portable.clear()


async def tidy_up(clearings: Iterable[Callable[[], None]]) -> None:
    """Remove what was left of loads that nobody carries any more; a disk may not answer."""
    with anyio.move_on_after(_TIDY, shield=True):
        for clearing in clearings:
            await anyio.to_thread.run_sync(clearing, abandon_on_cancel=True)


async def _all_gone(workers: Sequence[Worker], patience: float) -> bool:
    with anyio.move_on_after(patience) as scope:
        for worker in workers:
            await worker.gone()
    return not scope.cancelled_caught


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Take note of the end of a process; one that the kernel does not end is left to it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DIE)


def _busy(worker: Worker) -> int:
    return worker.busy
