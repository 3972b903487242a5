"""Plain lines, for logs and for whoever wants no moving display.

Every 30 seconds a line of progress, and in between only what matters: a log of
a day stays readable, and a log of a minute has one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.events import DRY_RUN, FileSkipped, Progress
from transfer.sinks.escaping import visible
from transfer.sinks.overview import Overview
from transfer.sinks.wording import (
    NORMAL,
    brief_size,
    count,
    ending_lines,
    event_line,
    progress_pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.events import Event
    from transfer.sinks import Ending

# Seconds between two lines of progress.
INTERVAL = 30.0


class Lines:
    """Says what happens line by line; `say` takes one line without its end."""

    def __init__(
        self,
        say: Callable[[str], None],
        clock: Callable[[], float],
        detail: int = NORMAL,
        *,
        comparing: bool = False,
    ) -> None:
        self._say = say
        self._clock = clock
        self._detail = detail
        self._overview = Overview(clock(), comparing=comparing)
        self._next_progress = clock() + INTERVAL

    def __call__(self, event: Event) -> None:
        """Say what there is to say about an event."""
        now = self._clock()
        self._overview.take(event, now)
        line = event_line(
            event, self._detail, self._overview.failed, comparing=self._overview.comparing
        )
        if line is not None:
            self._say(line)
        elif isinstance(event, Progress) and self._detail >= NORMAL and now >= self._next_progress:
            self._next_progress = now + INTERVAL
            self._say(", ".join(progress_pieces(self._overview)))

    def close(self, ending: Ending) -> None:
        """Say how it ended."""
        for line in ending_lines(self._overview, ending, self._detail):
            self._say(line)


class DryRun:
    """Lists what would be copied: on `out`, which is data; `say` gets errors and the sum."""

    def __init__(
        self, say: Callable[[str], None], out: Callable[[str], None], detail: int = NORMAL
    ) -> None:
        self._say = say
        self._out = out
        self._detail = detail
        self._files = 0
        self._bytes = 0

    def __call__(self, event: Event) -> None:
        """List a file, or say what is wrong with it."""
        if isinstance(event, FileSkipped) and event.reason == DRY_RUN:
            self._files += 1
            self._bytes += event.size
            self._out(visible(f"{event.source} -> {event.target} ({brief_size(event.size)})"))
        elif (line := event_line(event, self._detail)) is not None:
            self._say(line)

    def close(self, ending: Ending) -> None:
        """Say how much it would be."""
        if ending.error is not None or ending.interrupted:
            for line in ending_lines(Overview(0.0), ending, self._detail):
                self._say(line)
        elif self._detail >= NORMAL:
            files = count(self._files, "file")
            self._say(f"dry run: {files}, {brief_size(self._bytes)} would be copied")
