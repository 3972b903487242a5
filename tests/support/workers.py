"""Engines that have their small files carried by worker processes from the first one on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from transfer.engine import Engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.settings import Settings

COUNT = 2


@asynccontextmanager
async def engine_with_workers(settings: Settings) -> AsyncIterator[Engine]:
    """Open an engine, and wait until all of its workers are ready."""
    async with Engine(replace(settings, workers=COUNT)) as engine:
        await engine._fleet.begin(())
        with anyio.fail_after(30):
            while sum(worker.ready for worker in engine._fleet._workers) < COUNT:  # noqa: ASYNC110 - nobody waits for that but here
                await anyio.sleep(0.005)
        yield engine
