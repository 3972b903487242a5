"""The guard itself: without a control, a guard that never fires looks like success."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockingError

from backends.local.store import LocalStore
from transfer.locations import Style, parse

if TYPE_CHECKING:
    from pathlib import Path


async def test_blocking_call_in_our_code_fails_an_async_test(tmp_path: Path):
    store = LocalStore(tmp_path, confined=True)
    with pytest.raises(BlockingError):
        store.path_of("key")  # looks for symbolic links


async def test_blocking_call_of_the_test_itself_is_not_meant(tmp_path: Path):
    assert tmp_path.exists()  # noqa: ASYNC240


async def test_reading_a_path_is_allowed_on_the_loop():
    assert parse("file.bin", lambda _: Style.PATH).key.endswith("file.bin")


def test_sync_tests_may_block(tmp_path: Path):
    LocalStore(tmp_path, confined=True).path_of("key")
    assert os.stat(tmp_path)  # noqa: PTH116


def test_played_time_runs_tasks_in_the_order_of_their_clocks(played_time: type):
    time = played_time()
    seen = []

    async def task(name: str, pause: float) -> str:
        for _ in range(2):
            await time.sleep(pause)
            seen.append((name, time.clock()))
        return name

    assert time.run(task("slow", 3), task("fast", 2)) == ["slow", "fast"]
    assert seen == [("fast", 2), ("slow", 3), ("fast", 4), ("slow", 6)]


def test_played_time_fails_a_task_that_never_ends(played_time: type):
    time = played_time()

    async def forever() -> None:
        while True:
            await time.sleep(1)

    with pytest.raises(pytest.fail.Exception, match="1 tasks are not done"):
        time.run(forever(), limit=10)
