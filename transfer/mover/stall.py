"""A time-out on lack of progress, never on total time.

aiohttp has no time-out for a peer that stops reading a request body, and its
others measure one read, not the exchange. So the exchange runs in a cancel
scope that this watch cancels once the counters stand still for too long. It
costs one timer per exchange and nothing per byte.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable


class StallWatch:
    """Cancels the block below it when `moved()` stands still for `limit()` seconds.

    `stalled` tells afterwards whether it did. Use as a context manager, in a task.
    """

    def __init__(self, moved: Callable[[], float], limit: Callable[[], float]) -> None:
        self._moved = moved
        self._limit = limit
        self._scope = anyio.CancelScope()
        self._timer: asyncio.TimerHandle | None = None
        self._seen: float = -1
        self._since = 0.0
        self._rang = False

    @property
    def stalled(self) -> bool:
        """Whether the block was cancelled by this watch."""
        return self._rang and self._scope.cancelled_caught

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._check()
        return self

    def __exit__(self, *error: object) -> bool:
        if self._timer is not None:
            self._timer.cancel()
        return bool(self._scope.__exit__(*error))  # type: ignore[arg-type]

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        moved = self._moved()
        if moved != self._seen:
            self._seen, self._since = moved, now
        left = self._since + self._limit() - now
        if left <= 0:
            self._rang = True
            self._scope.cancel()
        else:
            # An infinite limit may become finite while the exchange goes on.
            self._timer = loop.call_later(min(left, 1.0 if math.isinf(left) else left), self._check)
