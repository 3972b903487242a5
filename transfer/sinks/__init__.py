"""Sinks: whoever is told of a run, and what they make of it.

A sink is called with every event, in order, and closed once with how the run
ended. It never asks back, so the engine neither knows nor waits for it; a slow
one falls behind in whole batches, and of the bytes moved it then sees only the
newest count. Clocks and outputs are given to it: a test needs no terminal and
no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transfer.events import Event

__all__ = ["Ending", "EventSink"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: the code the process exits with, and what is left to be said.

    `error` is set where the run as a whole failed, rather than files of it.
    `resume` is the command that goes on, as a shell reads it, if one does.
    """

    exit_code: int
    error: str | None = None
    interrupted: bool = False
    resume: str | None = None


class EventSink(Protocol):
    """Takes the events of one run."""

    def __call__(self, event: Event) -> None:
        """Take one event in."""
        ...

    def close(self, ending: Ending) -> None:
        """Say the last word; nothing comes after it."""
        ...
