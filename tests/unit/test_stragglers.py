from __future__ import annotations

from dataclasses import replace
from statistics import mean

import pytest

from tests.support.simulated_network import DATA_CENTRE, LOSSY, MIB, transferred
from transfer.stragglers import Flight, Stragglers

SIZE = 10 * MIB


def usual(seconds: float = 1.0, count: int = 8) -> Stragglers:
    """Parts of 10 MiB have taken so many seconds each."""
    stragglers = Stragglers()
    for _ in range(count):
        stragglers.landed(SIZE, seconds)
    return stragglers


def observed(stragglers, rates, *, seconds=3.0, idle=8, cuts=0, moved=0.0):
    """Let parts move at a share of the usual rate; return what is cut in the end."""
    found = []
    for tick in range(round(seconds * 10) + 1):
        now = tick / 10
        flights = [
            Flight(name, SIZE, min(SIZE, int(moved + rate * SIZE * now)), 0.0, cuts)
            for name, rate in rates.items()
        ]
        found = stragglers.observe(now, flights, idle)
    return found


def test_a_part_at_a_tenth_of_the_pace_is_cut():
    assert observed(usual(), {"slow": 0.1}) == ["slow"]


def test_a_part_that_is_nearly_done_is_left_alone():
    assert observed(usual(), {"slow": 0.1}, moved=0.65 * SIZE) == []


def test_a_part_that_was_fast_and_stands_still_is_cut():
    stragglers = usual()
    observed(stragglers, {"one": 0.9}, seconds=1)
    for tick in range(40):
        found = stragglers.observe(1 + tick / 10, [Flight("one", SIZE, int(0.9 * SIZE), 0.0)], 1)
    assert found == ["one"]


@pytest.mark.parametrize("moved", [0, SIZE])
def test_what_has_not_begun_or_only_waits_for_its_answer_is_left_alone(moved):
    assert observed(usual(), {"one": 0.0}, seconds=60, moved=moved) == []


def test_nothing_is_cut_while_there_is_other_work():
    assert observed(usual(), {"slow": 0.1}, idle=0) == []


def test_nothing_is_cut_before_anything_is_known():
    assert observed(Stragglers(), {"slow": 0.1}) == []
    assert observed(usual(count=2), {"slow": 0.1}) == []


def test_parts_that_are_all_slow_are_not_late_before_the_line_is_empty():
    rates = {f"part {number}": 0.1 for number in range(12)}
    assert observed(usual(), rates, idle=1) == []
    assert len(observed(usual(), rates, idle=30)) == 4


def test_what_stands_still_altogether_is_an_outage():
    assert observed(usual(), {"a": 0.0, "b": 0.0}, moved=SIZE // 2) == []
    assert observed(usual(), {"a": 0.0}, moved=SIZE // 2) == ["a"]


def test_short_parts_are_not_worth_it():
    assert observed(usual(0.01), {"slow": 0.8}, seconds=1.2) == []


def test_the_latest_come_first_and_some_connections_stay_idle():
    rates = {"a": 0.1, "b": 0.01, "c": 0.1}
    assert observed(usual(), rates, idle=1) == ["b"]
    assert len(observed(usual(), rates, idle=8)) == 2


def test_a_part_is_not_cut_again_and_again():
    assert observed(usual(), {"slow": 0.2}, cuts=0) == ["slow"]
    assert observed(usual(), {"slow": 0.2}, cuts=2) == []
    assert observed(usual(), {"slow": 0.01}, cuts=2) == ["slow"]
    assert observed(usual(), {"slow": 0.01}, cuts=3) == []


def test_a_part_that_has_begun_again_is_looked_at_afresh():
    stragglers = usual()
    assert observed(stragglers, {"slow": 0.1}) == ["slow"]
    for tick in range(8):
        now = 3 + tick / 10
        assert stragglers.observe(now, [Flight("slow", SIZE, 1000 * tick, 3.0, 1)], 8) == []
    assert repr(stragglers) == "<Stragglers 1 in flight, 8 known>"


def test_a_path_that_has_gone_bad_holds_up_nobody():
    path = replace(DATA_CENTRE, slow={3: 1e6})
    size, part = 800 * MIB, 16 * MIB
    patient = transferred(path, size, part, fixed=8, cutting=False)
    cut = transferred(path, size, part, fixed=8)
    assert cut.cut == 1
    assert cut.seconds < 0.4 * patient.seconds


def test_a_lossy_path_gains():
    def seconds(*, cutting):
        return mean(
            transferred(LOSSY, 512 * MIB, fixed=64, seed=seed, cutting=cutting).seconds
            for seed in range(5)
        )

    assert seconds(cutting=True) < seconds(cutting=False)


def test_where_all_are_alike_nothing_is_cut():
    assert transferred(DATA_CENTRE, 2000 * MIB, fixed=8).cut == 0
