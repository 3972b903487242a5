"""How a run ends that is told to stop: soon, but not in the middle of everything.

A Create or Complete that is cut leaves behind nobody knows what, so these go on
for a little while after the rest was cancelled. What is open then is given up,
and that has its own time: all is over when the second deadline has passed.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from transfer.errors import InterruptedTransferError

if TYPE_CHECKING:
    from collections.abc import Generator


class Grace:
    """Two deadlines, in seconds from when the stopping began: to finish, and to clean up."""

    def __init__(self, to_finish: float, to_clean_up: float) -> None:
        self._seconds = {False: to_finish, True: to_clean_up}
        self._deadlines = {False: math.inf, True: math.inf}
        self._scopes: dict[anyio.CancelScope, bool] = {}

    async def watch(self) -> None:
        """Wait to be cancelled with the rest: that is when the time begins to run."""
        try:
            await anyio.sleep_forever()
        finally:
            now = anyio.current_time()
            self._deadlines = {last: now + seconds for last, seconds in self._seconds.items()}
            for scope, last in self._scopes.items():
                scope.deadline = self._deadlines[last]

    @contextmanager
    def finishing(self, *, cleaning_up: bool = False) -> Generator[None]:
        """Let a call be finished although its task is cancelled.

        Raises InterruptedTransferError if its deadline came first.
        """
        scope = anyio.CancelScope(shield=True, deadline=self._deadlines[cleaning_up])
        with scope:
            self._scopes[scope] = cleaning_up
            try:
                yield
            finally:
                del self._scopes[scope]
        if scope.cancelled_caught:
            raise InterruptedTransferError("stopped before the store had answered")

    def last_scope(self) -> anyio.CancelScope:
        """Return the scope that the clean-up of a run, stopped or not, is done in."""
        limit = anyio.current_time() + self._seconds[True]
        return anyio.CancelScope(shield=True, deadline=min(self._deadlines[True], limit))
