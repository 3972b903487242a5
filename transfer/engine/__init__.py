"""The engine: `async with Engine() as engine: await engine.push(...)`."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self, TypeAlias

import anyio.to_thread

from transfer.engine.bus import EventBus
from transfer.engine.expand import Filter, check_expected, check_pull_target, check_target
from transfer.engine.report import Failure, Options, Report, SomeFailedError
from transfer.engine.run import Run
from transfer.engine.stores import Stores
from transfer.engine.sweeping import Swept, sweep
from transfer.engine.upkeep import Collected, Left, collect, find, give_up, left_uploads
from transfer.errors import only_error
from transfer.events import Notice
from transfer.journal import Journal
from transfer.mover.threads import open_mover
from transfer.registry import locate
from transfer.settings import Settings
from transfer.store import Context
from transfer.workers.fleet import Fleet

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from transfer.engine.bus import Subscription
    from transfer.events import Event
    from transfer.journal import Record
    from transfer.locations import Location

    Place: TypeAlias = str | os.PathLike[str]

__all__ = ["Engine", "Failure", "Filter", "Options", "Report", "SomeFailedError"]


class Engine:
    """Moves files between disks and stores, many at once, in parts.

    An async context manager: it keeps connections and opened stores until it is
    left. `settings` default to the environment's. One engine may run several
    transfers at once, from several tasks of one event loop.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        self._bus = EventBus()
        self._fleet = Fleet.from_settings(self.settings, self._notify)
        self._stack = AsyncExitStack()
        self._stores: Stores | None = None

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        mover = await self._stack.enter_async_context(open_mover(self.settings))
        self._stack.push_async_callback(self._fleet.close)
        stores = Stores(Context(self.settings, mover, notify=self._notify))
        self._stores = await self._stack.enter_async_context(stores)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stores = None
        await self._stack.__aexit__(*error)  # type: ignore[arg-type]

    @property
    def _opened(self) -> Stores:
        if self._stores is None:
            msg = "an Engine is used inside `async with`"
            raise RuntimeError(msg)
        return self._stores

    def _notify(self, message: str) -> None:
        self._bus.publish(Notice(message))

    async def push(
        self,
        sources: Place | Sequence[Place],
        target: str,
        *,
        options: Options | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Report:
        """Copy files or trees to a store, as `transfer push` does.

        Raises the TransferError of a single file, or SomeFailedError (with the
        report) where several were to be moved.
        """
        return await self.copy(sources, target, options=options, on_event=on_event)

    async def pull(
        self,
        sources: str | Sequence[str],
        target: Place,
        *,
        options: Options | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Report:
        """Copy objects or trees to this machine, as `transfer pull` does; raises as `push`."""
        check_pull_target(locate(str(target)))
        return await self.copy(sources, target, options=options, on_event=on_event)

    async def copy(
        self,
        sources: Place | Sequence[Place],
        target: Place,
        *,
        options: Options | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Report:
        """Copy from anywhere to anywhere; raises as `push`."""
        report = await self.run(sources, target, options=options, on_event=on_event)
        report.raise_failure()
        return report

    async def run(
        self,
        sources: Place | Sequence[Place],
        target: Place,
        *,
        options: Options | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Report:
        """Copy, and leave failures of single files in the report.

        Raises UsageError where nothing could be attempted.
        """
        froms, to = _located(sources), locate(_text(target))
        check_target(froms, to)
        options = options or Options()
        if options.expect is not None:
            check_expected(froms, to)
        run = Run(self._opened, self.settings, options, self._bus.publish, self._fleet)
        with self._bus.calling(on_event):
            try:
                return await run.execute(froms, to)
            except ExceptionGroup as group:
                error = only_error(group)
                raise error from error.__cause__

    async def unfinished(self) -> list[Left]:
        """List what former runs have left, and what others are at."""
        journal = Journal.from_settings(self.settings)
        return await anyio.to_thread.run_sync(left_uploads, journal)

    async def give_up(self, record_id: str) -> Record:
        """Abort an unfinished transfer by its id (or the first digits of it).

        Raises NotFoundError, BusyError if its owner is alive, and what the store says.
        """
        journal = Journal.from_settings(self.settings)
        left = await anyio.to_thread.run_sync(find, journal, record_id)
        await give_up(journal, self._opened, left.record)
        return left.record

    async def collect(self, *, older_than: float, dry_run: bool = False) -> Collected:
        """Abort what nobody will finish: aborts that are owed, and what is older, in seconds."""
        journal = Journal.from_settings(self.settings)
        return await collect(journal, self._opened, older_than=older_than, dry_run=dry_run)

    async def sweep(self, url: str, *, older_than: float, dry_run: bool = False) -> Swept:
        """Remove unfinished files below a URL that no transfer has written to for so many seconds.

        Raises UnsupportedError for a store in which nothing unfinished has a name.
        """
        place = locate(url)
        store = await self._opened.get(place)
        prefix = f"{place.key.rstrip('/')}/".lstrip("/")
        return await sweep(store, prefix, older_than=older_than, dry_run=dry_run)

    def events(self) -> AbstractContextManager[Subscription]:
        """Return a stream of all events, for another task of the same loop.

        It goes on after `RunDone`, with the next run, and ends with the `with` block.
        """
        return self._bus.subscribe()


def _located(sources: Place | Sequence[Place]) -> list[Location]:
    if isinstance(sources, str) or hasattr(sources, "__fspath__"):
        return [locate(_text(sources))]
    return [locate(_text(source)) for source in sources]


def _text(place: Place) -> str:
    """A path object loses the slash at its end, which is how paths work."""
    return place if isinstance(place, str) else place.__fspath__()
