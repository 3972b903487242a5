from __future__ import annotations

import pytest

from transfer.errors import (
    AccessError,
    ConnectionLostError,
    DamagedInTransitError,
    ExpiredError,
    LocalError,
    StalledError,
    ThrottledError,
    TransferError,
    UnavailableError,
    UnsettledError,
)
from transfer.retries import HostHealth, Operation, RetryPolicy

GONE = ConnectionLostError("gone")
POLICY = RetryPolicy()


def health(policy: RetryPolicy = POLICY, jitter: float = 1.0) -> HostHealth:
    return HostHealth(policy, lambda: jitter)


def answered(policy: RetryPolicy = POLICY, jitter: float = 1.0) -> HostHealth:
    host = health(policy, jitter)
    host.succeeded(Operation(0.0), 0.0)
    return host


def tripped(policy: RetryPolicy = POLICY) -> HostHealth:
    """Let the breaker open at time 0, by failures of others."""
    host = answered(policy)
    while not host.tripped:
        host.failed(Operation(0.0), GONE, 0.0)
    return host


def test_first_attempt_starts_at_once():
    assert health().admit(Operation(0.0), 0.0) == 0


def test_pauses_double_up_to_the_cap():
    host, operation = answered(), Operation(1.0)
    pauses = [host.failed(operation, GONE, 1.0 + n) for n in range(12)]
    assert pauses == [0.05 * 2**n for n in range(9)] + [20.0, 20.0, 20.0]


def test_pauses_are_drawn_from_zero_up():
    assert answered(jitter=0.0).failed(Operation(1.0), GONE, 1.0) == 0
    assert answered(jitter=0.5).failed(Operation(1.0), GONE, 1.0) == 0.025


def test_jitter_may_be_added_instead():
    policy = RetryPolicy(base=2.0, cap=5.0, added_jitter=1.0)
    host, operation = answered(policy, jitter=0.5), Operation(1.0)
    assert [host.failed(operation, GONE, 1.0) for _ in range(3)] == [2.5, 4.5, 5.5]


@pytest.mark.parametrize("error", [AccessError("no"), LocalError("no"), TransferError("no")])
def test_error_that_stays_is_not_repeated(error: TransferError):
    assert health().failed(Operation(0.0), error, 0.0) is None


def test_host_that_never_answered_is_given_up_after_the_attempts():
    host, operation = health(), Operation(0.0)
    pauses = [host.failed(operation, GONE, float(n)) for n in range(8)]
    assert None not in pauses[:7]
    assert pauses[7] is None
    assert host.dead is GONE


def test_operation_that_others_overtake_is_given_up_after_the_attempts():
    host, operation, pauses = answered(), Operation(1.0), []
    for n in range(8):
        pauses.append(host.failed(operation, GONE, 1.0 + n))
        host.succeeded(Operation(0.0), 1.5 + n)
    assert None not in pauses[:7]
    assert pauses[7] is None
    assert host.dead is None


def test_outage_is_not_counted_in_attempts():
    host, operation = answered(), Operation(1.0)
    assert all(host.failed(operation, GONE, 1.0 + n) is not None for n in range(50))


def test_outage_ends_when_patience_does_and_for_everybody():
    host, operation = answered(), Operation(1.0)
    assert host.failed(operation, GONE, 1.0) is not None
    assert host.failed(operation, GONE, 901.0) is not None
    assert host.dead is None
    assert host.failed(operation, GONE, 901.1) is None
    assert host.dead is GONE
    assert host.failed(Operation(901.0), GONE, 901.2) is None


def test_answer_in_between_begins_the_patience_anew():
    host = answered()
    host.failed(Operation(1.0), GONE, 1.0)
    host.succeeded(Operation(1.0), 800.0)
    assert host.failed(Operation(1000.0), GONE, 1000.0) is not None
    assert host.dead is None


