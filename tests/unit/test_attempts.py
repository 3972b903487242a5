from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from transfer.engine.attempts import Attempts, Lane
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    ExpiredError,
    ThrottledError,
    TransferError,
)
from transfer.retries import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOST = Lane("s3://bucket")


class Scene:
    """Attempts whose time is played through, and what happened in it."""

    def __init__(self, time: Any, policy: RetryPolicy | None = None) -> None:
        self.time = time
        self.calls: list[float] = []
        self.told: list[tuple[int, float, TransferError]] = []
        self.attempts = Attempts(
            lambda _: policy or RetryPolicy(),
            clock=time.clock,
            sleep=time.sleep,
            jitter=lambda: 1.0,
        )

    def on_retry(self, number: int, delay: float, error: TransferError) -> None:
        self.told.append((number, delay, error))

    def failing(self, *errors: BaseException, lasting: float = 0.0) -> Callable[[], Awaitable[str]]:
        """Make an attempt that raises these errors in turn, then succeeds."""
        left = list(errors)

        async def attempt() -> str:
            self.calls.append(self.time.now)
            await self.time.sleep(lasting)
            if left:
                raise left.pop(0)
            return "done"

        return attempt

    def run(self, attempt: Callable[[], Awaitable[str]], lane: Lane = HOST) -> Any:
        return self.time.run(self.attempts.run(lane, attempt, self.on_retry))[0]


@pytest.fixture
def scene(played_time: type) -> Scene:
    return Scene(played_time())


def test_success_is_returned_and_nobody_is_told(scene: Scene):
    assert scene.run(scene.failing()) == "done"
    assert (scene.calls, scene.told, scene.attempts.retries) == ([0.0], [], 0)


def test_failed_attempt_is_repeated_after_its_pause(scene: Scene):
    one, two = ConnectionLostError("one"), ConnectionLostError("two")
    assert scene.run(scene.failing(one, two)) == "done"
    assert scene.calls == [0.0, 0.05, pytest.approx(0.15)]
    assert scene.told == [(1, 0.05, one), (2, 0.1, two)]
    assert scene.attempts.retries == 2


def test_throttling_is_waited_out(scene: Scene):
    scene.run(scene.failing(ThrottledError("slow", retry_after=17)))
    assert scene.attempts.throttled == 1
    assert scene.calls == [0.0, 17.0]


def test_expired_url_is_repeated_at_once(scene: Scene):
    scene.run(scene.failing(*[ExpiredError("old")] * 3))
    assert scene.calls == [0.0] * 4


def test_error_that_stays_is_raised_as_it_is(scene: Scene):
    error = AccessError("no")
    assert scene.run(scene.failing(error)) is error
    assert (len(scene.calls), scene.told, str(error)) == (1, [], "no")


def test_last_error_says_how_often_and_how_long(scene: Scene):
    scene.time.now = 100.0
    errors = [ConnectionLostError(f"no {n}") for n in range(8)]
    assert scene.run(scene.failing(*errors, lasting=1.0)) is errors[-1]
    assert len(scene.calls) == 8
    assert errors[-1].attempts == 8
    assert errors[-1].elapsed == pytest.approx(8 + 0.05 * (2**7 - 1))


def test_foreign_exception_is_neither_repeated_nor_wrapped(scene: Scene):
    bug = ZeroDivisionError("bug")
    assert scene.run(scene.failing(bug)) is bug
    assert len(scene.calls) == 1


def test_foreign_exception_after_a_failure_is_not_repeated_either(scene: Scene):
    bug = ZeroDivisionError("bug")
    assert scene.run(scene.failing(ConnectionLostError("gone"), bug)) is bug
    assert len(scene.calls) == 2


def test_hosts_are_told_apart(scene: Scene):
    dead = scene.failing(*[ConnectionLostError("no")] * 8)
    assert isinstance(scene.run(dead), ConnectionLostError)
    assert isinstance(scene.run(scene.failing()), ConnectionLostError)
    assert scene.run(scene.failing(), HOST._replace(data=True)) == "done"
    assert scene.run(scene.failing(), Lane("s3://other")) == "done"


