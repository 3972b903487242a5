"""The tests are tested: each planted bug is found, by schedules or by the test that is for it.

`python -m tests.faults.campaign --plants` prints the table. Plants that schedules find
have one in the corpus that does; it is tried first.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.campaign.plants import PLANTS


def test_there_are_twenty():
    assert [*PLANTS] == [f"P{number:02}" for number in range(1, 21)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("plant", PLANTS)
def test_the_plant_is_found(plant):
    command = [sys.executable, "-m", "tests.faults.campaign", "--plants", plant]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 of 1 found" in ended.stdout
