"""Listing the folders of a server, in the order of keys, a page at a time.

A folder is read whole, then its sub-folders one after the other: nothing is held
open between pages. The token of a page is its last key; a walk that is not kept
any more is repeated, and leaves out folders that lie wholly before the token.
Files that are not finished are left out, or are all that is listed (`Leftovers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from backends.partial_file import is_ours
from transfer.errors import AccessError, BadKeyError, ProtocolError, StoreError
from transfer.model import ObjectInfo, Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

PAGE = 1000
_KEPT_WALKS = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder; `info` None is a folder.

    `leads_to` is the real path of a folder that is a symbolic link.
    """

    name: str
    info: ObjectInfo | None = None
    leads_to: str | None = None


# Returns what is in the folder with this prefix; nothing for one that is not there.
Entries: TypeAlias = "Callable[[str], Awaitable[Sequence[Entry]]]"


class RemoteWalks:
    """Pages of walks over what `entries` lists."""

    def __init__(self, entries: Entries, *, unfinished: bool = False) -> None:
        self._entries = entries
        self._unfinished = unfinished
        self._kept: dict[tuple[str, str], AsyncIterator[ObjectInfo]] = {}

    async def scan(self, prefix: str, token: str | None, *, folders: bool) -> Page:
        """Return a page as `Store.scan` does."""
        return await self.children(prefix) if folders else await self.page(prefix, token)

    async def page(self, prefix: str, token: str | None) -> Page:
        """Return the next objects below a prefix."""
        walk = self._kept.pop((prefix, token), None) if token is not None else None
        if walk is None:
            walk = self._walk(prefix, token, (f"/{prefix.rstrip('/')}",))
        objects: list[ObjectInfo] = []
        async for info in walk:
            objects.append(info)
            if len(objects) == PAGE:
                self._keep(prefix, info.key, walk)
                return Page(tuple(objects), token=info.key)
        return Page(tuple(objects))

    async def children(self, prefix: str) -> Page:
        """Return what lies directly below a prefix."""
        found = await self._sorted(prefix)
        objects = tuple(entry.info for entry in found if entry.info is not None)
        folders = tuple(f"{prefix}{entry.name}/" for entry in found if entry.info is None)
        return Page(objects, folders)

    def _keep(self, prefix: str, token: str, walk: AsyncIterator[ObjectInfo]) -> None:
        while len(self._kept) >= _KEPT_WALKS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[prefix, token] = walk

    async def _walk(
        self, prefix: str, after: str | None, above: tuple[str, ...]
    ) -> AsyncIterator[ObjectInfo]:
        """`above` are the real paths of the folders on the way down."""
        for entry in await self._sorted(prefix):
            if entry.info is not None:
                if after is None or entry.info.key > after:
                    yield entry.info
                continue
            inner = f"{prefix}{entry.name}/"
            if after is not None and inner < after and not after.startswith(inner):
                continue
            real = entry.leads_to or f"{above[-1].rstrip('/')}/{entry.name}"
            if real in above:
                raise StoreError(f"{inner} is a link to a folder that it lies in: it has no end")
            try:
                async for info in self._walk(inner, after, (*above, real)):
                    yield info
            except AccessError:
                # Opening it says why; the rest can be had.
                yield ObjectInfo(inner.removesuffix("/"), 0)

    async def _sorted(self, prefix: str) -> list[Entry]:
        """Return the entries sorted as their keys will be; ProtocolError for impossible names."""
        found = [entry for entry in await self._entries(prefix) if self._is_wanted(entry)]
        for entry in found:
            if not entry.name or "/" in entry.name or "\0" in entry.name:
                raise ProtocolError(f"the server lists {entry.name[:80]!r} as a name in {prefix!r}")
        return sorted(found, key=lambda entry: entry.name + ("/" if entry.info is None else ""))

    def _is_wanted(self, entry: Entry) -> bool:
        if entry.info is None:
            return entry.name not in {".", ".."}
        return is_ours(entry.name) is self._unfinished


class Leftovers:
    """Files with the names of unfinished transfers in the folders of a server."""

    def __init__(self, entries: Entries, remove: Callable[[str], Awaitable[object]]) -> None:
        self._walks = RemoteWalks(entries, unfinished=True)
        self._remove = remove

    async def scan(self, prefix: str, token: str | None = None) -> Page:
        """Return a page of them."""
        return await self._walks.page(prefix, token)

    async def remove(self, key: str) -> None:
        """Remove one; BadKeyError for what is a file of somebody."""
        if not is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r} is no unfinished file")
        await self._remove(key)
