"""The one place that tries again: tenacity runs the loop, `retries` decides.

A fresh loop for each operation (a shared one mixes up the state of tasks), real
coroutine functions (a lambda is never awaited), and a predicate that knows our
errors only (a wider one would swallow cancellation).
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import anyio
from tenacity import AsyncRetrying, retry_if_exception

from transfer.errors import ThrottledError, TransferError
from transfer.retries import HostHealth, Operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

    from transfer.retries import RetryPolicy

T = TypeVar("T")


class Lane(NamedTuple):
    """Where an operation goes: control calls and bytes of one store may meet different hosts.

    Opening a store is apart: it may succeed without a word from any host.
    """

    store: str
    data: bool = False
    opening: bool = False


class Attempts:
    """Retries for one run; what it learns of a host serves all operations on it.

    `retries` and `throttled` count attempts that were or will be repeated, and
    those that a store has refused because there were too many.
    """

    def __init__(
        self,
        policy_of: Callable[[Lane], RetryPolicy],
        *,
        clock: Callable[[], float] = anyio.current_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._policy_of = policy_of
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._hosts: dict[Lane, HostHealth] = {}
        self.retries = 0
        self.throttled = 0

    async def run(
        self,
        lane: Lane,
        attempt: Callable[[], Awaitable[T]],
        on_retry: Callable[[int, float, TransferError], None] | None = None,
    ) -> T:
        """Await `attempt()` until it succeeds or trying again is hopeless.

        `on_retry` is told the number of the failed attempt, the pause in seconds
        and the error. Raises the last error, with the number of attempts in it.
        """
        loop = _Loop(self, lane, Operation(self._clock()), on_retry)
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(loop.may_go_on),
            wait=loop.pause,
            reraise=True,
        )
        return await retrying(partial(self._attempt, attempt, loop))

    def heard(self, lane: Lane) -> None:
        """Note that a host did answer what was not asked through here."""
        now = self._clock()
        self.health(lane).succeeded(Operation(now), now)

    def in_trouble(self, lane: Lane) -> bool:
        """Tell whether a host is asked by single probes only, or not at all any more."""
        health = self._hosts.get(lane)
        return health is not None and (health.tripped or health.dead is not None)

    def health(self, lane: Lane) -> HostHealth:
        """Return what is known of the host of a lane."""
        health = self._hosts.get(lane)
        if health is None:
            health = self._hosts[lane] = HostHealth(self._policy_of(lane), self._jitter)
        return health

    async def _attempt(self, attempt: Callable[[], Awaitable[T]], loop: _Loop) -> T:
        loop.begun()
        await self._admitted(loop)
        try:
            result = await attempt()
        except TransferError as error:
            loop.failed(error, self._clock())
            raise
        except BaseException:
            loop.withdrawn()
            raise
        loop.succeeded(self._clock())
        return result

    async def _admitted(self, loop: _Loop) -> None:
        health = loop.health
        while True:
            if health.dead is not None:
                reason = health.dead.message
                raise type(health.dead)(f"{loop.lane.store} was given up before: {reason}")
            wait = health.admit(loop.operation, self._clock())
            if wait <= 0:
                return
            await self._sleep(wait)


class _Loop:
    """What one loop of tenacity asks, answered by the policy.

    `health` is that of the host that is in the way: where moving bytes begins with
    a control call, and that fails, it is not the bytes' host whose health counts.
    """

    def __init__(
        self,
        attempts: Attempts,
        lane: Lane,
        operation: Operation,
        on_retry: Callable[[int, float, TransferError], None] | None,
    ) -> None:
        self.lane = lane
        self.operation = operation
        self.health = attempts.health(lane)
        self._attempts = attempts
        self._on_retry = on_retry
        self._pause: float | None = None

    def begun(self) -> None:
        """Forget the last pause: what is raised before an attempt was made is not repeated."""
        self._pause = None

    def failed(self, error: TransferError, now: float) -> None:
        self._turn_to(self.lane._replace(data=False) if error.control else self.lane, now)
        self._pause = self.health.failed(self.operation, error, now)
        self._attempts.throttled += isinstance(error, ThrottledError)
        if self._pause is None:
            error.attempts = self.operation.attempts
            error.elapsed = now - self.operation.started
            return
        self._attempts.retries += 1
        if self._on_retry is not None:
            self._on_retry(self.operation.attempts, self._pause, error)

    def succeeded(self, now: float) -> None:
        self._turn_to(self.lane, now)
        self.health.succeeded(self.operation, now)

    def withdrawn(self) -> None:
        self.health.withdrawn(self.operation)

    def _turn_to(self, lane: Lane, now: float) -> None:
        health = self._attempts.health(lane)
        if health is self.health:
            return
        if lane == self.lane:
            # The control call came through.
            self.health.succeeded(self.operation, now)
        else:
            self.health.withdrawn(self.operation)
        self.health = health

    def may_go_on(self, error: BaseException) -> bool:
        return isinstance(error, TransferError) and self._pause is not None

    def pause(self, state: RetryCallState) -> float:
        del state
        return self._pause or 0.0
