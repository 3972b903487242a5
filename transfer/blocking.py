"""The engine for code without an event loop of its own.

Each call runs on a loop in a thread of its own: so it works in notebooks, in
the middle of a running loop, and in a process that was forked. Ctrl-C cancels
the transfer, waits for its clean-up and is raised then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from anyio.from_thread import start_blocking_portal

from transfer.engine import Engine, Options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from transfer.engine import Place, Report
    from transfer.events import Event
    from transfer.settings import Settings

T = TypeVar("T")


def push(
    sources: Place | Sequence[Place],
    target: str,
    *,
    settings: Settings | None = None,
    options: Options | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """Copy files or trees to a store and wait; see `Engine.push`.

    `on_event` is called in another thread.
    """

    async def work() -> Report:
        async with Engine(settings) as engine:
            return await engine.push(sources, target, options=options, on_event=on_event)

    return _run(work)


def pull(
    sources: str | Sequence[str],
    target: Place,
    *,
    settings: Settings | None = None,
    options: Options | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """Copy objects or trees to this machine and wait; see `Engine.pull`.

    `on_event` is called in another thread.
    """

    async def work() -> Report:
        async with Engine(settings) as engine:
            return await engine.pull(sources, target, options=options, on_event=on_event)

    return _run(work)


def copy(
    sources: Place | Sequence[Place],
    target: Place,
    *,
    settings: Settings | None = None,
    options: Options | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """Copy from anywhere to anywhere and wait; see `Engine.copy`.

    `on_event` is called in another thread.
    """

    async def work() -> Report:
        async with Engine(settings) as engine:
            return await engine.copy(sources, target, options=options, on_event=on_event)

    return _run(work)


def _run(work: Callable[[], Awaitable[T]]) -> T:
    with start_blocking_portal() as portal:
        future = portal.start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
