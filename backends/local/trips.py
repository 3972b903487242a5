"""Trips to a thread, where the event loop does not wait for a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from transfer.files import local_errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from backends.local.folder import LocalFolder

T = TypeVar("T")


async def act_on(folder: LocalFolder, key: str, action: str, act: Callable[[Path], T]) -> T:
    """Do something with the file of a key, all of it in one trip.

    What the system refuses is told as "cannot <action> <path>: why".
    """
    return await _acted(folder.path_of, key, action, act)


async def act_on_target(folder: LocalFolder, key: str, action: str, act: Callable[[Path], T]) -> T:
    """Do so with the file that is written for a key, or is going to be."""
    return await _acted(folder.target_of, key, action, act)


async def _acted(find: Callable[[str], Path], key: str, action: str, act: Callable[[Path], T]) -> T:
    def run() -> T:
        path = find(key)
        with local_errors(action, str(path)):
            return act(path)

    return await anyio.to_thread.run_sync(run)
