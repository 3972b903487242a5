"""The command: plays schedules, minimises what fails, keeps it, prints what was exercised."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import anyio

from tests.faults.campaign import kills, running
from tests.faults.campaign.gate import gate
from tests.faults.campaign.plants import PLANTS
from tests.faults.campaign.schedule import Schedule


def main() -> int:
    """Return 1 if something was found."""
    flags = _flags()
    if flags.plants is not None:
        return _gate(flags.plants or list(PLANTS), keep=flags.keep)
    if flags.kills:
        return _kills(flags.kills, flags.seed)
    if flags.replay:
        played = [Schedule.load(path) for path in flags.replay]
        tally = anyio.run(partial(running.play_all, played))
    elif flags.jobs > 1:
        tally = running.in_processes(flags.seed, flags.count, flags.jobs)
    else:
        chosen = running.seeds(flags.seed, flags.count, flags.step)
        tally = anyio.run(partial(running.play_all, chosen))
    if flags.json:
        print(json.dumps(vars(tally)))
        return bool(tally.failed)
    for failed in tally.failed:
        _show(failed, keep=flags.keep)
    print(*tally.lines(), sep="\n")
    return bool(tally.failed)


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("--count", type=int, default=2000, help="how many seeds")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--step", type=int, default=1, help="every how manieth seed")
    parser.add_argument("--jobs", type=int, default=running.cores(), help="processes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--keep", action="store_true", help="keep what failed, or found a bug")
    parser.add_argument(
        "--plants", nargs="*", help="let these bugs in, or all, one after the other"
    )
    parser.add_argument("--kills", type=int, help="kill -9 pushes, pulls and a coordinator")
    parser.add_argument("--replay", type=Path, nargs="*", help="play these files")
    return parser.parse_args()


def _gate(names: list[str], *, keep: bool) -> int:
    found = 0
    for one in gate(names, keep=keep):
        print(one, flush=True)
        found += bool(one.by)
    print(f"{found} of {len(names)} found")
    return found < len(names)


def _kills(count: int, seed: int) -> int:
    """Half of them pushes, half pulls; a quarter as many of the coordinator; one of 1 GiB."""
    jobs = {
        "push": partial(kills.push_kills, -(-count // 2), seed),
        "pull": partial(kills.pull_kills, count // 2, seed),
        "coordinator": partial(kills.coordinator_kills, -(-count // 4), seed),
        "push of 1 GiB, cut at 90 %": partial(kills.cut_at, 0.9, 205),
    }
    failed = 0
    for name, job in jobs.items():
        result = anyio.run(job)
        print(f"{name}: {result}", *result.findings[:5], sep="\n  ", flush=True)
        failed += len(result.findings)
    return bool(failed)


def _show(failed: dict[str, object], *, keep: bool) -> None:
    schedule = Schedule.from_json(json.dumps(failed))
    print(schedule)
    for text in failed["found"]:
        print(f"  !! {text}")
    if keep:
        path = running.CORPUS / f"{schedule.seed}.json"
        path.write_text(json.dumps(failed, indent=1) + "\n")
        print(f"  kept in {path.name}")


if __name__ == "__main__":
    sys.exit(main())
