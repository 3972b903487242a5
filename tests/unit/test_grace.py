"""Real time, little of it: these are deadlines of the event loop."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from transfer.engine.grace import Grace
from transfer.errors import InterruptedTransferError

LONG = 5.0


async def stopped_while(grace: Grace, seconds: float, *, cleaning_up: bool = False) -> str:
    """Cancel a run while a call of it is under way that takes this long; say how it ended."""
    ended = "not at all"

    async def call() -> None:
        nonlocal ended
        try:
            with grace.finishing(cleaning_up=cleaning_up):
                await anyio.sleep(seconds)
            ended = "finished"
        except InterruptedTransferError:
            ended = "interrupted"

    with anyio.fail_after(LONG):
        async with anyio.create_task_group() as group:
            group.start_soon(grace.watch)
            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
    return ended


async def test_call_that_is_soon_done_is_finished():
    assert await stopped_while(Grace(LONG, LONG), 0.02) == "finished"


async def test_call_that_takes_too_long_is_interrupted():
    assert await stopped_while(Grace(0.02, LONG), LONG * 2) == "interrupted"


async def test_clean_up_has_a_deadline_of_its_own():
    assert await stopped_while(Grace(0.0, LONG), 0.02, cleaning_up=True) == "finished"
    assert await stopped_while(Grace(LONG, 0.02), LONG * 2, cleaning_up=True) == "interrupted"


async def test_nothing_is_cut_as_long_as_nobody_stops_the_run():
    grace = Grace(0.0, 0.0)
    with grace.finishing():
        await anyio.sleep(0.02)


async def test_call_that_begins_after_the_stop_has_what_is_left():
    grace = Grace(0.02, LONG)
    assert await stopped_while(grace, 0.0) == "finished"
    with anyio.fail_after(LONG), pytest.raises(InterruptedTransferError), grace.finishing():
        await anyio.sleep_forever()


async def test_error_of_the_call_is_raised():
    with pytest.raises(OSError, match="broken"), Grace(LONG, LONG).finishing():
        raise OSError("broken")


async def test_last_scope_is_bounded_whether_the_run_was_stopped_or_not():
    for grace in (Grace(LONG, 0.02), Grace(LONG, 0.02)):
        with anyio.fail_after(LONG), grace.last_scope() as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        await stopped_while(grace, 0.0)


async def test_last_scope_is_shielded():
    done = False
    with anyio.CancelScope() as outer:
        outer.cancel()
        with Grace(LONG, LONG).last_scope():
            await anyio.lowlevel.checkpoint()
            done = True
    assert done
