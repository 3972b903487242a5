from __future__ import annotations

import pytest

from transfer.advice import (
    CONNECTIONS,
    PART_SIZES,
    Limit,
    Surroundings,
    Trial,
    best,
    limit_of,
    next_settings,
)
from transfer.sizes import MIB

AROUND = Surroundings(latency=0.05, cores=4, disk_read=5e9, disk_write=5e9)
SMALLEST = PART_SIZES[0]


def trial(
    connections: int,
    rate: float,
    *,
    part_size: int = SMALLEST,
    cpu: float = 0.1,
    throttled: int = 0,
    upload: bool = True,
) -> Trial:
    size = 100 * MIB
    seconds = size / (rate * MIB)
    return Trial(upload, connections, part_size, size, seconds, cpu * seconds, 0, throttled)


def walked(rates: dict[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Return the settings that are tried where a setting has a rate."""
    trials: list[Trial] = []
    while (wanted := next_settings(trials)) is not None:
        trials.append(trial(wanted[0], rates.get(wanted, 1), part_size=wanted[1]))
        assert len(trials) < 20
    return [(trial.connections, trial.part_size) for trial in trials]


def test_first_trial_is_the_smallest():
    assert next_settings([]) == (CONNECTIONS[0], SMALLEST)


def test_connections_are_raised_as_long_as_that_pays():
    rates = {(n, SMALLEST): float(n) for n in CONNECTIONS}
    tried = walked(rates)
    assert tried[:5] == [(n, SMALLEST) for n in CONNECTIONS]


def test_after_a_step_that_did_not_pay_come_the_part_sizes_at_the_best_number():
    rates = {(4, SMALLEST): 10, (8, SMALLEST): 20, (16, SMALLEST): 21, (8, 16 * MIB): 30}
    assert walked(rates) == [
        (4, SMALLEST),
        (8, SMALLEST),
        (16, SMALLEST),
        (8, 16 * MIB),
        (8, 32 * MIB),
    ]


def test_server_that_throttles_is_not_asked_for_more_connections():
    trials = [trial(4, 10), trial(8, 100, throttled=3)]
    assert next_settings(trials) != (16, SMALLEST)


def test_fewer_connections_win_where_more_bring_next_to_nothing():
    trials = [trial(4, 50), trial(8, 97), trial(16, 100)]
    assert best(trials).connections == 8


def test_best_of_much_faster_ones_is_the_fastest():
    assert best([trial(4, 50), trial(8, 80), trial(16, 100)]).connections == 16


@pytest.mark.parametrize(
    ("trials", "around", "limit"),
    [
        ([trial(4, 10), trial(8, 20, throttled=1)], AROUND, Limit.THROTTLED),
        ([trial(4, 10), trial(8, 20, cpu=3.9)], AROUND, Limit.PROCESSOR),
        ([trial(4, 10), trial(8, 20)], Surroundings(0, 4, 21 * MIB, 5e9), Limit.DISK),
        ([trial(4, 10), trial(8, 20)], Surroundings(0, 4, 5e9, 21 * MIB), Limit.LATENCY),
        (
            [trial(4, 10, upload=False), trial(8, 20, upload=False)],
            Surroundings(0, 4, 5e9, 21 * MIB),
            Limit.DISK,
        ),
        ([trial(4, 10), trial(8, 20)], AROUND, Limit.LATENCY),
        ([trial(4, 10), trial(8, 20)], Surroundings(0.05, 4, 6 * MIB, 5e9), Limit.LATENCY),
        ([trial(4, 100), trial(8, 101)], AROUND, Limit.BANDWIDTH),
        ([trial(4, 100)], AROUND, Limit.UNKNOWN),
    ],
)
def test_limit(trials: list[Trial], around: Surroundings, limit: Limit):
    found, reason = limit_of(trials, around)
    assert found is limit
    assert reason


def test_reason_names_the_figures():
    _, reason = limit_of([trial(4, 10), trial(8, 20)], AROUND)
    assert "2.50 MiB/s" in reason
    assert "50 ms" in reason
