"""An event loop whose time passes at once: it never waits for a timer.

When nothing is to be done until a timer is due, its clock is put forward to then.
So a test that sleeps takes no time, and no other process can make it late.
"""

from __future__ import annotations

import asyncio
import selectors
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Selector(selectors.DefaultSelector):
    """Looks what is ready, and notes how long it should have waited."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self.waited += max(timeout, 0.0)
        return ready


class HastyLoop(asyncio.SelectorEventLoop):
    """Its `time` begins at zero, and is moved by timers alone."""

    def __init__(self) -> None:
        self._waiting = _Selector()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.waited


def hasty(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on such a loop. It must wait for nothing but timers: no thread, no socket."""

    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        with asyncio.Runner(loop_factory=HastyLoop) as runner:
            runner.run(test(*args, **named))

    return run
