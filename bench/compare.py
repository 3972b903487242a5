"""Whether one benchmark is slower than another: ratios of paired runs.

The peers are the control: their programs are the same in both, so what has
changed for them is the machine, and our ratios are divided by theirs. A case
counts as slower if the median of the ratios is beyond the threshold and most
of the pairs say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.results import Results
    from bench.rounds import Run

    Measure: TypeAlias = Callable[[Run], float]

OURS = "transfer"
MEASURES: dict[str, Measure] = {
    "wall": lambda run: run.wall,
    "CPU": lambda run: run.user + run.system,
    "peak memory": lambda run: float(run.peak),
    "requests": lambda run: float(run.requests),
}
# What of a measure the state of the machine can change.
DRIFTING = {"wall", "CPU"}


@dataclass(frozen=True, slots=True)
class Change:
    """One measure of one peer in one case: `ratio` of new to old, without the `drift`."""

    case: str
    peer: str
    measure: str
    ratio: float
    drift: float
    agreeing: float

    def slower(self, threshold: float) -> bool:
        """Whether it has become worse by more than the threshold (0.1 is 10 %)."""
        return self.ratio > 1 + threshold and self.agreeing >= 0.75


def changes(old: Results, new: Results) -> list[Change]:
    """Return how our rows have changed, in all cases that both have measured."""
    return [
        change
        for case in old.cases
        for peer in _ours(new)
        for measure in MEASURES
        if (change := _change(old, new, case, peer, measure)) is not None
    ]


def _ours(results: Results) -> list[str]:
    return [peer for peer in results.versions if peer.startswith(OURS)]


def _change(old: Results, new: Results, case: str, peer: str, measure: str) -> Change | None:
    ratios = _ratios(old.runs, new.runs, case, peer, measure)
    if not ratios:
        return None
    drift = _drift(old, new, case, measure) if measure in DRIFTING else 1.0
    adjusted = [ratio / drift for ratio in ratios]
    worse = sum(ratio > 1 for ratio in adjusted) / len(adjusted)
    return Change(case, peer, measure, median(adjusted), drift, worse)


def _drift(old: Results, new: Results, case: str, measure: str) -> float:
    """Return how much slower the same peers have become; 1 where fewer than two are the same."""
    found = []
    for peer, version in new.versions.items():
        if not peer.startswith(OURS) and old.versions.get(peer) == version:
            ratios = _ratios(old.runs, new.runs, case, peer, measure)
            found += [median(ratios)] if ratios else []
    return median(found) if len(found) >= 2 else 1.0


def _ratios(
    old: Sequence[Run], new: Sequence[Run], case: str, peer: str, measure: str
) -> list[float]:
    """Return new over old for runs of the same turn."""
    value = MEASURES[measure]

    def by_turn(runs: Sequence[Run]) -> dict[int, float]:
        return {run.repeat: value(run) for run in runs if (run.case, run.peer) == (case, peer)}

    before, after = by_turn(old), by_turn(new)
    return [after[turn] / before[turn] for turn in sorted(before) if turn in after and before[turn]]


def shown(found: Sequence[Change], threshold: float) -> str:
    """Return a line for each change, those that are too much marked."""
    lines = []
    for change in found:
        mark = "SLOWER" if change.slower(threshold) else "      "
        control = f" (the peers: x{change.drift:.2f})" if change.drift != 1 else ""
        what = f"{change.case}: {change.peer}: {change.measure}"
        lines.append(f"{mark} {what} x{change.ratio:.2f}{control}")
    return "\n".join(lines)
