"""The workers of a run: as many as there may be turns at once, which may change.

More are hired at once. One too many leaves between two turns: what is under way
is never cut short for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup


class Turns:
    """Runs `work` in so many tasks; `work` asks `surplus` between turns, and returns if so."""

    def __init__(self, limit: int, work: Callable[[], Awaitable[None]]) -> None:
        self.limit = limit
        self._work = work
        self._hired = 0
        self._crew: TaskGroup | None = None

    @property
    def surplus(self) -> bool:
        """Whether one of the workers is to leave."""
        return self._hired > self.limit

    async def run(self) -> None:
        """Hire the workers, and wait until all have returned."""
        async with anyio.create_task_group() as self._crew:
            self._hire(self._crew)

    def change(self, limit: int) -> None:
        """Let there be another number of turns from now on, unless all have returned already."""
        self.limit = limit
        if self._crew is not None and self._hired:
            self._hire(self._crew)

    def _hire(self, crew: TaskGroup) -> None:
        while self._hired < self.limit:
            self._hired += 1
            crew.start_soon(self._employ)

    async def _employ(self) -> None:
        try:
            await self._work()
        finally:
            self._hired -= 1
