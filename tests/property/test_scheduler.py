"""Random transfers on random stores: the bounds hold at every moment, and everything settles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import assume, given
from hypothesis import strategies as st

from transfer.errors import AccessError, InterruptedTransferError
from transfer.machine import (
    Abort,
    Aborted,
    Command,
    Complete,
    Completed,
    Create,
    Created,
    Event,
    Failed,
    Machine,
    Put,
    Send,
    Sent,
    State,
    Stored,
)
from transfer.model import ObjectInfo, Receipt, Upload
from transfer.planner import Plan
from transfer.scheduler import Job, Limits, Scheduler

UPLOAD = Upload("key", "id", None, None)
INFO = ObjectInfo("key", 1)
STORES = {"a": None, "b": 1, "c": 3, "d": 8}


def jobs() -> st.SearchStrategy[Job]:
    plans = st.builds(Plan, st.integers(0, 60), st.none() | st.integers(1, 20))
    stores = st.lists(st.sampled_from(sorted(STORES)), unique=True, max_size=2)
    return st.builds(
        Job,
        st.builds(Machine, plans, keep=st.booleans()),
        stores.map(lambda names: tuple((name, STORES[name]) for name in names)),
        st.sampled_from([0, 1, 10, 30, 1000]),
    )


@dataclass
class Crew:
    """Starts what the scheduler gives, lands it in a random order, and watches the bounds."""

    data: st.DataObject
    scheduler: Scheduler
    waiting: list[Job]
    failing: bool = False
    flying: list[tuple[Job, Command]] = field(default_factory=list)
    settled: list[Job] = field(default_factory=list)

    def take_on(self) -> None:
        while self.waiting and self.scheduler.has_room:
            self.scheduler.add(self.waiting.pop(0))
        assert len(self.scheduler.jobs) <= self.scheduler.limits.transfers

    def start(self) -> None:
        while (task := self.scheduler.next()) is not None:
            self.flying.append(task)
            self.check()

    def check(self) -> None:
        limits = self.scheduler.limits
        assert len(self.flying) <= limits.operations
        memory = sum(job.buffer for job, _ in self.flying)
        assert memory <= limits.memory or len(self.flying) == 1
        busy = Counter(name for job, _ in self.flying for name, _ in job.stores)
        assert all(limit is None or busy[name] <= limit for name, limit in STORES.items())
        assert (self.scheduler.operations, self.scheduler.memory) == (len(self.flying), memory)

    def land(self) -> None:
        job, command = self.flying.pop(self.data.draw(st.integers(0, len(self.flying) - 1)))
        if self.scheduler.feed(job, self.outcome(command)):
            self.settled.append(job)
        self.check()

    def outcome(self, command: Command) -> Event:
        if self.failing and self.data.draw(st.integers(0, 7)) == 0:
            number = command.part.number if isinstance(command, Send) else None
            return Failed(AccessError("no"), number)
        match command:
            case Put():
                return Stored(INFO)
            case Create():
                return Created(UPLOAD)
            case Send(_, part):
                return Sent(Receipt(part.number, part.span.size, "e"))
            case Complete():
                return Completed(INFO)
            case Abort():
                return Aborted()

    def work(self, *, steps: int = 10_000) -> None:
        for _ in range(steps):
            self.take_on()
            self.start()
            if not self.flying:
                return
            self.land()


CREWS = st.tuples(
    st.lists(jobs(), max_size=12),
    st.builds(Limits, st.integers(1, 10), st.integers(1, 8), st.integers(0, 100)),
)


@given(st.data(), CREWS, st.booleans())
def test_bounds_hold_and_everything_settles(
    data: st.DataObject, case: tuple[list[Job], Limits], failing: bool
):
    waiting, limits = case
    crew = Crew(data, Scheduler(limits), list(waiting), failing)
    crew.work()
    assert crew.scheduler.jobs == []
    assert {id(job) for job in crew.settled} == {id(job) for job in waiting}
    assert len(crew.settled) == len(waiting)
    if not failing:
        assert all(job.machine.state is State.DONE for job in waiting)


@given(st.data(), CREWS, st.integers(0, 20))
def test_after_a_stop_everything_settles_and_nothing_new_is_begun(
    data: st.DataObject, case: tuple[list[Job], Limits], steps: int
):
    waiting, limits = case
    crew = Crew(data, Scheduler(limits), list(waiting))
    crew.work(steps=steps)
    crew.waiting.clear()
    crew.settled += crew.scheduler.stop(InterruptedTransferError("out"))
    under_way = len(crew.flying)
    begun = [job for job in waiting if job.machine.state is not State.NEW]
    while True:
        while (task := crew.scheduler.next()) is not None:
            assert isinstance(task[1], Abort)
            crew.flying.append(task)
            crew.check()
        if not crew.flying:
            break
        crew.land()
    assert crew.scheduler.jobs == []
    assert under_way <= limits.operations
    assert all(job.machine.settled for job in begun)


@given(st.data(), CREWS)
def test_what_was_begun_first_comes_first(data: st.DataObject, case: tuple[list[Job], Limits]):
    """Without bounds of stores and memory, a slot goes to a younger transfer only if it must."""
    waiting, limits = case
    assume(limits.operations > 1)
    plain = [Job(job.machine) for job in waiting]
    crew = Crew(data, Scheduler(limits), list(plain))
    order = {id(job): number for number, job in enumerate(plain)}
    for _ in range(40):
        crew.take_on()
        while (task := crew.scheduler.next()) is not None:
            older = [job for job in crew.scheduler.jobs if order[id(job)] < order[id(task[0])]]
            assert all(job.machine.next() is None for job in older)
            crew.flying.append(task)
        if not crew.flying:
            return
        crew.land()
