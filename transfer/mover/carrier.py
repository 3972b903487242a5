"""The one thread for small things, with the connections that it uses; it knows no event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.errors import StoreError
from transfer.mover.connection import RECEIVED_AT_ONCE
from transfer.mover.driver import Driver
from transfer.mover.pool import Pool
from transfer.mover.small_exchange import Bodies, exchange_in_steps
from transfer.redaction import redact
from transfer.store import Tls

if TYPE_CHECKING:
    from transfer.mover.crew import Crew
    from transfer.mover.driver import Job
    from transfer.mover.trust import Trust
    from transfer.quick import Steps
    from transfer.store import Request, Response
    from transfer.tally import Tally

NO_TLS = Tls()


class Carrier:
    """Does small things by turns; `close` lets its thread end with the last of them."""

    def __init__(self, crew: Crew, trust: Trust, *, connect_timeout: float) -> None:
        self._driver = Driver(crew)
        self._trust = trust
        self._pool = Pool()
        self._room = memoryview(bytearray(RECEIVED_AT_ONCE))
        self._connect_timeout = connect_timeout

    def exchange_in_steps(
        self, request: Request, tally: Tally, *, into: memoryview | None = None
    ) -> Steps[Response]:
        """Send a request and take its answer, with others in one thread; see `Exchanges`."""
        tls = request.tls or NO_TLS
        context = self._trust.context_now(tls) if request.url.startswith("https:") else None
        bodies = Bodies(tally, self._room, into)
        try:
            return (
                yield from exchange_in_steps(
                    request,
                    self._pool,
                    tls,
                    context,
                    bodies,
                    connect_timeout=self._connect_timeout,
                    forget=self._driver.forget,
                )
            )
        except StoreError as error:
            error.message = f"{request.method} {redact(request.url)}: {error.message}"
            raise

    def submit(self, steps: Steps[None]) -> Job:
        """Begin something; called from any thread."""
        return self._driver.submit(steps)

    def close(self) -> None:
        """Take nothing more on, and keep no connection."""
        self._driver.close()
        self._pool.close()
