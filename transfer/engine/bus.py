"""Events for whoever listens: published without waiting, read at the reader's pace."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import anyio

from transfer.events import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from transfer.events import Event


class Subscription:
    """An endless async iterator of events, from when it was made until the bus closes.

    Of several unread `Progress` in a row only the newest is kept: a slow reader
    costs memory by files, not by time.
    """

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bell = anyio.Event()
        self._closed = False

    def put(self, event: Event) -> None:
        """Queue an event."""
        if isinstance(event, Progress) and self._events and isinstance(self._events[-1], Progress):
            self._events.pop()
        self._events.append(event)
        self._bell.set()

    def waiting(self) -> list[Event]:
        """Take all events that are there, without waiting for any."""
        events = list(self._events)
        self._events.clear()
        return events

    def close(self) -> None:
        """End the iteration once everything queued was read."""
        self._closed = True
        self._bell.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            self._bell = anyio.Event()
            await self._bell.wait()
        return self._events.popleft()


class EventBus:
    """Hands every event to every listener."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[Event], None]] = []

    def publish(self, event: Event) -> None:
        """Tell all listeners; what a callback raises ends the run, as it should."""
        for callback in tuple(self._callbacks):
            callback(event)

    @contextmanager
    def calling(self, callback: Callable[[Event], None] | None) -> Generator[None]:
        """Call back for every event while the block runs; None is nobody."""
        if callback is None:
            yield
            return
        self._callbacks.append(callback)
        try:
            yield
        finally:
            self._callbacks.remove(callback)

    @contextmanager
    def subscribe(self) -> Generator[Subscription]:
        """Give a stream of events; it ends with the block."""
        subscription = Subscription()
        with self.calling(subscription.put):
            try:
                yield subscription
            finally:
                subscription.close()
