from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from transfer.engine.tail import Tail
from transfer.errors import ConnectionLostError
from transfer.tally import Meter, Tally

SIZE = 1000


class Judge:
    """Finds late whom it is told to."""

    def __init__(self):
        self.late = []
        self.landings = []
        self.flights = []

    def observe(self, now, flights, idle):
        self.flights = [(flight.size, flight.moved, flight.cuts) for flight in flights]
        return [flight.key for flight in flights if flight.moved in self.late]

    def landed(self, size, seconds):
        self.landings.append(size)


@pytest.fixture
def judge():
    return Judge()


@pytest.fixture
def tail(judge):
    tail = Tail(lambda: 1)
    tail._stragglers = judge
    return tail


async def test_a_part_that_is_cut_is_sent_again_and_its_bytes_are_taken_back(tail, judge):
    meter, attempts, live = Meter(), [], []

    async def send(tally):
        attempts.append(tally)
        live.append(len(meter.live))
        tally.advance(10 * len(attempts))
        if len(attempts) < 3:
            await anyio.sleep_forever()
        return "sent"

    results = []

    async def carry():
        results.append(await tail.carry(SIZE, lambda: Tally(None, meter), send))

    async with anyio.create_task_group() as group:
        group.start_soon(carry)
        for moved in (10, 20):
            judge.late = [moved]
            await anyio.wait_all_tasks_blocked()
            tail.look()
            await anyio.wait_all_tasks_blocked()
    assert results == ["sent"]
    assert live == [1, 1, 1]
    assert meter.moved == 30
    assert tail.cuts == 2
    assert judge.landings == [SIZE]
    assert judge.flights == [(SIZE, 20, 1)]
    tail.look()
    assert judge.flights == []


async def test_others_are_not_touched(tail, judge):
    ends = []

    async def carry(moved):
        async def send(tally):
            tally.advance(moved)
            await anyio.lowlevel.checkpoint()
            await anyio.sleep_forever() if moved in judge.late else None
            return moved

        ends.append(await tail.carry(SIZE, Tally, send))

    async with anyio.create_task_group() as group:
        for moved in (1, 2, 3):
            group.start_soon(carry, moved)
        judge.late = [2]
        await anyio.wait_all_tasks_blocked()
        assert sorted(ends) == [1, 3]
        judge.late = []
        group.cancel_scope.cancel()


async def test_errors_and_cancellation_from_outside_pass(tail, judge):
    async def failing(tally):
        raise ConnectionLostError("gone")

    with pytest.raises(ConnectionLostError):
        await tail.carry(SIZE, Tally, failing)

    async def hanging(tally):
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await tail.carry(SIZE, Tally, hanging)
    assert scope.cancelled_caught
    assert judge.landings == []
    tail.look()
    assert judge.flights == []
