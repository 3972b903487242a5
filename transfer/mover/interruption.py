"""Telling a thread to stop: at its next step, and in whatever it waits for."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transfer.errors import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Generator

    from transfer.quick import Interruptible


class Interruption:
    """Shared by a thread that works and whoever may want it to stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: Interruptible | None = None
        self.asked = False

    def interrupt(self) -> None:
        """Ask the thread to stop."""
        with self._lock:
            self.asked = True
            if self._current is not None:
                self._current.interrupt()

    @contextmanager
    def during(self, current: Interruptible) -> Generator[None]:
        """Say what the thread is about to wait for; ConnectionLostError if it is to stop."""
        with self._lock:
            if self.asked:
                raise ConnectionLostError("interrupted")
            self._current = current
        try:
            yield
        finally:
            with self._lock:
                self._current = None
