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

from transfer.errors import TransferError
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
    """Retries for one run; what it learns of a host serves all operations on it."""

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
        health = self._health(lane)
        operation = Operation(self._clock())
        loop = _Loop(self, health, operation, on_retry)
        retrying = AsyncRetrying(
            sleep=self._sleep,
            retry=retry_if_exception(loop.may_go_on),
            wait=loop.pause,
            reraise=True,
        )
        return await retrying(partial(self._attempt, lane, health, operation, attempt, loop))

    def heard(self, lane: Lane) -> None:
        """Note that a host did answer what was not asked through here."""
        now = self._clock()
        self._health(lane).succeeded(Operation(now), now)

    def in_trouble(self, lane: Lane) -> bool:
        """Tell whether a host is asked by single probes only, or not at all any more."""
        health = self._hosts.get(lane)
        return health is not None and (health.tripped or health.dead is not None)

    def _health(self, lane: Lane) -> HostHealth:
        health = self._hosts.get(lane)
        if health is None:
            health = self._hosts[lane] = HostHealth(self._policy_of(lane), self._jitter)
        return health

    async def _attempt(
        self,
        lane: Lane,
        health: HostHealth,
        operation: Operation,
        attempt: Callable[[], Awaitable[T]],
        loop: _Loop,
    ) -> T:
        loop.begun()
        await self._admitted(lane, health, operation)
        try:
            result = await attempt()
        except TransferError as error:
            loop.failed(error, self._clock())
            raise
        except BaseException:
            health.withdrawn(operation)
            raise
        health.succeeded(operation, self._clock())
        return result

    async def _admitted(self, lane: Lane, health: HostHealth, operation: Operation) -> None:
        while True:
            if health.dead is not None:
                reason = health.dead.message
                raise type(health.dead)(f"{lane.store} was given up before: {reason}")
            wait = health.admit(operation, self._clock())
            if wait <= 0:
                return
            await self._sleep(wait)


class _Loop:
    """What one loop of tenacity asks, answered by the policy."""

    def __init__(
        self,
        attempts: Attempts,
        health: HostHealth,
        operation: Operation,
        on_retry: Callable[[int, float, TransferError], None] | None,
    ) -> None:
        self._attempts = attempts
        self._health = health
        self._operation = operation
        self._on_retry = on_retry
        self._pause: float | None = None

    def begun(self) -> None:
        """Forget the last pause: what is raised before an attempt was made is not repeated."""
        self._pause = None

    def failed(self, error: TransferError, now: float) -> None:
        self._pause = self._health.failed(self._operation, error, now)
        if self._pause is None:
            error.attempts = self._operation.attempts
            error.elapsed = now - self._operation.started
            return
        self._attempts.retries += 1
        if self._on_retry is not None:
            self._on_retry(self._operation.attempts, self._pause, error)

    def may_go_on(self, error: BaseException) -> bool:
        return isinstance(error, TransferError) and self._pause is not None

    def pause(self, state: RetryCallState) -> float:
        del state
        return self._pause or 0.0
