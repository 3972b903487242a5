"""One JSON object a line, for programs: each event as `events.to_dict` gives it.

Byte counts come at most once a second. The last object is the summary, with the
exit code and every file that failed; it comes even if the run never began.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from transfer.events import FileFailed, Progress, RunDone, to_dict

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.events import Event
    from transfer.sinks import Ending

# Seconds between two lines of progress.
INTERVAL = 1.0
NOTHING_DONE = RunDone(0, 0, 0, 0, 0, 0, 0.0)


class JsonLines:
    """Writes events as lines of ASCII; `write` takes one line without its end."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._write = write
        self._clock = clock
        self._next_progress = clock() + INTERVAL
        self._failures: list[FileFailed] = []
        self._summary = NOTHING_DONE

    def __call__(self, event: Event) -> None:
        """Write an event; the summary waits for the exit code."""
        if isinstance(event, RunDone):
            self._summary = event
            return
        if isinstance(event, Progress) and not self._is_due():
            return
        if isinstance(event, FileFailed):
            self._failures.append(event)
        self._write(json.dumps(to_dict(event)))

    def close(self, ending: Ending) -> None:
        """Write the summary."""
        last: dict[str, object] = {
            **to_dict(self._summary),
            "exit_code": ending.exit_code,
            "interrupted": ending.interrupted,
            "error": ending.error,
            "resume": ending.resume,
            "failures": [_failure(event) for event in self._failures],
        }
        self._write(json.dumps(last))

    def _is_due(self) -> bool:
        now = self._clock()
        if now < self._next_progress:
            return False
        self._next_progress = now + INTERVAL
        return True


def _failure(event: FileFailed) -> dict[str, object]:
    """The entry of a list of failures need not say that it is one."""
    return {name: value for name, value in to_dict(event).items() if name != "event"}
