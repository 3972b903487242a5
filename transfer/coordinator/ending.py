"""How the server ends by a signal: in order, and then as the signal would have it.

Uvicorn cancels what still runs and raises the signal again at once. By SIGTERM the
process is gone then, before anybody has removed a partial file.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator
    from types import FrameType

# Seconds for what was cancelled to clean up; a disk that hangs must not keep the process. With
# the four that requests have to end by themselves, less than the ten that Docker waits.
_TO_CLEAN_UP = 5.0


class Server(uvicorn.Server):
    """Waits for the requests that it has cancelled, and keeps the signal for `end`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._signal: int | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Let signals ask for the end only, until all has ended."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember which it was."""
        self._signal = sig
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all requests, and wait for those that were cancelled."""
        await super().shutdown(sockets)
        if tasks := set(self.server_state.tasks):
            if self.force_exit:
                # A second Ctrl-C ends the wait for them; they are not cancelled yet.
                for task in tasks:
                    task.cancel()
            await asyncio.wait(tasks, timeout=_TO_CLEAN_UP)

    def end(self) -> None:
        """End the process by the signal that has stopped the server, if one has."""
        if self._signal is not None:
            signal.raise_signal(self._signal)
            # The first process of a container is not ended by what it does not handle.
            sys.exit(128 + self._signal)
