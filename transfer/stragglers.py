"""Which part in flight at the tail of a transfer is worth sending again.

When nothing is left to begin, whoever is last decides when all of it is done:
one connection whose path has gone bad, or whose server is slow, can hold up a
file for as long as all its other parts took. A connection that is idle by then
would do the same part sooner. So a part is cut (its connection closed, then all of
it sent again on another) if what it still needs, at the pace of its last
moments, is more than twice what others took for a whole one.

Only while bytes move, and some are left: of a part that is all sent, the store
may have made up its mind already, and what stands still may be at work elsewhere.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

# What a part still needs, in units of what a whole one should take, to be cut.
WORTH_IT = 1.5
# Each cut of the same part makes the next one harder to get, and after some there is none.
HARDER = 1.2
MOST_CUTS = 3
# Of the idle connections, one in so many sends again what was cut.
SHARE = 8
# Less than this is not worth a new connection, in seconds.
LEAST = 1.0
# How far back the pace of a part is looked at, in seconds.
RECENT = 2.0
# How many parts that have arrived make up what is usual.
REMEMBERED = 64
# Fewer say nothing.
ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Flight:
    """A part under way: sizes in bytes, `began` in seconds; `cuts` were made before."""

    key: Hashable
    size: int
    moved: int
    began: float
    cuts: int = 0


class Stragglers:
    """Remembers how long parts take, and how those in flight get on."""

    def __init__(self) -> None:
        self._paces: deque[float] = deque(maxlen=REMEMBERED)
        self._seen: dict[Hashable, deque[tuple[float, int]]] = {}

    def __repr__(self) -> str:
        return f"<Stragglers {len(self._seen)} in flight, {len(self._paces)} known>"

    def landed(self, size: float, seconds: float) -> None:
        """A whole part has arrived, from beginning to end in so many seconds."""
        if size > 0:
            self._paces.append(seconds / size)

    def observe(self, now: float, flights: Iterable[Flight], idle: int) -> list[Hashable]:
        """Return the keys of what to cut now, given so many idle connections.

        Most of them stay idle: what is sent again at the same time shares the line.
        """
        flying = list(flights)
        self._note(now, flying)
        if idle < 1 or len(self._paces) < ENOUGH:
            return []
        paces = {flight.key: self._pace(flight, now) for flight in flying}
        known = [pace for pace in paces.values() if pace is not None]
        if len(known) > 1 and min(known) == float("inf"):
            return []  # an outage, not a straggler
        hoped = _hoped_for(sorted([*self._paces, *known]), len(flying), idle)
        late = [(_lateness(flight, paces[flight.key], hoped, now), flight.key) for flight in flying]
        late = sorted((item for item in late if item[0] > 1), key=lambda item: -item[0])
        again = sum(flight.cuts > 0 for flight in flying)
        return [key for _, key in late[: max(0, 1 + idle // SHARE - again)]]

    def _note(self, now: float, flights: list[Flight]) -> None:
        seen = {flight.key: self._seen.get(flight.key, deque()) for flight in flights}
        for flight in flights:
            past = seen[flight.key]
            if past and flight.moved < past[-1][1]:
                past.clear()  # it has begun again
            past.append((now, flight.moved))
            while len(past) > 2 and past[1][0] <= now - RECENT:
                past.popleft()
        self._seen = seen

    def _pace(self, flight: Flight, now: float) -> float | None:
        """Return the seconds that a byte takes of late; None if that cannot be told."""
        since, moved = self._seen[flight.key][0]
        if not 0 < flight.moved < flight.size or now - since < RECENT / 2:
            return None
        return (now - since) / (flight.moved - moved) if flight.moved > moved else float("inf")


def _hoped_for(paces: list[float], flying: int, idle: int) -> float:
    """Return the pace that a part can hope for that is sent now: of all, from fast to slow.

    That of the middle while all connections are busy; the emptier the line has
    become, the more like that of the fastest.
    """
    return paces[int(len(paces) / 2 * flying / (flying + idle))]


def _lateness(flight: Flight, pace: float | None, hoped: float, now: float) -> float:
    """Return how often the least that is worth a cut is in what the part still needs."""
    again = max(hoped * flight.size, LEAST / WORTH_IT)
    if pace is None or flight.cuts >= MOST_CUTS or now - flight.began < again:
        return 0.0
    return (flight.size - flight.moved) * pace / (WORTH_IT * again * HARDER**flight.cuts)
