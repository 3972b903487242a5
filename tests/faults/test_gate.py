"""The tests are tested: each planted bug is found, by schedules or by the test that is for it.

`python -m tests.faults.campaign --plants` prints the table, with schedules from the
first on. Here each plant begins with the schedule that found it last.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.campaign.gate import gate
from tests.faults.campaign.plants import PLANTS

FOUND_BY = json.loads((Path(__file__).parent / "corpus" / "plants" / "seeds.json").read_text())


def test_there_are_twenty():
    assert [*PLANTS] == [f"P{number:02}" for number in range(1, 21)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("plant", PLANTS)
def test_the_plant_is_found(plant):
    (found,) = gate([plant], first=FOUND_BY.get(plant, 1))
    assert found.by, PLANTS[plant].what
