from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import anyio
import pytest

from tests.faults.harness import Clock


def test_it_runs_along():
    clock = Clock()
    assert abs(clock.time() - time.time()) < 1
    first = clock.monotonic()
    time.sleep(0.002)
    assert clock.monotonic() > first


def test_hours_cost_nothing():
    clock = Clock()
    wall, steady = clock.time(), clock.monotonic()
    clock.advance(7200)
    assert 7200 <= clock.time() - wall < 7201
    assert 7200 <= clock.monotonic() - steady < 7201


def test_time_can_stand_still():
    clock = Clock(frozen_at=1000.0)
    assert (clock.time(), clock.monotonic()) == (1000.0, 0.0)
    clock.advance(5.5)
    assert (clock.time(), clock.monotonic()) == (1005.5, 5.5)


def test_the_wall_clock_can_be_set_back_and_nothing_else():
    clock = Clock(frozen_at=1000.0)
    clock.jump(-600)
    assert (clock.time(), clock.monotonic()) == (400.0, 0.0)
    with pytest.raises(ValueError, match="does not run backwards"):
        clock.advance(-1)


async def test_sleepers_wake_when_their_time_has_come():
    clock = Clock(frozen_at=0.0)
    woken = []

    async def sleeper(seconds):
        await clock.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as group:
        for seconds in (3600, 60, 0):
            group.start_soon(sleeper, seconds)
        await anyio.wait_all_tasks_blocked()
        assert woken == [0]
        clock.advance(59)
        await anyio.wait_all_tasks_blocked()
        assert woken == [0]
        clock.advance(1)
        await anyio.wait_all_tasks_blocked()
        assert woken == [0, 60]
        clock.jump(1e6)
        await anyio.wait_all_tasks_blocked()
        assert woken == [0, 60]
        await anyio.to_thread.run_sync(clock.advance, 3540)
    assert woken == [0, 60, 3600]


async def test_a_clock_that_runs_wakes_by_itself_too():
    with anyio.fail_after(5):
        await Clock().sleep(0.005)


def test_dates_of_http():
    clock = Clock(frozen_at=1_369_353_600.0)
    assert clock.http_date() == "Fri, 24 May 2013 00:00:00 GMT"
    assert parsedate_to_datetime(clock.http_date(60)).timestamp() == 1_369_353_660