def test_throttling_has_a_scale_of_its_own():
    host, operation = answered(), Operation(1.0)
    pauses = [host.failed(operation, ThrottledError("slow"), 1.0) for _ in range(8)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_throttling_costs_no_attempts():
    host, operation = answered(), Operation(1.0)
    for n in range(30):
        assert host.failed(operation, ThrottledError("slow"), 1.0 + n) is not None


@pytest.mark.parametrize(
    ("asked", "pause"), [(30.0, 30.0), (3600.0, 60.0), (0.0, 1.0), (-5.0, 1.0), (None, 1.0)]
)
def test_retry_after_is_honoured_up_to_the_cap(asked: float | None, pause: float):
    error = ThrottledError("slow", retry_after=asked)
    assert answered().failed(Operation(1.0), error, 1.0) == pause


def test_throttling_that_asks_for_nothing_may_be_over_at_once():
    assert answered(jitter=0.0).failed(Operation(1.0), ThrottledError("slow"), 1.0) == 0
    negative = ThrottledError("slow", retry_after=-5.0)
    assert answered(jitter=0.0).failed(Operation(1.0), negative, 1.0) == 0


def test_retry_after_may_be_ignored():
    policy = RetryPolicy(honour_retry_after=False)
    error = ThrottledError("slow", retry_after=30.0)
    assert answered(policy).failed(Operation(1.0), error, 1.0) == 1.0
    assert answered(policy, jitter=0.0).failed(Operation(1.0), error, 1.0) == 0


def test_endless_throttling_ends_with_the_patience():
    host, operation = answered(), Operation(1.0)
    assert host.failed(operation, ThrottledError("slow"), 1.0) is not None
    assert host.failed(operation, ThrottledError("slow"), 901.1) is None
    assert host.dead is None


def test_expired_url_is_signed_again_at_once_but_not_for_ever():
    host, operation = answered(), Operation(1.0)
    pauses = [host.failed(operation, ExpiredError("old"), 1.0) for _ in range(4)]
    assert pauses == [0, 0, 0, None]


@pytest.mark.parametrize("kind", [DamagedInTransitError, UnsettledError])
def test_damage_is_an_answer_and_costs_an_attempt(kind: type[TransferError]):
    host, operation = health(), Operation(0.0)
    pauses = [host.failed(operation, kind("cut"), float(n)) for n in range(8)]
    assert None not in pauses[:7]
    assert pauses[7] is None
    assert host.dead is None


@pytest.mark.parametrize(
    ("error", "failures"),
    [(GONE, 101), (UnavailableError("500"), 101), (StalledError("still"), 51)],
)
def test_empty_budget_opens_the_breaker(error: TransferError, failures: int):
    host = answered()
    for _ in range(failures - 1):
        host.failed(Operation(0.0), error, 0.0)
    assert not host.tripped
    host.failed(Operation(0.0), error, 0.0)
    assert host.tripped


def test_expired_urls_do_not_charge_the_budget():
    host = answered()
    for _ in range(1000):
        host.failed(Operation(0.0), ExpiredError("old"), 0.0)
    assert repr(host) == "<HostHealth breaker closed, 500 tokens>"


def test_success_refills_the_budget_one_by_one_and_not_beyond():
    host = answered()
    host.failed(Operation(0.0), GONE, 0.0)
    assert repr(host) == "<HostHealth breaker closed, 495 tokens>"
    for _ in range(10):
        host.succeeded(Operation(0.0), 1.0)
    assert repr(host) == "<HostHealth breaker closed, 500 tokens>"


def test_open_breaker_lets_one_probe_through_after_a_pause():
    host, first, second = tripped(), Operation(0.0), Operation(0.0)
    assert host.admit(first, 0.5) == 0.5
    assert host.admit(first, 1.0) == 0
    assert host.admit(first, 1.0) == 0
    assert host.admit(second, 1.0) == 1.0
    assert host.admit(second, 50.0) == 1.0


def test_probes_come_ever_more_rarely():
    host, probe, now, pauses = tripped(), Operation(0.0), 1.0, []
    for _ in range(8):
        assert host.admit(probe, now) == 0
        pause = host.failed(probe, GONE, now)
        assert pause is not None
        pauses.append(pause)
        now += pause
    assert pauses == [2, 4, 8, 16, 30, 30, 30, 30]


def test_any_number_of_probes_can_fail():
    """More than a thousand took 2.0 ** n out of range."""
    host, probe, now = tripped(RetryPolicy(patience=1e6)), Operation(0.0), 1.0
    for _ in range(2000):
        assert host.admit(probe, now) == 0
        pause = host.failed(probe, GONE, now)
        assert pause is not None
        now += pause


def test_failures_of_what_was_under_way_when_it_opened_do_not_lengthen_the_pause():
    host = tripped()
    pauses = [host.failed(Operation(0.0), GONE, 0.5) for _ in range(20)]
    assert pauses == [0.5] * 20


def test_probe_that_is_withdrawn_leaves_its_place():
    host, first, second = tripped(), Operation(0.0), Operation(0.0)
    assert host.admit(first, 1.0) == 0
    host.withdrawn(second)
    assert host.admit(second, 1.0) > 0
    host.withdrawn(first)
    assert host.admit(second, 1.0) == 0


@pytest.mark.parametrize("error", [None, AccessError("no")])
def test_answered_probe_closes_the_breaker_with_a_small_budget(error: TransferError | None):
    host, probe = tripped(), Operation(0.0)
    host.admit(probe, 1.0)
    if error is None:
        host.succeeded(probe, 1.0)
    else:
        assert host.failed(probe, error, 1.0) is None
    assert repr(host) == "<HostHealth breaker closed, 51 tokens>"
    assert host.admit(Operation(1.0), 1.0) == 0


def test_next_outage_begins_with_short_pauses_again():
    host, probe, now = tripped(), Operation(0.0), 1.0
    for _ in range(6):
        host.admit(probe, now)
        now += host.failed(probe, GONE, now) or 0.0
    host.admit(probe, now)
    host.succeeded(probe, now)
    while not host.tripped:
        pause = host.failed(Operation(now), GONE, now)
    assert pause == 1.0


def test_failure_of_ours_says_nothing_about_the_host():
    host, probe = tripped(), Operation(0.0)
    host.admit(probe, 1.0)
    host.failed(probe, LocalError("disk"), 1.0)
    assert host.tripped


def test_retry_after_is_honoured_by_an_empty_budget_too():
    host = answered()
    slow = ThrottledError("slow", retry_after=30.0)
    while not host.tripped:
        pause = host.failed(Operation(0.0), slow, 0.0)
    assert pause == 30.0


@pytest.mark.parametrize("error", [ThrottledError("still starting"), GONE])
def test_host_that_is_back_may_stumble_once(error: TransferError):
    host, operation = answered(), Operation(1.0)
    for n in range(20):
        assert host.failed(operation, GONE, 1.0 + n) is not None
    host.succeeded(Operation(0.0), 30.0)
    assert host.failed(operation, error, 31.0) is not None


@pytest.mark.parametrize("error", [GONE, DamagedInTransitError("cut")])
def test_one_attempt_is_one(error: TransferError):
    host = answered(RetryPolicy(attempts=1))
    assert host.failed(Operation(1.0), error, 1.0) is None


def test_attempt_that_went_well_for_an_hour_is_no_outage():
    host, operation = answered(), Operation(0.0)
    assert host.failed(operation, GONE, 10.0) is not None
    assert host.admit(operation, 11.0) == 0
    assert host.failed(operation, GONE, 3600.0) is not None
