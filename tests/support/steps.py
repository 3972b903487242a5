"""Going through steps without the thread that usually does."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, TypeVar

from transfer.quick import Aside

if TYPE_CHECKING:
    from transfer.quick import Steps

T = TypeVar("T")


def go_through(steps: Steps[T]) -> T:
    """Do one step after the other, and wait where that is asked for; blocks."""
    while True:
        try:
            wait = next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(wait, Aside):
            wait.run()
        elif wait.writing:
            select.select([], [wait.sock], [], 10)
        else:
            select.select([wait.sock], [], [], 10)
