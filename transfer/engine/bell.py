"""A bell that wakes everybody who waits at the moment, and is silent again."""

from __future__ import annotations

import anyio


class Bell:
    """Wakes everybody who waits now."""

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def ring(self) -> None:
        """Wake them; who comes later waits for the next time."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the bell."""
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
