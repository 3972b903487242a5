"""The controller on its own, then on paths whose best number of connections is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.simulated_network import (
    DATA_CENTRE,
    HOME,
    LOOPBACK,
    LOSSY,
    MIB,
    transferred,
    with_bbr,
)
from transfer.pacing import Bounds, Pacer, Sample

SEEDS = range(5)


class Line:
    """Feeds a pacer, a tenth of a second at a time, with what so many connections bring."""

    def __init__(self, pacer, rate_of):
        self.pacer = pacer
        self.rate_of = rate_of
        self.now = 100.0
        self.moved = self.throttled = self.failed = 0

    def run(self, seconds, *, busy=None):
        limits = []
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            at_work = self.pacer.limit if busy is None else min(busy, self.pacer.limit)
            self.moved += int(self.rate_of(at_work) / 10)
            sample = Sample(self.moved, at_work, self.throttled, self.failed)
            limits.append(self.pacer.observe(self.now, sample))
        return limits


def test_it_climbs_while_more_bring_more():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    assert sorted(set(line.run(3))) == [8, 16, 32, 64]


def test_what_brings_nothing_is_given_back():
    line = Line(Pacer(Bounds()), lambda busy: 1e9)
    assert max(line.run(9)) == 16
    assert line.pacer.limit == 8


def test_trials_get_seldom_where_they_bring_nothing():
    line = Line(Pacer(Bounds()), lambda busy: 1e9)
    line.run(60)
    limits = line.run(240)
    assert sum(limit != 8 for limit in limits) / len(limits) < 0.02
    assert max(limits) == 10


def test_numbers_that_were_not_used_are_not_raised():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    assert set(line.run(30, busy=5)) == {8}


def test_nothing_that_moves_is_no_reason_for_anything():
    line = Line(Pacer(Bounds()), lambda busy: 0)
    assert set(line.run(30)) == {8}


def test_a_store_that_throttles_halves_it_once_for_all_that_complain_together():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    line.run(3)
    line.throttled = 7
    assert set(line.run(0.5)) == {32}
    line.throttled = 20
    assert set(line.run(1)) == {32}
    line.run(1)
    line.throttled = 21
    assert line.run(0.1) == [16]


def test_it_grows_again_by_small_steps_some_time_after_a_complaint():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    line.run(3)
    line.throttled = 1
    assert set(line.run(10)) == {32}
    assert line.run(2)[-1] in range(33, 65)


def test_it_never_goes_below_one():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    for _ in range(10):
        line.throttled += 1
        line.run(3)
    assert line.pacer.limit == 1


def test_attempts_that_fail_stop_the_climb_for_as_long_as_they_do():
    line = Line(Pacer(Bounds()), lambda busy: busy * 1e6)
    for _ in range(50):
        line.failed += 1
        assert line.run(0.1) == [8]
    assert line.run(3)[-1] == 64


def test_goodput_that_falls_is_a_reason_to_try_more():
    line = Line(Pacer(Bounds()), lambda busy: 1e8)
    line.run(9)
    assert line.pacer.limit == 8
    line.rate_of = lambda busy: busy * 2e6
    assert line.run(6)[-1] > 32


def test_a_fixed_number_stays():
    line = Line(Pacer(Bounds(12, 12)), lambda busy: busy * 1e6)
    assert set(line.run(60)) == {12}
    assert "12 of 12" in repr(line.pacer)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_machine_needs_no_more_than_it_began_with(seed):
    outcome = transferred(LOOPBACK, 20_000 * MIB, 16 * MIB, seed=seed)
    assert max(limit for _, limit in outcome.limits) <= 16
    assert outcome.last == 8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_data_centre_gives_each_connection_a_share_and_is_filled(seed):
    outcome = transferred(DATA_CENTRE, 10_000 * MIB, seed=seed)
    fixed = transferred(DATA_CENTRE, 10_000 * MIB, seed=seed, fixed=8)
    assert outcome.seconds < 0.55 * fixed.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_and_lossy_path_needs_many(seed):
    outcome = transferred(LOSSY, 4096 * MIB, 16 * MIB, seed=seed)
    best = transferred(LOSSY, 4096 * MIB, 16 * MIB, seed=seed, fixed=64)
    few = transferred(LOSSY, 4096 * MIB, 16 * MIB, seed=seed, fixed=8)
    assert outcome.seconds < 1.3 * best.seconds
    assert outcome.seconds < 0.3 * few.seconds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_transfer_on_such_a_path_gains_too(seed):
    outcome = transferred(LOSSY, 512 * MIB, 5 * MIB, seed=seed)
    assert (
        outcome.seconds < 0.4 * transferred(LOSSY, 512 * MIB, 5 * MIB, seed=seed, fixed=8).seconds
    )


def test_with_other_congestion_control_many_do_no_harm():
    outcome = transferred(with_bbr(LOSSY), 512 * MIB, 5 * MIB)
    assert outcome.seconds < transferred(with_bbr(LOSSY), 512 * MIB, 5 * MIB, fixed=8).seconds


def test_a_thin_line_is_not_cut_into_many_slow_parts():
    assert transferred(HOME, 100 * MIB).last <= 16


@pytest.mark.parametrize("most", [6, 20, 40])
def test_what_a_store_can_bear_is_found(most):
    outcome = transferred(replace(DATA_CENTRE, most=most), 20_000 * MIB)
    assert outcome.refused < 0.15 * 2500
    assert outcome.last <= most
