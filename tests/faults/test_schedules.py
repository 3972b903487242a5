"""Random fault schedules: whatever happens, a transfer ends in one of its two ways.

Two thousand in an ordinary run, in pieces that run at the same time. A long run is
`python -m tests.faults.campaign --count 50000 --seed 100000`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.campaign.menu import FAILPOINTS, LIES
from tests.faults.campaign.minimise import minimised
from tests.faults.campaign.running import corpus
from tests.faults.campaign.schedule import MOST_FAULTS, Fault, Schedule, drawn
from tests.faults.campaign.zygote import failpoints

PIECES = 8
IN_A_PIECE = 250


def campaign(*flags):
    """Play in a process of its own; return what it prints, fail if something is found."""
    command = [sys.executable, "-m", "tests.faults.campaign", "--jobs", "1", *map(str, flags)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("piece", range(PIECES))
def test_schedules(piece):
    said = campaign("--seed", 1 + piece * IN_A_PIECE, "--count", IN_A_PIECE)
    assert said.startswith(f"{IN_A_PIECE} schedules")


@pytest.mark.timeout(600)
def test_what_has_failed_once_does_not_fail_again():
    assert corpus()
    campaign("--replay", *corpus())


@pytest.mark.timeout(600)
def test_dying_at_every_transition(tmp_path):
    """Before and after everything that changes a journal, a file or an upload."""
    plain = drawn(1).but(
        faults=(), size=20_000, old=100, route="s3", personality="aws", checksum="auto",
        concurrency=2, no_clobber=False, resume=True, durable=False, end="finish",
    )  # fmt: skip
    paths = []
    for name, when, nth in product(FAILPOINTS, ("before", "after"), (1, 2, 4)):
        way = "pull" if name.startswith("file.") else "push"
        fault = Fault("die", name, nth=nth, args={"when": when})
        paths.append(tmp_path / f"{name}-{when}-{nth}.json")
        paths[-1].write_text(plain.but(way=way, faults=(fault,)).to_json())
    died = json.loads(campaign("--json", "--replay", *paths))["faults"]
    assert all(died[f"die {name}"] >= 2 for name in FAILPOINTS)


def test_every_failpoint_is_there():
    assert set(FAILPOINTS) <= set(failpoints())


# --- the campaign itself


@given(st.integers(0, 10**9))
@settings(max_examples=200, deadline=None)
def test_a_schedule_follows_from_its_seed_and_survives_being_written(seed):
    schedule = drawn(seed)
    assert schedule == drawn(seed)
    assert Schedule.from_json(schedule.to_json()) == schedule
    assert 1 <= len(schedule.faults) <= MOST_FAULTS
    assert all(fault.name in LIES for fault in schedule.faults if fault.kind == "lie")


@given(st.integers(0, 10**6), st.data())
@settings(max_examples=50, deadline=None)
async def test_what_is_minimised_still_fails_and_has_nothing_to_spare(seed, data):
    schedule = drawn(seed)
    guilty = data.draw(st.sets(st.sampled_from(sorted({str(f) for f in schedule.faults}))))

    async def attempt(candidate):
        return ["bad: it fails"] if guilty <= {str(f) for f in candidate.faults} else []

    small = await minimised(schedule, ["bad: as before"], attempt)
    assert {str(fault) for fault in small.faults} == guilty
    assert len(small.faults) == len(guilty)
    assert (small.route, small.concurrency, small.old) == ("s3", 1, None)
