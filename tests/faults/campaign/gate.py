"""Does the suite find what it is there to find? Each plant in turn, and who found it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio

from tests.faults.campaign import play
from tests.faults.campaign.plants import PLANTS
from tests.faults.campaign.running import play_all, seeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A run that hangs need not be watched for long to know it.
_DEADLINE = 4.0
_HANGS = "P06"


@dataclass(frozen=True)
class Found:
    """How a plant was found, or that it was not; `after` counts schedules."""

    plant: str
    by: str
    what: str
    after: int
    seconds: float

    def __str__(self) -> str:
        what = PLANTS[self.plant].what
        how = f"{self.by}, {self.what}" if self.by else "NOT FOUND"
        return f"{self.plant}  {what:45} {how}"


def gate(names: Iterable[str], most: int = 2000) -> Iterator[Found]:
    """Try each plant; blocks. Schedules are those of the ordinary run."""
    for name in names:
        began = time.monotonic()
        test = PLANTS[name].test
        by, what, after = _by_test(name, test) if test else _by_schedules(name, most)
        yield Found(name, by, what, after, time.monotonic() - began)


def _by_test(name: str, test: str) -> tuple[str, str, int]:
    if _passes(test, name):
        return "", "", 0
    if not _passes(test, ""):
        return "", "its test fails without it, too", 0
    return "test", test.rpartition("::")[2], 0


def _passes(test: str, plant: str) -> bool:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n0", test]
    command += ["-p", "tests.faults.campaign.planting"]
    environ = os.environ | {"PLANT": plant}  # noqa: TID251
    ended = subprocess.run(command, env=environ, capture_output=True, check=False)
    if ended.returncode not in {0, 1}:
        raise RuntimeError(f"{test}: {ended.stdout.decode()}{ended.stderr.decode()}")
    return ended.returncode == 0


def _by_schedules(name: str, most: int) -> tuple[str, str, int]:
    chosen = iter(seeds(1, most))
    ordinary = play.DEADLINE
    if name == _HANGS:
        # A process that is started takes as long by itself.
        chosen = (one for one in chosen if not {f.kind for f in one.faults} & {"kill", "die"})
        play.DEADLINE = _DEADLINE
    try:
        tally = anyio.run(partial(play_all, chosen, plants=[name], most_failures=1))
    finally:
        play.DEADLINE = ordinary
    if not tally.failed:
        return "", "", tally.schedules
    what = f"after {tally.schedules}: {tally.failed[0]['found'][0]}"
    return "schedules", what[:120], tally.schedules
