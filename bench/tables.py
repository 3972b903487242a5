"""Results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.summary import rows, slopes, unit_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.cases import Case
    from bench.results import Results
    from bench.summary import Row, Slope, Spread

_MIB = 1 << 20


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in [head, rule, *lines])


def document(results: Results, title: str) -> str:
    """Return all tables of a benchmark, with what one must know of how it was made."""
    parts = [f"## {title}\n", _about(results)]
    found = slopes(results.cases, results.runs)
    if found:
        parts.append(_slope_table(found))
    parts += [_case(results, case) for case in results.cases.values()]
    parts.append(_versions(results))
    return "\n".join(parts)


def _about(results: Results) -> str:
    told = results.machine
    settings = results.settings
    return (
        f"{results.when[:10]}, {told['processor']}, {told['cores']} cores, {told['memory']},"
        f" {told['system']}, kernel {told['kernel']}, Python {told['python']}."
        f" {settings['repeats']} runs each, in turn; medians (least-most)."
        f" Network: {settings['network']}. Server: {settings['server']}."
        f" Files: {settings['files']}. Load of the machine before: {settings['load_before']:.2f}.\n"
    )


def _slope_table(found: Sequence[Slope]) -> str:
    """Return what a GiB costs beyond start-up."""
    lines = [
        [
            slope.peer,
            slope.case,
            f"{slope.cpu:.3f}",
            f"{slope.cpu_start:.2f}",
            f"{1 / slope.wall:.2f}" if slope.wall > 0 else "",
            f"{slope.wall_start:.2f}",
        ]
        for slope in sorted(found, key=lambda slope: (slope.case, slope.cpu))
    ]
    head = ["peer", "case", "CPU s/GiB", "CPU s to start", "GiB/s", "wall s to start"]
    return "### Between 1 and 4 GiB: start-up apart\n\n" + table(head, lines)


def _case(results: Results, case: Case) -> str:
    found = rows(case, results.runs)
    head = ["peer", "wall s", f"CPU s/{unit_name(case)}", "user", "system", "peak MiB"]
    head += ["requests", "connections", f"server s/{unit_name(case)}"]
    head += ["checksums it sends"] if case.upload else []
    text = f"### {case.name}\n\n"
    if found:
        text += table(head, [_line(case, row) for row in found])
    for peer, reason in results.left_out.get(case.name, {}).items():
        text += f"\nLeft out: {peer}: {_one_line(reason).rstrip(':')}\n"
    return text


def _line(case: Case, row: Row) -> list[str]:
    line = [row.peer, _spread(row.wall, 2), _spread(row.cpu, 3)]
    line += [f"{row.user:.3f}", f"{row.system:.3f}", f"{row.peak.middle / _MIB:.0f}"]
    line += [f"{row.requests:.0f}", f"{row.connections:.0f}", f"{row.server:.2f}"]
    return line + ([row.checks or "none"] if case.upload else [])


def _spread(found: Spread, digits: int) -> str:
    return f"{found.middle:.{digits}f} ({found.least:.{digits}f}-{found.most:.{digits}f})"


def _versions(results: Results) -> str:
    named = "; ".join(f"{peer}: {version}" for peer, version in results.versions.items())
    text = f"Versions: {named}.\n"
    if results.missing:
        names = "; ".join(f"{peer} ({why})" for peer, why in results.missing.items())
        text += f"\nNot installed, so not measured: {names}.\n"
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:300]
