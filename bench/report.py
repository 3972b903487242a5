"""Puts measured figures where people read them, each with its machine and its day.

`docs/benchmarks.md` gets all results that are kept; the README gets the largest
load of them, where most cases of it were measured, between two comments. `--check` only compares.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.results import FOLDER, read
from bench.summary import rows, unit_name
from bench.tables import document, table

if TYPE_CHECKING:
    from bench.cases import Case
    from bench.results import Results

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs/benchmarks.md"
README = ROOT / "README.md"
BEGIN = "<!-- benchmark: made by `python -m bench report` -->\n"
END = "<!-- /benchmark -->"
_INTRODUCTION = """# Benchmarks

Made by `python -m bench report` from the files in `bench/results/`. How they are measured, and
what to distrust: [bench/NOTES.md](../bench/NOTES.md).

"""


def wanted(folder: Path = FOLDER) -> dict[Path, str]:
    """Return what each file must say; the README only if it has a place for it.

    Raises ValueError if nothing has been measured.
    """
    paths = sorted(folder.glob("*.json"), reverse=True)
    kept = {path.stem: read(path) for path in paths}
    if not kept:
        msg = f"no results in {folder}: python -m bench makes some"
        raise ValueError(msg)
    text = _INTRODUCTION + "\n".join(document(found, name) for name, found in kept.items())
    made = {DOCUMENT: text}
    readme = README.read_text()
    if BEGIN in readme:
        newest = max(kept.values(), key=_telling)
        before, _, rest = readme.partition(BEGIN)
        made[README] = before + BEGIN + excerpt(newest) + END + rest.partition(END)[2]
    return made


def excerpt(results: Results) -> str:
    """Return the cases of the most bytes, in short: seconds and CPU seconds of every peer."""
    told = results.machine
    about = (
        f"{results.when[:10]}, {told['processor']}, {told['cores']} cores, kernel"
        f" {told['kernel']}, {results.settings['network']}; medians of"
        f" {results.settings['repeats']} runs in turn. Load of the machine"
        f" before: {results.settings['load_before']:.2f}.\n"
    )
    return about + "".join(_short(results, case) for case in _largest(results))


def _telling(results: Results) -> tuple[int, int, str]:
    """Return by what results are chosen: the largest load, most cases of it, the day."""
    largest = _largest(results)
    return largest[0].load.bytes, len(largest), results.when


def _largest(results: Results) -> list[Case]:
    """Return the cases of the most bytes."""
    most = max(case.load.bytes for case in results.cases.values())
    return [case for case in results.cases.values() if case.load.bytes == most]


def _short(results: Results, case: Case) -> str:
    lines = [
        [row.peer, f"{row.wall.middle:.2f}", f"{row.cpu.middle:.3f}"]
        for row in rows(case, results.runs)
    ]
    return "\n" + table([case.name, "wall s", f"CPU s/{unit_name(case)}"], lines)


def write(*, check: bool) -> list[Path]:
    """Write what differs and return it; with `check`, only return it."""
    differing = []
    for path, text in wanted().items():
        if not path.exists() or path.read_text() != text:
            differing.append(path)
            if not check:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
    return differing
