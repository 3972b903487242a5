"""What processes that were killed have left in folders of this machine."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from backends.partial_file import is_ours
from transfer.errors import BadKeyError
from transfer.files import local_errors
from transfer.model import ObjectInfo, Page

if TYPE_CHECKING:
    from collections.abc import Iterator


class LocalLeftovers:
    """Unfinished files below a folder; links to other folders are not followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def scan(self, prefix: str, token: str | None = None) -> Page:
        """Return all of them: there are never many."""
        del token
        folder = self._root / prefix
        with local_errors("list", str(folder)):
            found = await anyio.to_thread.run_sync(lambda: tuple(_found(folder, prefix)))
        return Page(found)

    async def remove(self, key: str) -> None:
        """Remove one; BadKeyError for what is a file of somebody."""
        if not is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r} is no unfinished file")
        path = self._root / key
        with local_errors("delete", str(path)):
            await anyio.to_thread.run_sync(partial(path.unlink, missing_ok=True))


def _found(folder: Path, prefix: str) -> Iterator[ObjectInfo]:
    for place, _, names in os.walk(folder):
        for name in filter(is_ours, sorted(names)):
            path = Path(place) / name
            status = path.lstat()
            key = prefix + path.relative_to(folder).as_posix()
            yield ObjectInfo(key, status.st_size, modified=status.st_mtime)
