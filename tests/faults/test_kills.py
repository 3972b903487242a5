"""kill -9 of the installed command and of the coordinator; a long run is `campaign --kills 200`."""

from __future__ import annotations

import pytest

from tests.faults.campaign import kills

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("kill", [kills.push_kills, kills.pull_kills])
async def test_a_client_that_was_killed_goes_on(kill):
    result = await kill(5, seed=20)
    assert result.findings == []
    assert result.kills + result.too_late == 5
    assert result.kills >= 3
    assert result.most_again <= kills.CONCURRENCY


async def test_a_coordinator_that_was_killed_is_waited_for():
    result = await kills.coordinator_kills(3, seed=30)
    assert result.findings == []
    assert result.kills + result.too_late == 3
    assert result.most_again <= kills.CONCURRENCY


async def test_a_push_cut_near_its_end_goes_on_in_another_process_and_folder():
    result = await kills.cut_at(0.9, parts=20)
    assert result.findings == []
    assert result.parts_kept >= 18 - kills.CONCURRENCY
    assert result.most_again <= kills.CONCURRENCY
