"""Does the suite find what it is there to find? Each plant in turn, and who found it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

import anyio

from tests.faults.campaign import play
from tests.faults.campaign.minimise import minimised
from tests.faults.campaign.plants import PLANTS
from tests.faults.campaign.play import played
from tests.faults.campaign.running import CORPUS, seeds
from tests.faults.campaign.schedule import Schedule
from tests.faults.campaign.world import open_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.faults.campaign.world import World

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


def gate(names: Iterable[str], most: int = 2000, *, keep: bool = False) -> Iterator[Found]:
    """Try each plant; blocks. Schedules are that of the corpus, and those of the ordinary run.

    With `keep`, what finds a plant is made small and kept in the corpus.
    """
    for name in names:
        began = time.monotonic()
        test = PLANTS[name].test
        by, what, after = _by_test(name, test) if test else _by_schedules(name, most, keep)
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


def _by_schedules(name: str, most: int, keep: bool) -> tuple[str, str, int]:
    kept = CORPUS / f"{name}.json"
    chosen = [*([Schedule.load(kept)] if kept.exists() else []), *seeds(1, most)]
    if name == _HANGS:
        # A process that is started takes as long by itself.
        chosen = [one for one in chosen if not {f.kind for f in one.faults} & {"kill", "die"}]
    return anyio.run(_searched, name, chosen, kept if keep else None)


async def _searched(name: str, chosen: list[Schedule], keep: Path | None) -> tuple[str, str, int]:
    """Play until a schedule fails with the bug in, and does not without it."""
    async with open_world() as world:

        async def attempt(schedule: Schedule) -> list[str]:
            return await _findings(world, schedule, name)

        for count, schedule in enumerate(chosen, 1):
            found = await attempt(schedule)
            if not found or (await played(world, schedule)).findings:
                continue
            if keep is not None:
                small = await minimised(schedule, found, attempt)
                await anyio.Path(keep).write_text(small.to_json() + "\n")
            return "schedules", f"seed {schedule.seed}: {found[0]}"[:100], count
    return "", "", len(chosen)


async def _findings(world: World, schedule: Schedule, name: str) -> list[str]:
    """Return what is found with the bug in; only of one that makes runs hang, that they do."""
    deadline = _DEADLINE if name == _HANGS else play.DEADLINE
    with patch.object(play, "DEADLINE", deadline):
        found = (await played(world, schedule, [name])).findings
    return [text for text in found if name == _HANGS or not text.startswith("hang")]
