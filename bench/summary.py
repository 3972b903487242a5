"""From runs to rows: medians with their range, costs per unit, and slopes between two sizes."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from transfer.sizes import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bench.cases import Case
    from bench.rounds import Run

SMALLER, LARGER = GIB, 4 * GIB


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, with the least and the most that were measured."""

    middle: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Row:
    """One peer in one case; `cpu` and its halves per unit of the case, `peak` in bytes."""

    peer: str
    wall: Spread
    cpu: Spread
    user: float
    system: float
    peak: Spread
    server: float
    requests: float
    connections: float
    checks: str
    runs: int


@dataclass(frozen=True, slots=True)
class Slope:
    """What a GiB costs once a peer has started, and what starting has cost; seconds."""

    peer: str
    case: str
    cpu: float
    cpu_start: float
    wall: float
    wall_start: float


def spread(values: Iterable[float]) -> Spread:
    """Return median, least and most; ValueError for no values."""
    known = sorted(values)
    if not known:
        msg = "nothing was measured"
        raise ValueError(msg)
    return Spread(median(known), known[0], known[-1])


def units(case: Case) -> float:
    """Return in how many units costs are counted: GiB, or 1,000 files where files are small."""
    load = case.load
    return load.count / 1000 if load.small else load.bytes / GIB


def unit_name(case: Case) -> str:
    return "1,000 files" if case.load.small else "GiB"


def rows(case: Case, runs: Sequence[Run]) -> list[Row]:
    """Return a row for each peer of a case, the cheapest first."""
    peers = dict.fromkeys(run.peer for run in runs if run.case == case.name)
    made = [
        _row(case, peer, [run for run in runs if run.case == case.name and run.peer == peer])
        for peer in peers
    ]
    return sorted(made, key=lambda row: row.cpu.middle)


def _row(case: Case, peer: str, runs: Sequence[Run]) -> Row:
    unit = units(case)

    def middle(value: Callable[[Run], float]) -> float:
        return median(map(value, runs))

    return Row(
        peer,
        spread(run.wall for run in runs),
        spread((run.user + run.system) / unit for run in runs),
        middle(lambda run: run.user) / unit,
        middle(lambda run: run.system) / unit,
        spread(run.peak for run in runs),
        middle(lambda run: run.server) / unit,
        middle(lambda run: run.requests),
        middle(lambda run: run.connections),
        next((run.checks for run in runs if run.checks), ""),
        len(runs),
    )


def slopes(cases: Mapping[str, Case], runs: Sequence[Run]) -> list[Slope]:
    """Return the costs of a GiB between 1 and 4 GiB, for all that was measured at both."""
    found = []
    for small in cases.values():
        if (small.load.count, small.load.size) != (1, SMALLER):
            continue
        for large in cases.values():
            if _same_but_for_size(small, large) and large.load.size == LARGER:
                found += _slopes(small, large, runs)
    return found


def _same_but_for_size(one: Case, other: Case) -> bool:
    def rest(case: Case) -> tuple[object, ...]:
        load = case.load
        parts = (load.count, load.connections, load.part_size)
        return (*parts, case.upload, case.tls, case.congestion)

    return rest(one) == rest(other)


def _slopes(small: Case, large: Case, runs: Sequence[Run]) -> list[Slope]:
    at_small = {row.peer: row for row in rows(small, runs)}
    gib = (large.load.size - small.load.size) / GIB
    name = large.name.partition(" ")[2]
    made = []
    for row in rows(large, runs):
        if row.peer not in at_small:
            continue
        before = at_small[row.peer]
        cpu_small, cpu_large = before.cpu.middle * units(small), row.cpu.middle * units(large)
        cpu = (cpu_large - cpu_small) / gib
        wall = (row.wall.middle - before.wall.middle) / gib
        start = small.load.size / GIB
        made.append(
            Slope(
                row.peer,
                name,
                cpu,
                cpu_small - cpu * start,
                wall,
                before.wall.middle - wall * start,
            )
        )
    return sorted(made, key=lambda slope: slope.cpu)
