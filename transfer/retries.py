"""When to try again: one policy for everything, pure, with time as an argument.

Three questions are kept apart. *This operation*: how long to wait before its
next attempt (exponential, full jitter; throttling backs off on a scale of its
own and honours Retry-After), and when it is hopeless although others succeed.
*The host*: a token bucket bounds how much retrying may add to the load; when it
is empty, a breaker leaves a single probe with growing pauses, so that an outage
costs few requests. *The run*: an outage is survived as long as patience lasts.

Sources: AWS Builders' Library, "Timeouts, retries and backoff with jitter";
botocore's standard mode (500 tokens, 5 per retry, 10 per time-out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.errors import (
    DamagedInTransitError,
    ExpiredError,
    StalledError,
    StoreError,
    ThrottledError,
    TransferError,
    UnsettledError,
)

if TYPE_CHECKING:
    from collections.abc import Callable


# An attempt that broke off after so many seconds had been moving bytes until then:
# names that do not resolve and connections that are not accepted fail sooner.
LIVELY = 120.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The numbers; times in seconds.

    `attempts` bounds one operation while its host answers others, and any
    operation on a host that never answered at all. `patience` is how long a
    host that did answer may be gone. Pauses are drawn from 0 up to a ceiling
    that doubles, or, with `added_jitter`, are the ceiling and a little more.
    """

    attempts: int = 8
    base: float = 0.05
    cap: float = 20.0
    throttle_base: float = 1.0
    throttle_cap: float = 60.0
    probe_cap: float = 30.0
    patience: float = 900.0
    budget: int = 500
    retry_cost: int = 5
    stall_cost: int = 10
    reserve: int = 50
    resigns: int = 3
    added_jitter: float | None = None
    honour_retry_after: bool = True


@dataclass(slots=True)
class Operation:
    """The attempts of one operation so far."""

    started: float
    attempts: int = 0
    began: float | None = None
    first_failed: float | None = None
    last_failed: float | None = None
    charged: int = 0
    resigned: int = 0


class HostHealth:
    """What is known of one host: its budget, its last answer, its breaker.

    `dead` is the error that used up the last patience: nobody need ask again.
    """

    def __init__(self, policy: RetryPolicy, jitter: Callable[[], float]) -> None:
        self.policy = policy
        self._jitter = jitter
        self._tokens = float(policy.budget)
        self._answered: float | None = None
        self._silent_since: float | None = None
        self._open = False
        self._probe: Operation | None = None
        self._next_probe = 0.0
        self._probes = 0
        self.dead: TransferError | None = None

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<HostHealth breaker {state}, {self._tokens:.0f} tokens>"

    @property
    def tripped(self) -> bool:
        """Whether only probes are let through."""
        return self._open

    def admit(self, operation: Operation, now: float) -> float:
        """Return 0 if an attempt may start now, else in how many seconds to ask again."""
        if self._open and self._probe is not operation:
            if self._probe is not None:
                return min(1.0, self.policy.probe_cap)
            if now < self._next_probe:
                return self._next_probe - now
            self._probe = operation
        operation.began = now
        return 0.0

    def succeeded(self, operation: Operation, now: float) -> None:
        """An attempt got its answer: a good one, or one that no retry will mend."""
        self._heard(now)
        self._release(operation)
        if self._open:
            self._open = False
            self._probes = 0
            self._tokens = float(self.policy.reserve)
        self._tokens = min(self._tokens + 1, self.policy.budget)

    def failed(self, operation: Operation, error: TransferError, now: float) -> float | None:
        """Return in how many seconds to try again, None to give up."""
        operation.attempts += 1
        self._release(operation)
        if not error.retryable:
            if isinstance(error, StoreError):
                self.succeeded(operation, now)
            return None
        if isinstance(error, ExpiredError):
            operation.resigned += 1
            return 0.0 if operation.resigned <= self.policy.resigns else None
        self._learn(operation, error, now)
        if self._hopeless(operation, error, now):
            return None
        self._charge(error)
        if self._open:
            return self._pause(error, now)
        return self._delay(operation, error)

    def withdrawn(self, operation: Operation) -> None:
        """The operation was cancelled: somebody else may probe."""
        self._release(operation)

    def _heard(self, now: float) -> None:
        self._answered = now
        self._silent_since = None
        self.dead = None

    def _learn(self, operation: Operation, error: TransferError, now: float) -> None:
        """Take in a failure: of a host that is silent, or of this operation alone.

        An attempt counts against the operation if the host has answered anybody
        since the one before: what fails in an outage says nothing of its own.
        """
        if _went_on_for_long(operation, error, now):
            self._heard(now)
            operation.first_failed = operation.last_failed = None
            operation.charged = 0
        last = operation.last_failed
        counts = last is None or self._answered is None or self._answered > last
        if isinstance(error, ThrottledError | DamagedInTransitError | UnsettledError):
            self._heard(now)
            counts = not isinstance(error, ThrottledError)
        elif self._silent_since is None:
            self._silent_since = now
        operation.charged += counts
        if operation.first_failed is None:
            operation.first_failed = now
        operation.last_failed = now

    def _hopeless(self, operation: Operation, error: TransferError, now: float) -> bool:
        """Whether waiting will not help, this operation or anybody on this host."""
        since = operation.first_failed if operation.first_failed is not None else now
        used_up = operation.charged >= self.policy.attempts
        silent = self._silent_since is not None and (
            now - self._silent_since > self.policy.patience
        )
        never_there = self._answered is None and (used_up or self._open)
        if silent or never_there:
            self.dead = error
        return self.dead is not None or used_up or now - since > self.policy.patience

    def _charge(self, error: TransferError) -> None:
        if self._open:
            return
        cost = self.policy.stall_cost if isinstance(error, StalledError) else self.policy.retry_cost
        self._tokens -= cost
        self._open = self._tokens < 0

    def _pause(self, error: TransferError, now: float) -> float:
        """Return the seconds to the next probe, whoever will make it."""
        if self._next_probe <= now:
            self._probes += 1
            growing = self.policy.throttle_base * 2.0 ** min(self._probes - 1, 30)
            self._next_probe = now + min(self.policy.probe_cap, growing)
        self._next_probe = max(self._next_probe, now + self._asked_for(error))
        return self._next_probe - now

    def _delay(self, operation: Operation, error: TransferError) -> float:
        policy = self.policy
        exponent = min(max(operation.attempts - 1, 0), 30)
        if isinstance(error, ThrottledError):
            ceiling = min(policy.throttle_cap, policy.throttle_base * 2.0**exponent)
            return max(self._asked_for(error), self._jitter() * ceiling)
        ceiling = min(policy.cap, policy.base * 2.0**exponent)
        if policy.added_jitter is not None:
            return ceiling + self._jitter() * policy.added_jitter
        return self._jitter() * ceiling

    def _asked_for(self, error: TransferError) -> float:
        """Return the pause that the server itself asks for, up to the longest we take."""
        if not isinstance(error, ThrottledError) or not self.policy.honour_retry_after:
            return 0.0
        return min(max(error.retry_after or 0.0, 0.0), self.policy.throttle_cap)

    def _release(self, operation: Operation) -> bool:
        if self._probe is operation:
            self._probe = None
            return True
        return False


def _went_on_for_long(operation: Operation, error: TransferError, now: float) -> bool:
    """Whether an attempt lasted longer than any silence of a host would let it."""
    if operation.began is None or isinstance(error, StalledError):
        return False
    return now - operation.began > LIVELY
