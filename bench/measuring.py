"""Running one client and counting what it costs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.programs import program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole tree of processes: seconds, and bytes at the peak of the largest of them."""

    wall: float
    user: float
    system: float
    peak: int


class ClientError(Exception):
    """A client that failed; its message is the end of what it has said."""


def measure(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    *,
    prefix: Sequence[str] = (),
    limit: float = 900,
) -> Cost:
    """Run a client to its end; ClientError if that is no success. Its output goes to a file."""
    counts, log = folder / "costs", folder / "client.log"
    counts.unlink(missing_ok=True)
    whole = [*prefix, str(program("measure")), str(int(limit)), str(counts), *command]
    with log.open("wb") as output:
        subprocess.run(
            whole,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=True,
        )
    status, *figures = counts.read_text().split()
    if status != "0":
        said = log.read_text(errors="replace").strip().splitlines()[-4:]
        reason = f"took more than {limit:.0f} s" if status == "137" else f"exit status {status}"
        raise ClientError(f"{reason}: {' / '.join(said)[-600:]}")
    wall, user, system = map(float, figures[:3])
    return Cost(wall, user, system, int(figures[3]) * 1024)
