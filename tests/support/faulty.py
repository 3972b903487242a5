"""A store around a store that fails when told to: for faults no real server makes on demand."""

from __future__ import annotations

from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from transfer.model import ObjectInfo
    from transfer.store import OpenObject, Store

    # Called before an operation with its name and how often it was asked for (from 1).
    Plan: TypeAlias = Callable[[str, int], Awaitable[None]]


class FaultyStore:
    """Asks a plan before each operation; the plan raises, hangs, or lets it pass."""

    signer = None
    leftovers = None

    def __init__(self, inner: Store, plan: Plan) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()
        self._plan = plan
        self.url = inner.url
        self.traits = inner.traits
        self.parts = FaultyParts(self) if inner.parts is not None else None

    async def before(self, operation: str) -> None:
        self.calls[operation] += 1
        await self._plan(operation, self.calls[operation])

    async def stat(self, key):
        await self.before("stat")
        return await self.inner.stat(key)

    async def scan(self, prefix, token=None, *, folders=False):
        await self.before("scan")
        return await self.inner.scan(prefix, token, folders=folders)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        await self.before("open")
        async with self.inner.open(key, info) as opened:
            yield _FaultyObject(opened, self)

    async def put(self, key, source, intent, tally):
        await self.before("put")
        return await self.inner.put(key, source, intent, tally)

    async def delete(self, key):
        await self.before("delete")
        await self.inner.delete(key)


class FaultyParts:
    def __init__(self, store: FaultyStore) -> None:
        self._store = store
        self._inner = store.inner.parts
        self.limits = self._inner.limits
        self.resumable = self._inner.resumable

    async def create(self, key, intent):
        await self._store.before("create")
        return await self._inner.create(key, intent)

    async def send(self, upload, part, source, tally):
        await self._store.before("send")
        return await self._inner.send(upload, part, source, tally)

    async def reopen(self, upload, key, intent):
        await self._store.before("reopen")
        return await self._inner.reopen(upload, key, intent)

    async def sent(self, upload, *, reread=False):
        await self._store.before("sent")
        return await self._inner.sent(upload, reread=reread)

    async def complete(self, upload, receipts, expected):
        await self._store.before("complete")
        return await self._inner.complete(upload, receipts, expected)

    async def abort(self, upload):
        await self._store.before("abort")
        await self._inner.abort(upload)


class _FaultyObject:
    def __init__(self, inner: OpenObject, store: FaultyStore) -> None:
        self._inner = inner
        self._store = store
        self.info = inner.info

    def source(self, span):
        return _FaultySource(self._inner.source(span), self._store)


class _FaultySource:
    extent = None
    origin = None

    def __init__(self, inner, store: FaultyStore) -> None:
        self._inner = inner
        self._store = store
        self.size = inner.size

    async def pour(self, sink, tally):
        await self._store.before("read")
        await self._inner.pour(sink, tally)


def failing(operation: str, error: Exception, *times: int) -> Plan:
    """Fail an operation the given times it is asked for; without times, always."""

    async def plan(asked: str, count: int) -> None:
        if asked == operation and (not times or count in times):
            raise error

    return plan


def hanging(operation: str, reached: anyio.Event) -> Plan:
    """Let an operation wait for ever, and say that it does."""

    async def plan(asked: str, count: int) -> None:
        del count
        if asked == operation:
            reached.set()
            await anyio.sleep_forever()

    return plan
