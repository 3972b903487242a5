"""One thread at a time, where many would only fight for Python's lock.

Threads that carry small files spend more time in Python than in waiting. As many
as have work take Python's lock from one another at every system call, and with a
second processor that costs more than the work. So each works in turn, and gives
way while it waits for a peer, or for a disk that takes its time.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Whoever has the turn may be held up by what should not take long: then, after so many
# seconds, others go on without it.
_PATIENCE = 0.5
# A file in the page cache takes a tenth of it, one on a network's disk some of it.
_SLOW = 0.0004


class Turn:
    """What one thread has at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here = threading.local()
        self._held_up = False

    @property
    def taken(self) -> bool:
        """Whether anybody has it."""
        return self._lock.locked()

    @property
    def mine(self) -> bool:
        """Whether this thread has it."""
        return getattr(self._here, "mine", False)

    def take(self) -> None:
        """Wait for it; whoever has waited too long, or knows that others have, goes on without."""
        mine = self._lock.acquire(blocking=False)
        if not mine and not self._held_up:
            mine = self._lock.acquire(timeout=_PATIENCE)
            self._held_up = not mine
        self._here.mine = mine

    def give(self) -> None:
        """Let the next one have it."""
        self._here.mine = self._held_up = False
        self._lock.release()


# Python's lock is the process's, and so is the turn.
_TURN = Turn()


class InTurn:
    """Work in turn within the block; not for use within itself."""

    def __enter__(self) -> None:
        """Wait for the turn."""
        _TURN.take()

    def __exit__(self, *_: object) -> None:
        """Let the next one work."""
        if _TURN.mine:
            _TURN.give()


class OutOfTurn:
    """Give way within the block; nothing, in a thread that does not work in turn."""

    def __init__(self) -> None:
        self._gave_way = False

    def __enter__(self) -> None:
        """Let others work."""
        self._gave_way = _TURN.mine
        if self._gave_way:
            _TURN.give()

    def __exit__(self, *_: object) -> None:
        """Wait for the turn."""
        if self._gave_way:
            _TURN.take()


class Files:
    """Reads and writes small files in turn, and gives way where that has been slow."""

    def __init__(self) -> None:
        self._usual = 0.0

    @property
    def slow(self) -> bool:
        """Whether they usually take so long that others had better work meanwhile."""
        return self._usual > _SLOW

    def run(self, action: Callable[[], T]) -> T:
        """Do something with a file, and learn how long it takes."""
        if self.slow:
            with OutOfTurn():
                return self._timed(action)
        return self._timed(action)

    def _timed(self, action: Callable[[], T]) -> T:
        began = time.perf_counter()
        result = action()
        self._usual += (time.perf_counter() - began - self._usual) / 8
        return result
