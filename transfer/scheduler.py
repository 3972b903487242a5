"""Which transfer gets the next free slot: many machines, one queue, no clock.

What was begun is finished first: slots go to the oldest transfer that has
something to start, so that parts of one large file fill the line while small
files take what is left, and few files are open at a time. Three bounds hold at
every moment: operations under way in all, per store, and the memory they may hold.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from transfer.errors import TransferError
    from transfer.machine import Command, Event, Machine


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run: operations at once, transfers begun at once, bytes of memory."""

    operations: int
    transfers: int
    memory: int


@dataclass(eq=False, slots=True)
class Job:
    """A machine with the stores it keeps busy.

    `stores` maps each store to how many operations it takes at once (None: no
    limit); `buffer` is the memory one operation may hold, in bytes.
    """

    machine: Machine
    stores: tuple[tuple[Hashable, int | None], ...] = ()
    buffer: int = 0


class Scheduler:
    """Hands out commands one by one, and takes in what became of them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.jobs: list[Job] = []
        self.operations = 0
        self.memory = 0
        self._busy: Counter[Hashable] = Counter()

    def __repr__(self) -> str:
        return f"<Scheduler {len(self.jobs)} transfers, {self.operations} operations under way>"

    @property
    def has_room(self) -> bool:
        """Whether another transfer may begin."""
        return len(self.jobs) < self.limits.transfers

    @property
    def spent(self) -> bool:
        """Whether no transfer has a part that is still to be begun."""
        return all(job.machine.spent for job in self.jobs)

    def add(self, job: Job) -> None:
        """Take on a transfer."""
        self.jobs.append(job)

    def next(self) -> tuple[Job, Command] | None:
        """Return an operation to start now, None if there is none to be had."""
        if self.operations >= self.limits.operations:
            return None
        for job in self.jobs:
            if self._fits(job) and (command := job.machine.next()) is not None:
                self._count(job, 1)
                return job, command
        return None

    def feed(self, job: Job, event: Event) -> bool:
        """Report the end of an operation; True if that settled the transfer."""
        self._count(job, -1)
        job.machine.feed(event)
        return self._drop_if_settled(job)

    def stop(self, error: TransferError) -> list[Job]:
        """Give everything up; return what settled at once."""
        for job in self.jobs:
            job.machine.stop(error)
        return [job for job in tuple(self.jobs) if self._drop_if_settled(job)]

    def _fits(self, job: Job) -> bool:
        """One operation always fits, or nothing would ever move."""
        if self.operations and self.memory + job.buffer > self.limits.memory:
            return False
        return all(limit is None or self._busy[store] < limit for store, limit in job.stores)

    def _count(self, job: Job, step: int) -> None:
        self.operations += step
        self.memory += step * job.buffer
        for store, _ in job.stores:
            self._busy[store] += step

    def _drop_if_settled(self, job: Job) -> bool:
        if job.machine.settled:
            self.jobs.remove(job)
            return True
        return False
