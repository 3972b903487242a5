from __future__ import annotations

import anyio
import pytest

from transfer.engine.bus import EventBus, Subscription
from transfer.events import FileFailed, FileSkipped, Progress

SKIP = FileSkipped("a", "b", 1, "there")
FAIL = FileFailed("a", "b", "x", "y")


def progress(moved: int) -> Progress:
    return Progress(moved, 100, 0, 1, listed=True)


def test_all_listeners_are_told_in_order():
    bus, seen = EventBus(), []
    with bus.calling(seen.append), bus.calling(seen.append):
        bus.publish(SKIP)
        bus.publish(FAIL)
    assert seen == [SKIP, SKIP, FAIL, FAIL]


def test_listening_ends_with_the_block_even_if_it_fails():
    bus, seen = EventBus(), []
    with pytest.raises(OSError, match="out"), bus.calling(seen.append):
        raise OSError("out")
    bus.publish(SKIP)
    assert seen == []


def test_nobody_may_listen():
    bus = EventBus()
    with bus.calling(None):
        bus.publish(SKIP)


def test_what_a_listener_raises_is_raised():
    def listener(event: object) -> None:
        raise OSError("listener")

    bus = EventBus()
    with bus.calling(listener), pytest.raises(OSError, match="listener"):
        bus.publish(SKIP)


def test_listener_may_leave_while_it_is_called():
    bus, seen = EventBus(), []
    first = bus.calling(lambda _: first.__exit__(None, None, None))
    first.__enter__()
    with bus.calling(seen.append):
        bus.publish(SKIP)
    assert seen == [SKIP]


async def test_stream_gives_what_was_published_and_ends_with_the_block():
    bus = EventBus()
    bus.publish(SKIP)  # before anybody asked
    with bus.subscribe() as events:
        bus.publish(SKIP)
        bus.publish(FAIL)
    bus.publish(SKIP)  # after
    assert [event async for event in events] == [SKIP, FAIL]


async def test_reader_waits_for_the_next_event():
    bus, seen = EventBus(), []

    async def read(events: Subscription) -> None:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - one by one, as they come

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            with bus.subscribe() as events:
                group.start_soon(read, events)
                for event in (SKIP, FAIL):
                    await anyio.wait_all_tasks_blocked()
                    bus.publish(event)
                    await anyio.wait_all_tasks_blocked()
                    assert seen[-1] is event
    assert seen == [SKIP, FAIL]


async def test_of_unread_progress_only_the_newest_is_kept():
    bus = EventBus()
    with bus.subscribe() as events:
        for event in (progress(1), progress(2), SKIP, progress(3), progress(4), progress(5)):
            bus.publish(event)
    assert [event async for event in events] == [progress(2), SKIP, progress(5)]


async def test_slow_reader_costs_one_place_for_any_amount_of_progress():
    events = Subscription()
    for moved in range(10_000):
        events.put(progress(moved))
    assert events.waiting() == [progress(9_999)]
    assert events.waiting() == []
