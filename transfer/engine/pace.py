"""The clock and the eyes of the pacer: looks at the run some times a second, and passes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from transfer.pacing import Pacer, Sample
    from transfer.tally import Meter

# Seconds between two looks: short against what the pacer measures over.
LOOK = 0.05


async def keep_pace(
    pacer: Pacer, sample: Callable[[], Sample], change: Callable[[int], None]
) -> None:
    """Have the number of turns follow what goodput says, until cancelled."""
    while True:
        await anyio.sleep(LOOK)
        before = pacer.limit
        limit = pacer.observe(anyio.current_time(), sample())
        if limit != before:
            change(limit)


class Odometer:
    """Bytes that a run has moved, whether or not they were of use: never falls.

    Progress goes back when an attempt fails, and jumps where something was there
    already; the line has carried what it has carried.
    """

    def __init__(self) -> None:
        self.total = 0
        self._gone = 0
        self._seen = 0

    def left(self, count: int) -> None:
        """Note bytes of something that will not be among what runs any more."""
        self._gone += count

    def read(self, meters: Iterable[Meter], others: int) -> int:
        """Return the bytes so far, from what runs now and other bytes under way."""
        seen = self._gone + others + sum(meter.travelled for meter in meters)
        self.total += max(0, seen - self._seen)
        self._seen = seen
        return self.total
