"""The stores of an engine: each root is opened once, and closed with the engine."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import anyio

from transfer.registry import open_root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.locations import Location
    from transfer.settings import Settings
    from transfer.store import Context, Mover, Store


class Stores:
    """Opens stores as they are needed; `add` puts one in that the registry does not know."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stack = AsyncExitStack()
        self._open: dict[str, Store] = {}
        self._lock = anyio.Lock()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._open.clear()
        await self._stack.__aexit__(*error)  # type: ignore[arg-type]

    @property
    def settings(self) -> Settings:
        """What they are opened with."""
        return self._context.settings

    @property
    def mover(self) -> Mover:
        """What moves their bytes."""
        return self._context.mover

    def opened(self, location: Location) -> Store | None:
        """Return the store that a location is in, if it is open."""
        return self._open.get(location.root)

    @asynccontextmanager
    async def reached_by(self, settings: Settings) -> AsyncIterator[Stores]:
        """Give the stores as they are with other settings; these, if the settings are the same."""
        if settings == self.settings:
            yield self
            return
        async with Stores(replace(self._context, settings=settings)) as others:
            yield others

    def add(self, root: str, store: Store) -> None:
        """Use a store under a root."""
        self._open[root] = store

    async def get(self, location: Location) -> Store:
        """Return the store that a location is in."""
        if location.root not in self._open:
            async with self._lock:
                if location.root not in self._open:
                    opened = open_root(location, self._context)
                    self._open[location.root] = await self._stack.enter_async_context(opened)
        return self._open[location.root]
