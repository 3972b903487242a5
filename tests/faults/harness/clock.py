"""Wall and monotonic time that a test moves by hand, so that hours cost nothing.

By default the clock runs along with the real one, which real clients sign with;
`advance` adds hours to both of its times, `jump` sets only the wall clock, as an
operator or a leap does. `Clock(frozen_at=...)` moves by hand only.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import anyio


class Clock:
    """One time for the harness and for what a test hands it to."""

    def __init__(self, *, frozen_at: float | None = None) -> None:
        self._frozen = frozen_at
        self._ahead = 0.0
        self._wall_shift = 0.0
        self._sleepers: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def time(self) -> float:
        """Seconds since 1970, by the wall clock."""
        base = time.time() if self._frozen is None else self._frozen
        return base + self._ahead + self._wall_shift

    def monotonic(self) -> float:
        """Seconds since some moment; never runs backwards, whatever the wall clock does."""
        base = time.monotonic() if self._frozen is None else 0.0
        return base + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass; from any thread."""
        if seconds < 0:
            msg = "time does not run backwards: jump() sets the wall clock back"
            raise ValueError(msg)
        self._ahead += seconds
        self._wake()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forwards or back, as somebody who corrects it does."""
        self._wall_shift += seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until so much time has passed on this clock."""
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            loop = asyncio.get_running_loop()
            woken = loop.create_future()
            self._sleepers[woken] = loop
            try:
                with anyio.move_on_after(left if self._frozen is None else None):
                    await woken
            finally:
                del self._sleepers[woken]

    def http_date(self, ahead: float = 0.0) -> str:
        """Return the time, or one some seconds ahead, as HTTP headers have it."""
        return formatdate(self.time() + ahead, usegmt=True)

    def _wake(self) -> None:
        for woken, loop in list(self._sleepers.items()):
            loop.call_soon_threadsafe(_finish, woken)


def _finish(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
