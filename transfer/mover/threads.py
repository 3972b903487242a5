"""The mover whose exchanges run in threads, on connections of its own.

The event loop waits, watches for progress, and interrupts: a thread that sends
does not stop because somebody no longer waits for it. So a cancelled exchange
has its socket shut down, and its thread waited for, before anything else happens.

What a thread cannot do (bodies that pass through the program, proxies) goes by
aiohttp, which is loaded only then.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio

from transfer.errors import DamagedInTransitError, StalledError, StoreError, TransferError
from transfer.mover.buffers import Buffers
from transfer.mover.carrier import NO_TLS, Carrier
from transfer.mover.crew import Crew
from transfer.mover.exchange import Exchange
from transfer.mover.pool import Pool
from transfer.mover.proxies import Proxies
from transfer.mover.stall import StallWatch
from transfer.mover.trust import Trust
from transfer.redaction import redact
from transfer.tally import Tally

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from transfer.quick import Errand, Quick, Steps
    from transfer.settings import Settings
    from transfer.store import Mover, Request, Response, Sink, Source

T = TypeVar("T")


class _Interruptible(Protocol):
    def interrupt(self) -> None: ...


# How long an interrupted thread may take to notice, in seconds.
_JOIN = 2.0


class ThreadMover:
    """Moves bodies between files and sockets in threads; make it with `open_mover`."""

    def __init__(self, settings: Settings, crew: Crew, pool: Pool) -> None:
        self._settings = settings
        self._crew = crew
        self._pool = pool
        self._buffers = Buffers()
        self._proxies = Proxies.from_settings(settings)
        self._trust = Trust()
        self._carrier = Carrier(crew, self._trust, connect_timeout=settings.connect_timeout)
        self._stack = AsyncExitStack()
        self._other: Mover | None = None
        self._lock = anyio.Lock()

    async def exchange(
        self,
        request: Request,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        tally: Tally | None = None,
    ) -> Response:
        """Send a request and take its answer; see `Mover`."""
        tally = Tally() if tally is None else tally
        by_thread = _in_files(source, sink) and self._proxies.choose(request.url) is None
        if not by_thread:
            other = await self._by_aiohttp()
            return await other.exchange(request, source=source, sink=sink, tally=tally)
        try:
            answer = await self._in_thread(request, source, sink, tally)
        except StoreError as error:
            error.message = f"{request.method} {redact(request.url)}: {error.message}"
            raise
        if source is not None and answer.ok and tally.moved != source.size:
            raise DamagedInTransitError(
                f"{request.method} {redact(request.url)}: the server answered {answer.status}"
                f" after {tally.moved} of {source.size} bytes"
            )
        return answer

    @property
    def quick(self) -> Quick:
        """Exchanges for threads that do many."""
        return self

    def reaches(self, url: str) -> bool:
        """Tell whether a thread can go there by itself; see `Quick`."""
        return self._proxies.choose(url) is None

    def exchange_in_steps(
        self, request: Request, tally: Tally, *, into: memoryview | None = None
    ) -> Steps[Response]:
        """Send a request and take its answer, with others in one thread; see `Quick`."""
        return self._carrier.exchange_in_steps(request, tally, into=into)

    def submit(self, steps: Steps[None]) -> Errand:
        """Have one thread do something, among other things; see `Quick`."""
        return self._carrier.submit(steps)

    async def wait(self, errand: Errand, moved: Callable[[], float]) -> None:
        """Wait for the end of something; see `Quick`."""
        limit = self._settings.stall_timeout
        done = False
        with StallWatch(moved, lambda: limit):
            await _joined(asyncio.wrap_future(errand.future), errand)
            done = True
        if not done:
            raise StalledError(f"no byte moved for {limit:.0f} s")

    async def aclose(self) -> None:
        """Close what was opened on the way."""
        self._carrier.close()
        await self._stack.aclose()

    async def _in_thread(
        self, request: Request, source: Source | None, sink: Sink | None, tally: Tally
    ) -> Response:
        context = await self._context(request)
        exchange = Exchange(
            request, source.extent if source else None, sink.extent if sink else None, tally
        )
        limit = self._settings.stall_timeout

        def patience() -> float:
            """The body moves, or the server thinks; only the latter may have its own time."""
            thinking = source is None or tally.moved >= source.size
            return request.patience if request.patience is not None and thinking else limit

        answer: Response | None = None
        with StallWatch(lambda: tally.moved, patience):
            run = partial(
                exchange.run,
                self._pool,
                self._buffers,
                request.tls or NO_TLS,
                context,
                self._settings.connect_timeout,
            )
            try:
                future = self._crew.submit(run)
            except TransferError:
                exchange.close()
                raise
            answer = await _joined(asyncio.wrap_future(future), exchange)
        if answer is None:
            raise StalledError(f"no byte moved for {patience():.0f} s")
        return answer

    async def _context(self, request: Request) -> ssl.SSLContext | None:
        if not request.url.startswith("https:"):
            return None
        return await self._trust.context(request.tls or NO_TLS)

    async def _by_aiohttp(self) -> Mover:
        async with self._lock:
            if self._other is None:
                from transfer.mover.aio import open_aiohttp_mover  # noqa: PLC0415 - seldom needed

                opened = open_aiohttp_mover(self._settings)
                self._other = await self._stack.enter_async_context(opened)
        return self._other


@asynccontextmanager
async def open_mover(settings: Settings) -> AsyncIterator[Mover]:
    """Open a mover with its connections; how many run at once is the caller's choice."""
    crew, pool = Crew(), Pool()
    mover = ThreadMover(settings, crew, pool)
    try:
        yield mover
    finally:
        with anyio.CancelScope(shield=True):
            await mover.aclose()
        pool.close()
        crew.close()


def _in_files(source: Source | None, sink: Sink | None) -> bool:
    """Whether both bodies are files, bytes at hand, or nothing."""
    return (source is None or source.extent is not None) and (
        sink is None or sink.extent is not None
    )


async def _joined(future: asyncio.Future[T], exchange: _Interruptible) -> T:
    """Wait for a thread; when cancelled, interrupt it and wait until it has noticed."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        exchange.interrupt()
        future.add_done_callback(_seen)  # nobody else will ask what it has raised
        with anyio.CancelScope(shield=True):
            await asyncio.wait([future], timeout=_JOIN)
        raise


def _seen(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()
