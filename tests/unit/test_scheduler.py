from __future__ import annotations

from transfer.errors import InterruptedTransferError
from transfer.machine import Abort, Created, Failed, Machine, Put, Send, Sent, Stored
from transfer.model import ObjectInfo, Receipt, Upload
from transfer.planner import Plan
from transfer.scheduler import Job, Limits, Scheduler

UPLOAD = Upload("key", "id", 12, 4)
INFO = ObjectInfo("key", 12)
PARTS = Plan(12, 4)
PUT = Plan(12)


def scheduler(operations: int = 4, transfers: int = 8, memory: int = 100) -> Scheduler:
    return Scheduler(Limits(operations, transfers, memory))


def started(schedule: Scheduler, plan: Plan, **job: object) -> Job:
    """Add a job whose upload is open."""
    added = Job(Machine(plan), **job)  # type: ignore[arg-type]
    schedule.add(added)
    found = schedule.next()
    assert found is not None
    assert found[0] is added
    schedule.feed(added, Created(UPLOAD))
    return added


def drained(schedule: Scheduler) -> list[Job]:
    found = []
    while (task := schedule.next()) is not None:
        found.append(task[0])
    return found


def test_nothing_to_do():
    assert scheduler().next() is None


def test_parts_of_the_oldest_come_first_and_others_fill_what_is_left():
    schedule = scheduler(operations=4)
    old = started(schedule, PARTS)
    new = Job(Machine(PARTS))
    schedule.add(new)
    assert drained(schedule) == [old, old, old, new]
    schedule.feed(old, Sent(Receipt(1, 4, "e")))
    assert schedule.next() is None  # the new one is being created, the old one is waiting


def test_slot_that_gets_free_goes_to_the_oldest_again():
    schedule = scheduler(operations=2)
    old = started(schedule, PARTS)
    new = Job(Machine(PUT))
    schedule.add(new)
    assert drained(schedule) == [old, old]
    schedule.feed(old, Sent(Receipt(2, 4, "e")))
    assert drained(schedule) == [old]


def test_operations_are_bounded():
    schedule = scheduler(operations=3)
    for _ in range(5):
        schedule.add(Job(Machine(PUT)))
    assert len(drained(schedule)) == schedule.operations == 3


def test_store_that_is_busy_lets_others_pass():
    schedule = scheduler(operations=4)
    narrow = [Job(Machine(PUT), (("narrow", 1), ("wide", None))) for _ in range(2)]
    wide = Job(Machine(PUT), (("wide", None),))
    for job in (*narrow, wide):
        schedule.add(job)
    assert drained(schedule) == [narrow[0], wide]
    assert schedule.feed(narrow[0], Stored(INFO))
    assert drained(schedule) == [narrow[1]]


def test_memory_is_bounded():
    schedule = scheduler(memory=100)
    jobs = [Job(Machine(PUT), buffer=size) for size in (60, 60, 40)]
    for job in jobs:
        schedule.add(job)
    assert drained(schedule) == [jobs[0], jobs[2]]
    assert schedule.memory == 100


def test_one_operation_may_exceed_the_memory_or_nothing_would_ever_move():
    schedule = scheduler(memory=100)
    large, small = Job(Machine(PUT), buffer=1000), Job(Machine(PUT), buffer=1)
    schedule.add(large)
    schedule.add(small)
    assert drained(schedule) == [large]
    schedule.feed(large, Stored(INFO))
    assert drained(schedule) == [small]


def test_room_is_bounded_by_transfers():
    schedule = scheduler(transfers=2)
    job = Job(Machine(PUT))
    schedule.add(job)
    assert schedule.has_room
    schedule.add(Job(Machine(PUT)))
    assert not schedule.has_room
    schedule.next()
    assert schedule.feed(job, Stored(INFO))
    assert schedule.has_room
    assert job not in schedule.jobs


def test_feed_says_whether_the_transfer_is_settled():
    schedule = scheduler()
    job = started(schedule, PARTS)
    drained(schedule)
    assert not schedule.feed(job, Sent(Receipt(1, 4, "e")))
    assert not schedule.feed(job, Failed(InterruptedTransferError("out"), 2))
    assert job in schedule.jobs


def test_stop_settles_what_was_not_begun_and_aborts_the_rest():
    schedule = scheduler(operations=4)
    begun = started(schedule, PARTS)
    task = schedule.next()
    assert task is not None
    assert task[1] == Send(UPLOAD, PARTS.part(1))
    waiting = Job(Machine(PUT))
    schedule.add(waiting)
    assert schedule.stop(InterruptedTransferError("out")) == [waiting]
    assert schedule.jobs == [begun]
    assert schedule.next() is None
    schedule.feed(begun, Sent(Receipt(1, 4, "e")))
    assert schedule.next() == (begun, Abort(UPLOAD))


def test_counts_go_back_to_nothing():
    schedule = scheduler()
    job = Job(Machine(PUT), (("store", 1),), buffer=7)
    schedule.add(job)
    assert schedule.next() == (job, Put())
    assert (schedule.operations, schedule.memory) == (1, 7)
    schedule.feed(job, Stored(INFO))
    assert (schedule.operations, schedule.memory) == (0, 0)
    assert repr(schedule) == "<Scheduler 0 transfers, 0 operations under way>"


def test_spent_is_a_schedule_without_a_part_to_begin():
    schedule = scheduler(operations=8)
    assert schedule.spent
    started(schedule, PARTS)
    schedule.add(Job(Machine(PUT)))
    assert not schedule.spent
    drained(schedule)
    assert schedule.spent
