"""Parts on their way, and the cut for those that hold up the end.

A part is sent under a scope that can be cancelled alone: the connection is then
closed and waited for by whoever moves the bytes, and only after that the part
is sent again, so that there are never two attempts of one part. Its bytes are
taken back, and no retry is counted: nothing has failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import anyio

from transfer.stragglers import Flight, Stragglers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer.tally import Tally

T = TypeVar("T")

# Seconds between two looks.
LOOK = 0.2


@dataclass(eq=False, slots=True)
class _Leg:
    """One attempt of one part."""

    size: int
    began: float
    cuts: int
    tally: Tally
    scope: anyio.CancelScope


class Tail:
    """Watches the parts of a run; `idle` says how many turns are free with nothing to begin."""

    def __init__(self, idle: Callable[[], int]) -> None:
        self.cuts = 0
        self._idle = idle
        self._stragglers = Stragglers()
        self._legs: set[_Leg] = set()

    async def watch(self) -> None:
        """Cut what is worth it, until cancelled."""
        while True:
            await anyio.sleep(LOOK)
            self.look()

    def look(self) -> None:
        """Cut what is worth it now."""
        flights = [
            Flight(leg, leg.size, leg.tally.moved, leg.began, leg.cuts) for leg in self._legs
        ]
        late = self._stragglers.observe(anyio.current_time(), flights, self._idle())
        for leg in [leg for leg in self._legs if leg in late]:
            self.cuts += 1
            leg.scope.cancel()

    async def carry(
        self, size: int, count: Callable[[], Tally], send: Callable[[Tally], Awaitable[T]]
    ) -> T:
        """Await `send`, with the tally that it counts in; again for as often as it is cut."""
        cuts = 0
        while True:
            with anyio.CancelScope() as scope, count() as tally:
                leg = _Leg(size, anyio.current_time(), cuts, tally, scope)
                self._legs.add(leg)
                try:
                    result = await send(tally)
                finally:
                    self._legs.discard(leg)
                self._stragglers.landed(size, anyio.current_time() - leg.began)
                return result
            cuts += 1
