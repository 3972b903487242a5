from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.events import (
    FileDone,
    FileFailed,
    FileProgress,
    FileSkipped,
    Progress,
    Retrying,
    RunDone,
)
from transfer.model import Verified
from transfer.sinks.overview import WINDOW, Overview, Pace


def test_pace_starts_at_nothing():
    assert Pace(5.0).rate == 0


def test_pace_is_that_of_the_last_seconds():
    pace = Pace(0.0)
    for second in range(1, 101):
        pace.observe(second * 100, second)
    assert pace.rate == 100
    for second in range(101, 121):
        pace.observe(10_000 + (second - 100) * 900, second)
    assert pace.rate == 900


def test_pace_falls_to_nothing_when_nothing_moves():
    pace = Pace(0.0)
    pace.observe(1000, 1.0)
    pace.observe(1000, 1.0 + WINDOW)
    pace.observe(1000, 1.0 + 2 * WINDOW)
    assert pace.rate == 0


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10**15)), max_size=200))
def test_pace_is_never_negative_and_keeps_little(steps):
    pace, now = Pace(0.0), 0.0
    for pause, moved in steps:
        now += pause
        pace.observe(moved, now)
        assert pace.rate >= 0
        samples = list(pace._samples)
        assert all(when > now - WINDOW for when, _ in samples[2:])


def test_what_was_there_is_progress_but_not_speed():
    overview = Overview(0.0)
    overview.take(FileSkipped("a", "b", 10**12, "it is there"), 0.1)
    overview.take(Progress(10**12 + 500, 10**12 + 1000, 1, 2, listed=True), 1.0)
    assert overview.rate == 500
    assert overview.seconds_left == 1.0


def test_time_left_needs_a_total_and_a_speed():
    overview = Overview(0.0)
    assert overview.seconds_left is None
    overview.take(Progress(10, 1000, 0, 1, listed=False), 1.0)
    assert overview.seconds_left is None
    overview.take(Progress(10, 1000, 0, 1, listed=True), 1.0)
    assert overview.seconds_left == 99.0


def test_each_file_has_a_speed_of_its_own():
    overview = Overview(0.0)

    def tick(now, *running: FileProgress) -> None:
        overview.take(Progress(0, 0, 0, 2, listed=True, running=running), now)

    tick(1.0, FileProgress("waits", 0, 100), FileProgress("moves", 10, 100))
    tick(2.0, FileProgress("waits", 0, 100), FileProgress("moves", 30, 100))
    assert overview.rate_of("moves") == 15
    assert overview.rate_of("waits") == 0
    # Speed counts from when it moved, not from when it got into the queue.
    tick(3.0, FileProgress("waits", 50, 100))
    assert overview.rate_of("waits") == 50
    assert overview.rate_of("moves") == 0


def test_the_rest_is_counted():
    overview = Overview(0.0)
    retry = Retrying("t", "put", 1, 1.0, "reset")
    overview.take(retry, 3.0)
    overview.take(FileFailed("s", "t", "store", "no"), 4.0)
    overview.take(FileDone("s", "t", 1, 0, 1.0, Verified.SIZE), 5.0)
    summary = RunDone(1, 0, 1, 1, 0, 1, 5.0)
    overview.take(summary, 5.0)
    assert (overview.retries, overview.failed, overview.last_retry) == (1, 1, (3.0, retry))
    assert overview.verified == {Verified.SIZE: 1}
    assert overview.summary is summary
