from __future__ import annotations

import anyio

from transfer.engine import pace
from transfer.engine.bell import Bell
from transfer.engine.pace import Odometer, keep_pace
from transfer.engine.turns import Turns
from transfer.pacing import Bounds, Pacer, Sample
from transfer.tally import Meter


class Crew:
    """Workers that wait at a bell between their turns, as those of a run do."""

    def __init__(self, limit):
        self.bell = Bell()
        self.turns = Turns(limit, self.work)
        self.at_work = 0
        self.over = False

    async def work(self):
        self.at_work += 1
        while not self.turns.surplus and not self.over:
            await self.bell.wait()
        self.at_work -= 1

    async def settle(self):
        self.bell.ring()
        await anyio.wait_all_tasks_blocked()
        return self.at_work


async def test_there_are_as_many_workers_as_turns():
    crew = Crew(3)
    async with anyio.create_task_group() as group:
        group.start_soon(crew.turns.run)
        assert await crew.settle() == 3
        crew.turns.change(7)
        assert await crew.settle() == 7
        crew.turns.change(2)
        assert await crew.settle() == 2
        assert not crew.turns.surplus
        crew.turns.change(4)
        assert await crew.settle() == 4
        crew.over = True
        assert await crew.settle() == 0


async def test_a_number_that_changes_when_all_is_over_hires_nobody():
    turns = Turns(2, anyio.lowlevel.checkpoint)
    await turns.run()
    turns.change(5)
    assert turns.limit == 5


async def test_nobody_is_cut_short_by_a_lower_number():
    finish = anyio.Event()
    done = []

    async def work():
        await finish.wait()
        done.append(turns.surplus)

    turns = Turns(3, work)
    async with anyio.create_task_group() as group:
        group.start_soon(turns.run)
        await anyio.wait_all_tasks_blocked()
        turns.change(1)
        await anyio.wait_all_tasks_blocked()
        assert done == []
        finish.set()
    assert done == [True, True, False]


async def test_changes_before_the_beginning_count():
    crew = Crew(3)
    crew.turns.change(5)
    async with anyio.create_task_group() as group:
        group.start_soon(crew.turns.run)
        assert await crew.settle() == 5
        group.cancel_scope.cancel()


async def test_the_bell_wakes_who_waits_and_nobody_later():
    bell, woken = Bell(), []

    async def sleeper(name):
        await bell.wait()
        woken.append(name)

    bell.ring()
    async with anyio.create_task_group() as group:
        group.start_soon(sleeper, "a")
        await anyio.wait_all_tasks_blocked()
        bell.ring()
        group.start_soon(sleeper, "b")
        await anyio.wait_all_tasks_blocked()
        assert woken == ["a"]
        bell.ring()


async def test_the_pacer_is_told_and_what_it_says_is_done(monkeypatch):
    monkeypatch.setattr(pace, "LOOK", 0)
    changes = []
    complaints = iter([0, 0, 1, 1])

    async with anyio.create_task_group() as group:

        def sample():
            count = next(complaints, None)
            if count is None:
                group.cancel_scope.cancel()
            return Sample(0, 8, 1 if count is None else count)

        group.start_soon(keep_pace, Pacer(Bounds(8, 64)), sample, changes.append)
    assert changes == [4]


def test_the_odometer_never_goes_back():
    meter, odometer = Meter(), Odometer()
    meter.settled = 100
    assert odometer.read([meter], 10) == 110
    meter.settled = 40  # an attempt has failed
    assert odometer.read([meter], 10) == 110
    meter.settled = 60
    assert odometer.read([meter], 10) == 130


def test_the_odometer_goes_on_when_a_file_is_done():
    one, other, odometer = Meter(), Meter(), Odometer()
    one.settled, other.settled = 100, 50
    assert odometer.read([one, other], 0) == 150
    odometer.left(one.travelled)
    assert odometer.read([other], 0) == 150
    other.settled = 60
    other.there = 5
    assert odometer.read([other], 3) == 158
