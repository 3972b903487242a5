"""The number of connections follows what the store can bear."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest

from backends.memory import MemoryStore
from tests.support.faulty import FaultyStore
from transfer.engine import Engine
from transfer.errors import ThrottledError
from transfer.settings import Settings

PART = 16 * 1024
SETTINGS = Settings(upload_part_size=PART, durability="none")


class Crowd:
    """Counts parts that are being sent; each takes a moment, and `most` at once are welcome."""

    def __init__(self, most: int = 1000) -> None:
        self.most = most
        self.now = 0
        self.seen: list[int] = []
        self.refused = 0
        memory = MemoryStore(url="memory://bucket")
        self.memory = memory
        self.store = FaultyStore(memory, self.plan)

    async def plan(self, operation, count):
        if operation != "send":
            return
        self.now += 1
        self.seen.append(self.now)
        try:
            await anyio.sleep(0.03)
            if self.now > self.most:
                self.refused += 1
                raise ThrottledError("slow down", retry_after=0.01)
        finally:
            self.now -= 1


@asynccontextmanager
async def engine_with(crowd, **changes):
    async with Engine(replace(SETTINGS, **changes)) as engine:
        assert engine._stores is not None
        engine._stores.add("memory://bucket", crowd.store)
        yield engine


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(os.urandom(600 * PART))
    return path


async def push(crowd, source, **changes):
    async with engine_with(crowd, **changes) as engine:
        report = await engine.push(source, "memory://bucket/a")
    assert crowd.memory.shelf.objects["a"][1] == source.read_bytes()
    return report


async def test_more_connections_are_made_while_that_makes_it_faster(source):
    crowd = Crowd()
    await push(crowd, source)
    assert max(crowd.seen[:8]) == 8
    assert 16 <= max(crowd.seen) <= 64


async def test_a_number_that_was_set_is_kept_to(source):
    crowd = Crowd()
    await push(crowd, source, concurrency=12)
    assert max(crowd.seen) == 12


async def test_memory_bounds_the_connections(source):
    crowd = Crowd()
    await push(crowd, source, max_memory=10 * 1024**2)
    assert max(crowd.seen) <= 10


async def test_a_store_that_throttles_gets_fewer(source):
    crowd = Crowd(most=6)
    report = await push(crowd, source, concurrency=32)
    assert report.retries == crowd.refused
    # What was under way at the time is refused, then there are half as many, and so on.
    assert max(crowd.seen[100:]) <= 16
    assert max(crowd.seen[-100:]) <= 8
