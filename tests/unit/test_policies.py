from __future__ import annotations

import pytest

from transfer.engine.attempts import Lane
from transfer.engine.policies import (
    bounds_of,
    limits_of,
    planned_for,
    policy_of,
    preference_of,
)
from transfer.pacing import Bounds
from transfer.planner import Preference
from transfer.retries import RetryPolicy
from transfer.scheduler import Limits
from transfer.settings import Settings
from transfer.sizes import MIB

STORE = Lane("s3://bucket")
COORDINATORS = [Lane("transfer+https://host"), Lane("mlflow-artifacts:")]


@pytest.mark.parametrize("lane", [STORE, *COORDINATORS])
def test_retries_are_as_the_settings_say(lane: Lane):
    policy = policy_of(Settings(attempts=3, outage_patience=7.0), lane)
    assert (policy.attempts, policy.patience) == (3, 7.0)
    assert policy_of(Settings(), lane) == RetryPolicy()


@pytest.mark.parametrize("lane", COORDINATORS)
def test_calls_to_a_coordinator_have_settings_of_their_own(lane: Lane):
    settings = Settings(request_retries=2, request_backoff=4.0, request_jitter=0.5)
    policy = policy_of(settings, lane)
    assert (policy.attempts, policy.base, policy.added_jitter) == (3, 4.0, 0.5)
    assert policy_of(settings, STORE) == RetryPolicy()
    assert policy_of(settings, lane._replace(data=True)) == RetryPolicy()


def test_retry_after_may_be_ignored():
    policy = policy_of(Settings(respect_retry_after=False), STORE)
    assert not policy.honour_retry_after


SETTINGS = Settings(
    upload_part_size=1, upload_threshold=2, download_part_size=3, download_threshold=4
)


def test_each_direction_has_settings_of_its_own():
    assert preference_of(SETTINGS, download=False) == Preference(1, 2)
    assert preference_of(SETTINGS, download=True) == Preference(3, 4)


@pytest.mark.parametrize(("enabled", "multipart"), [(None, True), (True, True), (False, False)])
def test_parts_are_used_unless_they_are_switched_off(enabled: bool | None, multipart: bool):
    up = preference_of(Settings(enable_upload=enabled), download=False)
    down = preference_of(Settings(enable_download=enabled), download=True)
    assert up.multipart is down.multipart is multipart
    assert preference_of(Settings(enable_upload=False), download=True).multipart
    assert preference_of(Settings(enable_download=False), download=False).multipart


def test_connections_are_those_that_were_set_or_what_memory_allows():
    assert bounds_of(Settings(concurrency=100)) == Bounds(100, 100)
    assert bounds_of(Settings()) == Bounds(8, 64)
    assert bounds_of(Settings(max_memory=20 * MIB)) == Bounds(8, 20)
    assert bounds_of(Settings(max_memory=5 * MIB + 1)) == Bounds(5, 5)
    assert bounds_of(Settings(max_memory=1)) == Bounds(1, 1)


def test_some_files_more_than_turns_are_taken_on():
    assert limits_of(Settings(max_memory=9), 4) == Limits(4, 6, 9)
    assert limits_of(Settings(max_memory=9), 64) == Limits(64, 80, 9)


def test_parts_are_cut_for_as_many_connections_as_are_likely():
    assert planned_for(Bounds(8, 64)) == 32
    assert planned_for(Bounds(1, 1)) == 1
    assert planned_for(Bounds(12, 12)) == 12
