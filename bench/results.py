"""A benchmark as a file: every run, and all that one must know to believe or repeat it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cases import Case, Load
from bench.rounds import Run

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Results:
    """`settings` is what was asked for; `missing` the peers that are not installed, and why not."""

    when: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, Any]
    cases: dict[str, Case]
    runs: list[Run]
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    verified: list[str] = field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT} | asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `to_json` wrote; ValueError for anything else."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            msg = f"it is no result of this benchmark (format {FORMAT})"
            raise ValueError(msg)
        values["runs"] = [Run(**run) for run in values["runs"]]
        values["cases"] = {
            name: Case(**(case | {"load": Load(**case["load"])}))
            for name, case in values["cases"].items()
        }
        return cls(**values)


def read(path: Path) -> Results:
    """Read a file of results; ValueError names the file."""
    try:
        return Results.from_json(path.read_text())
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{path}: {error}"
        raise ValueError(msg) from None


def machine() -> dict[str, str]:
    """Describe this machine as far as it bears on the figures."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "congestion control": _text("/proc/sys/net/ipv4/tcp_congestion_control"),
    }


def load_average() -> float:
    """Return how many processes wanted to run lately: others make figures worthless."""
    return os.getloadavg()[0]


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def _first(path: str, name: str) -> str:
    lines: Iterable[str] = _text(path).splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
