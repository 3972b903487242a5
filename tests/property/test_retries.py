"""Hosts that fail in every way, on a clock that is played through: nobody hammers, nobody hangs."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.engine.attempts import Attempts, Lane
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
)
from transfer.retries import HostHealth, Operation, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = Lane("s3://bucket", data=True)
OUTAGES = st.sampled_from([ConnectionLostError, StalledError, UnavailableError])
KINDS = st.sampled_from(
    [
        ConnectionLostError,
        StalledError,
        UnavailableError,
        ThrottledError,
        DamagedInTransitError,
        ExpiredError,
        AccessError,
        LocalError,
    ]
)
MANY = st.sampled_from([1, 2, 8, 64])
SEEDS = st.integers(0, 2**32)


class World:
    """One host and many operations on it; `host` says what an attempt that ends now comes to."""

    def __init__(self, time: Any, policy: RetryPolicy, seed: int) -> None:
        self.time = time
        self.luck = random.Random(seed)
        self.attempts_made: list[int] = []
        self.attempts = Attempts(
            lambda _: policy, clock=time.clock, sleep=time.sleep, jitter=self.luck.random
        )

    def run(
        self, count: int, host: Callable[[float], TransferError | None], *, limit: float
    ) -> list[Any]:
        self.attempts_made = [0] * count
        return self.time.run(*(self.operation(n, host) for n in range(count)), limit=limit)

    async def operation(self, number: int, host: Callable[[float], TransferError | None]) -> str:
        async def attempt() -> str:
            self.attempts_made[number] += 1
            await self.time.sleep(self.luck.uniform(0.001, 0.5))
            error = host(self.time.now)
            if error is not None:
                raise error
            return "done"

        return await self.attempts.run(HOST, attempt)

    def meet(self) -> None:
        """Let the host answer once."""
        assert self.run(1, lambda _: None, limit=self.time.now + 1) == ["done"]


@settings(max_examples=100)
@given(MANY, SEEDS, OUTAGES, st.floats(60, 300))
def test_total_outage_costs_a_bounded_number_of_attempts_and_ends(
    played_time: type, count: int, seed: int, kind: type[TransferError], patience: float
):
    policy = RetryPolicy(patience=patience)
    world = World(played_time(), policy, seed)
    world.meet()
    limit = world.time.now + patience + 2 * policy.probe_cap + policy.cap + 5
    found = world.run(count, lambda _: kind("gone"), limit=limit)
    assert {type(error) for error in found} == {kind}
    free = policy.budget // policy.retry_cost + 1
    probes = 5 + patience / policy.probe_cap + 2
    assert sum(world.attempts_made) <= free + count + probes
    assert world.time.now >= patience


@settings(max_examples=100)
@given(count=MANY, seed=SEEDS, kind=OUTAGES, patience=st.floats(60, 300), share=st.floats(0, 0.99))
def test_outage_shorter_than_patience_is_survived_by_all(
    played_time: type,
    *,
    count: int,
    seed: int,
    kind: type[TransferError],
    patience: float,
    share: float,
):
    policy = RetryPolicy(patience=patience)
    world = World(played_time(), policy, seed)
    world.meet()
    back = world.time.now + share * patience

    def host(now: float) -> TransferError | None:
        return None if now >= back else kind("gone")

    limit = back + 2 * policy.probe_cap + policy.cap + 5
    assert world.run(count, host, limit=limit) == ["done"] * count


@settings(max_examples=100)
@given(MANY, SEEDS, OUTAGES, st.integers(1, 20))
def test_host_that_never_answers_costs_no_more_than_the_attempts(
    played_time: type, count: int, seed: int, kind: type[TransferError], attempts: int
):
    policy = RetryPolicy(attempts=attempts, patience=300)
    world = World(played_time(), policy, seed)
    found = world.run(count, lambda _: kind("gone"), limit=400)
    assert {type(error) for error in found} == {kind}
    assert max(world.attempts_made) <= attempts
    if count == 1:
        assert world.attempts_made == [attempts]
        assert (found[0].attempts, found[0].elapsed) == (attempts, world.time.now)


@settings(max_examples=100)
@given(
    count=MANY,
    seed=SEEDS,
    kinds=st.lists(KINDS, min_size=1, max_size=4),
    failing=st.floats(0, 1),
    known=st.booleans(),
)
def test_whatever_a_host_does_every_operation_ends(
    played_time: type,
    *,
    count: int,
    seed: int,
    kinds: list[type[TransferError]],
    failing: float,
    known: bool,
):
    policy = RetryPolicy(patience=100, throttle_cap=20)
    world = World(played_time(), policy, seed)
    if known:
        world.meet()

    def host(_: float) -> TransferError | None:
        return world.luck.choice(kinds)("odd") if world.luck.random() < failing else None

    found = world.run(count, host, limit=100_000)
    assert all(result == "done" or isinstance(result, TransferError) for result in found)
    if failing == 0:
        assert found == ["done"] * count


@dataclass
class Crowd:
    """Operations that ask, start, end and vanish at random, straight on a `HostHealth`."""

    data: st.DataObject
    host: HostHealth
    now: float = 0.0
    waiting: list[Operation] = field(default_factory=lambda: [Operation(0.0) for _ in range(6)])
    flying: list[Operation] = field(default_factory=list)
    probing: list[Operation] = field(default_factory=list)

    def step(self) -> None:
        self.now += self.data.draw(st.sampled_from([0.0, 0.01, 1.0, 30.0]))
        if self.flying and (not self.waiting or self.data.draw(st.booleans())):
            self.land(self.flying.pop(self.data.draw(st.integers(0, len(self.flying) - 1))))
        elif self.waiting:
            self.ask(self.waiting.pop(self.data.draw(st.integers(0, len(self.waiting) - 1))))

    def ask(self, operation: Operation) -> None:
        wait = self.host.admit(operation, self.now)
        assert 0 <= wait <= self.host.policy.probe_cap
        if wait:
            self.waiting.append(operation)
            return
        if self.host.tripped:
            assert self.probing == []
            self.probing.append(operation)
        self.flying.append(operation)

    def land(self, operation: Operation) -> None:
        ended = self.data.draw(st.sampled_from(["withdrawn", "succeeded"]) | KINDS)
        tokens = self.host._tokens
        again = False
        if ended == "withdrawn":
            self.host.withdrawn(operation)
        elif ended == "succeeded":
            self.host.succeeded(operation, self.now)
            assert not self.host.tripped
        else:
            pause = self.host.failed(operation, ended("odd"), self.now)
            again = pause is not None
            assert pause is None or 0 <= pause <= 60
            if ended is ExpiredError:
                assert self.host._tokens == tokens
        assert self.host._tokens <= self.host.policy.budget
        if operation in self.probing:
            self.probing.remove(operation)
        self.waiting.append(operation if again else Operation(self.now))


@given(st.data(), st.integers(0, 30))
def test_open_breaker_admits_one_probe_at_a_time(data: st.DataObject, budget: int):
    host = HostHealth(RetryPolicy(budget=budget, reserve=budget, attempts=1000), lambda: 0.5)
    host.succeeded(Operation(0.0), 0.0)
    crowd = Crowd(data, host)
    for _ in range(60):
        crowd.step()


@given(
    st.lists(st.none() | st.floats(allow_nan=False), min_size=1, max_size=40),
    st.floats(0, 1, exclude_max=True),
)
def test_throttling_waits_as_long_as_asked_but_never_beyond_the_cap(
    asked: list[float | None], jitter: float
):
    policy = RetryPolicy()
    host, operation = HostHealth(policy, lambda: jitter), Operation(0.0)
    host.succeeded(operation, 0.0)
    for number, seconds in enumerate(asked):
        pause = host.failed(operation, ThrottledError("slow", retry_after=seconds), 1.0)
        assert pause is not None
        wanted = min(max(seconds or 0.0, 0.0), policy.throttle_cap)
        assert wanted <= pause <= policy.throttle_cap
        assert pause <= max(wanted, 2.0**number)


@given(st.integers(1, 200), st.floats(0, 1), OUTAGES)
def test_pauses_stay_between_zero_and_the_cap(count: int, jitter: float, kind: type[TransferError]):
    policy = RetryPolicy(budget=10**6)
    host, operation = HostHealth(policy, lambda: jitter), Operation(0.0)
    host.succeeded(operation, 0.0)
    for number in range(count):
        pause = host.failed(operation, kind("gone"), 1.0)
        assert pause is not None
        assert 0 <= pause <= min(policy.cap, policy.base * 2.0**number)
