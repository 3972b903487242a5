"""Listing stores that have folders, one folder a page.

The token is the folder that comes next: where it lies follows from its name, so
any process can go on with a listing. The folders met on the way are remembered,
or every page would list those above it again.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, TypeAlias

from transfer.errors import UsageError
from transfer.model import ObjectInfo, Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    # Given a folder ("" or "a/b/"): the files in it, and the folders, as "a/b/c/".
    Listing: TypeAlias = "tuple[list[ObjectInfo], list[str]]"
    ListFolder: TypeAlias = "Callable[[str], Awaitable[Listing]]"

_REMEMBERED = 256


class FolderWalk:
    """Pages of listings, each folder before those in it, by names."""

    def __init__(self, list_folder: ListFolder) -> None:
        self._list_folder = list_folder
        self._inner: dict[str, list[str]] = {}

    async def page(self, prefix: str, token: str | None, *, folders: bool) -> Page:
        """Return the files of one folder; with `folders` the folders too, and nothing after."""
        folder = prefix if token is None else token
        if not folder.startswith(prefix) or (folder and not folder.endswith("/")):
            raise UsageError(f"{folder[:90]!r} is no place in the listing of {prefix!r}")
        objects, inner = await self._listed(folder)
        if folders:
            return Page(tuple(objects), tuple(inner))
        return Page(tuple(objects), token=await self._next(folder, prefix))

    async def _listed(self, folder: str) -> Listing:
        objects, inner = await self._list_folder(folder)
        objects.sort(key=lambda info: info.key)
        inner.sort()
        while len(self._inner) >= _REMEMBERED:
            self._inner.pop(next(iter(self._inner)))
        self._inner[folder] = inner
        return objects, inner

    async def _folders_in(self, folder: str) -> list[str]:
        if folder not in self._inner:
            await self._listed(folder)
        return self._inner[folder]

    async def _next(self, folder: str, prefix: str) -> str | None:
        inner = await self._folders_in(folder)
        if inner:
            return inner[0]
        while folder != prefix:
            parent = folder[: folder.rindex("/", 0, -1) + 1] if "/" in folder[:-1] else ""
            siblings = await self._folders_in(parent)
            place = bisect_right(siblings, folder)
            if place < len(siblings):
                return siblings[place]
            folder = parent
        return None
