"""Many schedules: played one after the other, in as many processes as asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.campaign.minimise import kind_of, minimised
from tests.faults.campaign.play import played
from tests.faults.campaign.schedule import Schedule, drawn
from tests.faults.campaign.world import open_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.faults.campaign.play import Outcome

CORPUS = Path(__file__).parents[1] / "corpus"


@dataclass
class Tally:
    """What was played, and what came of it."""

    schedules: int = 0
    runs: int = 0
    requests: int = 0
    unknown: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, Any]] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        self.schedules += 1
        self.runs += len(outcome.runs)
        self.requests += outcome.requests
        self.unknown += outcome.unknown
        self.faults += outcome.hits
        for said in outcome.runs:
            done = f"done, verified by {said['verified']}"
            self.endings[done if said["done"] else said["code"] or said["ended"]] += 1

    def merge(self, other: dict[str, Any]) -> None:
        """Take in what another process counted."""
        for name in ("schedules", "runs", "requests", "unknown"):
            setattr(self, name, getattr(self, name) + other[name])
        self.faults += Counter(other["faults"])
        self.endings += Counter(other["endings"])
        self.failed += other["failed"]

    def lines(self) -> list[str]:
        """Return it for people."""
        faults = sum(self.faults.values())
        rate = self.schedules / self.seconds if self.seconds else 0.0
        head = (
            f"{self.schedules} schedules in {self.seconds:.0f} s ({rate:.1f}/s), {self.runs} runs,"
            f" {self.requests} requests, {faults} faults of {len(self.faults)} kinds took effect"
        )
        return [
            head,
            f"{self.unknown} uploads or files left that nobody could know of",
            "faults: " + ", ".join(f"{name} {n}" for name, n in self.faults.most_common()),
            "endings: " + ", ".join(f"{name} {n}" for name, n in self.endings.most_common()),
            f"{len(self.failed)} failed",
        ]


async def play_all(
    schedules: Iterable[Schedule], *, plants: Sequence[str] = (), most_failures: int = 20
) -> Tally:
    """Play schedules in this process; those that fail are minimised."""
    tally = Tally()
    async with open_world() as world:
        began = time.monotonic()

        async def attempt(schedule: Schedule) -> list[str]:
            return (await played(world, schedule, plants)).findings

        for schedule in schedules:
            outcome = await played(world, schedule, plants)
            tally.add(outcome)
            if outcome.findings and not plants:
                small = await minimised(schedule, outcome.findings, attempt)
                again = kind_of(await attempt(small)) & kind_of(outcome.findings)
                kept = small if again else schedule
                tally.failed.append({"found": outcome.findings, **json.loads(kept.to_json())})
            elif outcome.findings:
                tally.failed.append({"found": outcome.findings, "seed": schedule.seed})
            if len(tally.failed) >= most_failures:
                break
        tally.seconds = time.monotonic() - began
    return tally


def seeds(first: int, count: int, step: int = 1) -> Iterable[Schedule]:
    """Return the schedules of some seeds."""
    return (drawn(seed) for seed in range(first, first + count, step))


def corpus() -> list[Path]:
    """Return what has failed once."""
    return sorted(CORPUS.glob("*.json"))


def in_processes(first: int, count: int, jobs: int) -> Tally:
    """Play seeds in several processes; blocks."""
    began = time.monotonic()
    commands = [
        [
            *(sys.executable, "-m", "tests.faults.campaign", "--json", "--jobs", "1"),
            *("--seed", str(first + job), "--count", str(count - job), "--step", str(jobs)),
        ]
        for job in range(jobs)
    ]
    children = [subprocess.Popen(one, stdout=subprocess.PIPE) for one in commands]
    tally = Tally()
    for child in children:
        said, _ = child.communicate()
        if child.returncode not in {0, 1}:
            raise RuntimeError(f"a process of the campaign ended with {child.returncode}")
        tally.merge(json.loads(said))
    tally.seconds = time.monotonic() - began
    return tally


def cores() -> int:
    """Return how many processes are worth having."""
    return max(1, min(8, os.cpu_count() or 1))
