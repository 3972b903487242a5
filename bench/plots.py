"""Results as pictures: bars for cases, lines for series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.summary import rows, unit_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.cases import Case
    from bench.results import Results

OURS = "#0b6e4f"
OTHERS = "#9aa5b1"


def draw(results: Results, path: Path) -> bool:
    """Write the picture of a benchmark; False where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 - it is slow to import, and may be missing
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError:
        return False
    mpl.rcParams["svg.hashsalt"] = "transfer"
    measured = [case for case in results.cases.values() if rows(case, results.runs)]
    if not measured:
        return False
    series = results.settings.get("series")
    groups = _series(measured) if series else [[case] for case in measured]
    figure = Figure(figsize=(13, 0.6 + 3.6 * len(groups)), layout="constrained")
    axes = figure.subplots(len(groups), 2, squeeze=False)
    for group, (left, right) in zip(groups, axes, strict=True):
        if series:
            _lines(results, group, series, left, right)
        else:
            _bars(results, group[0], left, right)
    told = results.machine
    figure.suptitle(
        f"{results.when[:10]}, {told['processor']}, {told['cores']} cores, kernel {told['kernel']};"
        f" {results.settings['network']}",
        fontsize=9,
    )
    figure.savefig(path, metadata={"Date": None})
    return True


def _series(cases: Sequence[Case]) -> list[list[Case]]:
    """Return the cases that differ in the load alone, together."""
    groups: dict[tuple[bool, bool, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.upload, case.tls, case.congestion), []).append(case)
    return list(groups.values())


def _bars(results: Results, case: Case, left: Axes, right: Axes) -> None:
    found = rows(case, results.runs)[::-1]
    colors = [OURS if row.peer.startswith("transfer") else OTHERS for row in found]
    for axes, spreads, title in (
        (left, [row.cpu for row in found], f"CPU s per {unit_name(case)}"),
        (right, [row.wall for row in found], "wall s"),
    ):
        middles = [spread.middle for spread in spreads]
        errors = [
            [spread.middle - spread.least for spread in spreads],
            [spread.most - spread.middle for spread in spreads],
        ]
        axes.barh([row.peer for row in found], middles, xerr=errors, color=colors)
        axes.set_title(f"{case.name}: {title}", fontsize=9)
        axes.tick_params(labelsize=7)


def _lines(results: Results, group: Sequence[Case], series: str, left: Axes, right: Axes) -> None:
    peers = list(dict.fromkeys(run.peer for run in results.runs))
    for peer in peers:
        points = [
            (_x(case, series), row)
            for case in group
            for row in rows(case, results.runs)
            if row.peer == peer
        ]
        style = {"color": OURS, "linewidth": 2.5} if peer == "transfer" else {"linewidth": 1}
        at = [x for x, _ in points]
        left.plot(at, [row.cpu.middle for _, row in points], marker=".", label=peer, **style)
        right.plot(at, [row.wall.middle for _, row in points], marker=".", label=peer, **style)
    case = group[0]
    name = f"{'up' if case.upload else 'down'} {case.scheme} {case.congestion}".strip()
    for axes, title in ((left, f"CPU s per {unit_name(group[0])}"), (right, "wall s")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(series, fontsize=8)
        axes.set_title(f"{name}: {title}", fontsize=9)
    left.legend(fontsize=6)


def _x(case: Case, series: str) -> float:
    load = case.load
    return {
        "size": load.size / 2**20,
        "parts": load.part_size / 2**20,
        "connections": load.connections,
        "files": load.count,
    }[series]
