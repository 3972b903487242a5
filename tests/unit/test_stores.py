from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.lowlevel
import pytest

from backends.memory import MemoryStore
from transfer.engine import stores as module
from transfer.engine.stores import Stores
from transfer.errors import MissingExtraError
from transfer.registry import locate
from transfer.settings import Settings
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.locations import Location

CONTEXT = Context(Settings(), cast("Any", None))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Open stores slowly, and write down what was opened and closed."""
    seen: list[str] = []

    @asynccontextmanager
    async def open_root(location: Location, context: Context) -> AsyncIterator[MemoryStore]:
        seen.append(f"open {location.root}")
        await anyio.lowlevel.checkpoint()
        if location.root.endswith("broken"):
            raise MissingExtraError("no library")
        yield MemoryStore(url=location.root)
        seen.append(f"close {location.root}")

    monkeypatch.setattr(module, "open_root", open_root)
    return seen


async def test_root_is_opened_once_however_many_ask_at_once(log: list[str]):
    found = []

    async def get(stores: Stores, key: str) -> None:
        found.append(await stores.get(locate(f"memory://one/{key}")))

    async with Stores(CONTEXT) as stores:
        async with anyio.create_task_group() as group:
            for key in "abc":
                group.start_soon(get, stores, key)
        assert log == ["open memory://one"]
        assert len(set(map(id, found))) == 1
    assert log == ["open memory://one", "close memory://one"]


async def test_each_root_has_its_store_and_all_are_closed(log: list[str]):
    async with Stores(CONTEXT) as stores:
        one, two = [await stores.get(locate(f"memory://{name}/a")) for name in ("one", "two")]
        assert (one.url, two.url) == ("memory://one", "memory://two")
    assert log[2:] == ["close memory://two", "close memory://one"]


async def test_store_that_cannot_be_opened_may_be_asked_for_again(log: list[str]):
    async with Stores(CONTEXT) as stores:
        for _ in range(2):
            with pytest.raises(MissingExtraError):
                await stores.get(locate("memory://broken/a"))
    assert log == ["open memory://broken"] * 2


async def test_store_of_the_caller_is_used(log: list[str]):
    mine = MemoryStore()
    async with Stores(CONTEXT) as stores:
        stores.add("memory://one", mine)
        assert await stores.get(locate("memory://one/a")) is mine
    assert log == []