def gone(*, control: bool) -> ConnectionLostError:
    error = ConnectionLostError("refused")
    error.control = control
    return error


BYTES = Lane("transfer+http://host", data=True)


def test_control_call_on_the_way_to_bytes_is_a_matter_of_the_host_it_went_to(scene: Scene):
    scene.run(scene.failing(), BYTES._replace(data=False))
    outage = [gone(control=True) for _ in range(20)]
    assert scene.run(scene.failing(*outage), BYTES) == "done"
    assert len(scene.calls) == 22


def test_host_of_the_bytes_that_never_answered_is_given_up_though_control_calls_succeed(
    scene: Scene,
):
    scene.run(scene.failing(), BYTES._replace(data=False))
    error = scene.run(scene.failing(*[gone(control=False)] * 20), BYTES)
    assert error.attempts == 8


def test_outage_of_control_calls_leaves_the_health_of_the_bytes_host_alone(scene: Scene):
    errors = [gone(control=True), gone(control=True), gone(control=False)]
    assert scene.run(scene.failing(*errors), BYTES) == "done"
    assert not scene.attempts.in_trouble(BYTES)
    assert not scene.attempts.in_trouble(BYTES._replace(data=False))


def test_policy_is_that_of_the_lane(played_time: type):
    scene = Scene(played_time())
    scene.attempts = Attempts(
        lambda lane: RetryPolicy(attempts=2 if lane.data else 5),
        clock=scene.time.clock,
        sleep=scene.time.sleep,
    )
    for lane, calls in ((HOST, 5), (HOST._replace(data=True), 2)):
        scene.calls.clear()
        scene.run(scene.failing(*[ConnectionLostError("no")] * 9), lane)
        assert len(scene.calls) == calls


def test_everybody_is_told_when_a_host_is_given_up(scene: Scene):
    """Those that wait to repeat an attempt end too, rather than ask for ever."""

    async def attempt() -> str:
        scene.calls.append(scene.time.now)
        raise ConnectionLostError("no answer", hint="is it up?")

    found = scene.time.run(*(scene.attempts.run(HOST, attempt) for _ in range(10)), limit=60)
    assert {type(error) for error in found} == {ConnectionLostError}
    given_up = "s3://bucket was given up before: no answer"
    assert {error.message for error in found} == {"no answer", given_up}
    assert [error.attempts for error in found if error.message == "no answer"] == [8]


def test_dead_host_is_not_asked_again(scene: Scene):
    scene.run(scene.failing(*[ConnectionLostError("no")] * 8))
    scene.calls.clear()
    assert isinstance(scene.run(scene.failing()), ConnectionLostError)
    assert scene.calls == []


def test_cancelled_probe_leaves_its_place_to_others(scene: Scene):
    scene.run(scene.failing())
    policy = RetryPolicy(budget=0, retry_cost=1)
    scene = Scene(scene.time, policy)
    scene.run(scene.failing())
    cancelled = scene.failing(ConnectionLostError("out"), asyncio.CancelledError())

    async def first() -> str:
        try:
            return await scene.attempts.run(HOST, cancelled)
        except asyncio.CancelledError:
            return "cancelled"

    second = scene.attempts.run(HOST, scene.failing(ConnectionLostError("out")))
    assert scene.time.run(first(), second, limit=60) == ["cancelled", "done"]


async def test_cancellation_from_outside_is_not_repeated():
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        await anyio.sleep_forever()

    attempts = Attempts(lambda _: RetryPolicy())
    with anyio.move_on_after(0.02) as scope:
        await attempts.run(HOST, attempt)
    assert scope.cancelled_caught
    assert calls == 1


async def test_cancellation_during_a_pause_ends_it():
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise ThrottledError("slow", retry_after=60)

    attempts = Attempts(lambda _: RetryPolicy())
    with anyio.move_on_after(0.02):
        await attempts.run(HOST, attempt)
    assert calls == 1


def test_attempt_may_be_a_partial(scene: Scene):
    async def attempt(first: str, second: str) -> str:
        return first + second

    assert scene.run(partial(attempt, "a", "b")) == "ab"
