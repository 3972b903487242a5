"""What is tested is a timer of the event loop; its time passes at once."""

from __future__ import annotations

import asyncio
import math

import anyio
import anyio.lowlevel
import pytest

from tests.support.hasty_loop import hasty
from transfer.mover.stall import StallWatch

LONG = 5.0


@hasty
async def test_block_that_stands_still_is_cancelled():
    with anyio.fail_after(LONG):
        with StallWatch(lambda: 0, lambda: 0.02) as watch:
            await anyio.sleep_forever()
    assert watch.stalled


@hasty
async def test_block_that_ends_in_time_is_left_alone():
    with StallWatch(lambda: 0, lambda: LONG) as watch:
        await anyio.lowlevel.checkpoint()
    assert not watch.stalled


@hasty
async def test_block_that_moves_may_take_longer_than_the_limit():
    moved = 0
    with StallWatch(lambda: moved, lambda: 0.06) as watch:
        for _ in range(8):
            await anyio.sleep(0.02)
            moved += 1
    assert (moved, watch.stalled) == (8, False)


@hasty
async def test_block_that_moves_and_then_stands_still_is_cancelled():
    moved = 0
    with anyio.fail_after(LONG):
        with StallWatch(lambda: moved, lambda: 0.05) as watch:
            for _ in range(4):
                await anyio.sleep(0.01)
                moved += 1
            await anyio.sleep_forever()
    assert (moved, watch.stalled) == (4, True)


@hasty
async def test_counter_that_falls_back_has_moved_too():
    """An attempt that starts afresh counts from zero."""
    moved = 100
    with StallWatch(lambda: moved, lambda: 0.06) as watch:
        for _ in range(5):
            await anyio.sleep(0.02)
            moved -= 1
    assert not watch.stalled


@hasty
async def test_limit_may_grow_on_the_way():
    """The body was sent; now the server may think for longer."""
    limit = 0.02
    with StallWatch(lambda: 0, lambda: limit) as watch:
        limit = LONG
        await anyio.sleep(0.06)
    assert not watch.stalled


@hasty
async def test_no_limit_never_rings():
    with StallWatch(lambda: 0, lambda: math.inf) as watch:
        await anyio.sleep(0.03)
    assert not watch.stalled


@hasty
async def test_cancellation_from_outside_is_no_stall():
    with anyio.move_on_after(0.02) as scope:
        with StallWatch(lambda: 0, lambda: LONG) as watch:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not watch.stalled


@hasty
async def test_error_of_the_block_is_raised():
    def moved() -> int:
        return 0

    with pytest.raises(OSError, match="broken"), StallWatch(moved, lambda: LONG) as watch:
        raise OSError("broken")
    assert not watch.stalled


@hasty
async def test_block_that_answers_the_cancellation_with_an_error_raises_that():
    async def block() -> None:
        try:
            await anyio.sleep_forever()
        except asyncio.CancelledError:
            raise OSError("broken") from None

    watch = StallWatch(lambda: 0, lambda: 0.02)
    with pytest.raises(OSError, match="broken"), watch:
        await block()
    assert not watch.stalled


@hasty
async def test_no_limit_is_asked_again_each_second_for_it_may_become_one(
    monkeypatch: pytest.MonkeyPatch,
):
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    monkeypatch.setattr(loop, "call_later", lambda delay, *_: delays.append(delay))
    with StallWatch(lambda: 0, lambda: math.inf):
        pass
    assert delays == [1.0]


@hasty
async def test_nothing_is_looked_at_after_the_block():
    looked = 0

    def moved() -> int:
        nonlocal looked
        looked += 1
        return 0

    with StallWatch(moved, lambda: 0.02):
        pass
    before = looked
    await anyio.sleep(0.05)
    assert looked == before
