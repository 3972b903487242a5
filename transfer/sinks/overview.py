"""A run as seen from outside: what its events add up to, and how fast it goes.

Speed is measured over the last seconds only, so that it follows what happens
now, and counts what was moved in this run: files that were there already count
as progress, but not as speed.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from transfer.events import (
    FileDone,
    FileFailed,
    FileSkipped,
    Progress,
    Resumed,
    Retrying,
    RunDone,
)

if TYPE_CHECKING:
    from transfer.events import Event
    from transfer.model import Verified

# Seconds over which speed is measured: long enough to be steady, short enough to be true.
WINDOW = 8.0
NOTHING = Progress(0, 0, 0, 0, listed=False)


class Pace:
    """Bytes per second over the last `WINDOW` seconds; it starts from no bytes, now."""

    def __init__(self, now: float) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, 0)])

    def observe(self, moved: int, now: float) -> None:
        """Note how many bytes have been moved by now, in all."""
        self._samples.append((now, moved))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def rate(self) -> float:
        """Bytes per second; 0 while attempts take back more than they add."""
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        return max(0.0, (after - before) / (end - begin)) if end > begin else 0.0


class Overview:
    """The events of a run so far, added up.

    In a run that is `comparing`, a file that may stay was read to find that out.
    `there` are the bytes of files that are done which a former run had moved.
    """

    def __init__(self, now: float, *, comparing: bool = False) -> None:
        self.comparing = comparing
        self.progress = NOTHING
        self.retries = 0
        self.there = 0
        self.failures: Counter[str] = Counter()
        self.verified: Counter[Verified] = Counter()
        self.summary: RunDone | None = None
        self.last_retry: tuple[float, Retrying] | None = None
        self._there_already = 0
        self._resumed: dict[str, int] = {}
        self._pace = Pace(now)
        self._last_look = now
        self._file_paces: dict[str, Pace] = {}

    def take(self, event: Event, now: float) -> None:
        """Add one event; `now` is in seconds, on any clock that runs evenly."""
        match event:
            case Progress():
                self._take_progress(event, now)
            case Retrying():
                self.retries += 1
                self.last_retry = now, event
            case FileDone():
                self.verified[event.verified] += 1
                self.there += self._resumed.get(event.target, 0)
            case FileSkipped() if not self.comparing:
                self._there_already += event.size
            case Resumed():
                self._resumed[event.target] = event.size
                self._there_already += event.size
            case FileFailed():
                self.failures[event.code] += 1
                self._there_already -= self._resumed.pop(event.target, 0)
            case RunDone():
                self.summary = event
            case _:
                pass

    @property
    def failed(self) -> int:
        """How many files have failed."""
        return self.failures.total()

    @property
    def rate(self) -> float:
        """Bytes per second of the whole run, lately."""
        return self._pace.rate

    def rate_of(self, target: str) -> float:
        """Bytes per second of one file, lately."""
        pace = self._file_paces.get(target)
        return pace.rate if pace else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at this speed; None if that cannot be told."""
        if not self.progress.listed or self.rate <= 0:
            return None
        return max(0, self.progress.total - self.progress.moved) / self.rate

    def _take_progress(self, event: Progress, now: float) -> None:
        self.progress = event
        self._pace.observe(event.moved - self._there_already, now)
        known = self._file_paces
        moving = [file for file in event.running if file.moved]
        self._file_paces = {
            file.target: known.get(file.target) or Pace(self._last_look) for file in moving
        }
        for file in moving:
            moved = file.moved - self._resumed.get(file.target, 0)
            self._file_paces[file.target].observe(moved, now)
        self._last_look = now
