"""Does the suite find what it is there to find? Each plant in turn, and who found it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from tests.faults.campaign import play
from tests.faults.campaign.plants import PLANTS
from tests.faults.campaign.play import played
from tests.faults.campaign.running import seeds
from tests.faults.campaign.world import open_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.faults.campaign.schedule import Schedule

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


def gate(names: Iterable[str], most: int = 2000, first: int = 1) -> Iterator[Found]:
    """Try each plant; blocks. Schedules are those of the ordinary run, from some seed on."""
    for name in names:
        began = time.monotonic()
        test = PLANTS[name].test
        by, what, after = _by_test(name, test) if test else _by_schedules(name, first, most)
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


def _by_schedules(name: str, first: int, most: int) -> tuple[str, str, int]:
    chosen = [*seeds(first, most - first + 1), *seeds(1, first - 1)]
    if name == _HANGS:
        # A process that is started takes as long by itself.
        chosen = [one for one in chosen if not {f.kind for f in one.faults} & {"kill", "die"}]
    return anyio.run(_searched, name, chosen)


async def _searched(name: str, chosen: list[Schedule]) -> tuple[str, str, int]:
    """Play until a schedule fails with the bug in, and does not without it."""
    async with open_world() as world:
        for count, schedule in enumerate(chosen, 1):
            play.DEADLINE, ordinary = (
                (_DEADLINE if name == _HANGS else play.DEADLINE),
                play.DEADLINE,
            )
            try:
                found = (await played(world, schedule, [name])).findings
            finally:
                play.DEADLINE = ordinary
            if name != _HANGS:
                found = [text for text in found if not text.startswith("hang")]
            if found and not (await played(world, schedule)).findings:
                return "schedules", f"seed {schedule.seed}: {found[0]}"[:100], count
    return "", "", len(chosen)
