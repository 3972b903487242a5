"""What is done to its end once it is begun, even if whoever asked for it is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def unbroken(work: Callable[[], Awaitable[T]]) -> T:
    """Return what comes of the work; whoever is cancelled meanwhile waits for its end.

    It has a task of its own: a shield keeps anyio's cancellations out, but a server
    that is stopped cancels the task itself.
    """
    results: list[T] = []
    failures: list[Exception] = []

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            try:
                results.append(await work())
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                failures.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    if failures:
        raise failures[0]
    return results[0]
