"""From what people type to files to move: names, trees, filters.

The rules are those of rsync: `dir` creates `DST/dir/...`, `dir/` moves its
contents; a single file becomes DST itself, unless DST is a folder (it ends with
a slash, is an existing folder on this machine, or takes several sources).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from transfer.errors import NotFoundError, TransferError, UnsupportedError, UsageError
from transfer.keys import relative_path
from transfer.locations import Location, local_path
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from transfer.model import Page
    from transfer.store import Store


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files of a tree to move, by globs on their path in the tree or their name.

    The order does not matter: a file is moved if it matches any `include` (or
    there is none) and no `exclude`.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def accepts(self, path: str) -> bool:
        """Decide about a path relative to the root of the tree."""
        if _matches_any(path, self.exclude):
            return False
        return not self.include or _matches_any(path, self.include)


@dataclass(frozen=True, slots=True)
class Item:
    """One file to move: where from, where to, and what the listing said of it.

    `error` is set instead of `info` where the source could not even be looked at.
    """

    source: Location
    target: Location
    info: ObjectInfo
    error: TransferError | None = None


@dataclass(frozen=True, slots=True)
class Lookup:
    """How to look at a store: both calls retry as the engine does."""

    store: Store
    stat: Callable[[str], Awaitable[ObjectInfo]]
    scan: Callable[[str, str | None], Awaitable[Page]]


async def expand(
    sources: Sequence[Location],
    target: Location,
    open_lookup: Callable[[Location], Awaitable[Lookup]],
    chosen: Filter,
) -> AsyncIterator[Item]:
    """Yield every file to move; a source that does not exist comes as an item with an error."""
    into_folder = len(sources) > 1 or target.is_folder or await _is_local_folder(target)
    taken: set[str] = set()
    async for item in _expand(sources, target, open_lookup, chosen, into_folder=into_folder):
        if len(sources) == 1 or item.error is not None:
            yield item
        elif item.target.key in taken:
            clash = UsageError(f"{item.target} has two sources; this is the second")
            yield Item(item.source, item.target, item.info, clash)
        else:
            taken.add(item.target.key)
            yield item


async def _expand(
    sources: Sequence[Location],
    target: Location,
    open_lookup: Callable[[Location], Awaitable[Lookup]],
    chosen: Filter,
    *,
    into_folder: bool,
) -> AsyncIterator[Item]:
    for source in sources:
        try:
            lookup = await open_lookup(source)
        except TransferError as error:
            yield Item(source, target, ObjectInfo(source.key, 0), error)
            continue
        try:
            info = None if source.is_folder else await lookup.stat(source.key)
        except NotFoundError as error:
            async for item in _tree_or_error(source, target, lookup, chosen, error):
                yield item
            continue
        except TransferError as error:
            yield Item(source, target, ObjectInfo(source.key, 0), error)
            continue
        if info is None:
            async for item in _tree(source, target, lookup, chosen):
                yield item
            continue
        item = _file_item(source, target, info, into_folder=into_folder)
        if item.error is None and await _within(item.target, source) == "":
            item = replace(item, error=UsageError(f"{source} is both source and target"))
        yield item


def check_target(sources: Sequence[Location], target: Location) -> None:
    """Raise UsageError for a target that cannot take these sources."""
    if not sources:
        raise UsageError("nothing to transfer: name a source")
    for source in sources:
        if (source.root, source.key) == (target.root, target.key):
            raise UsageError(f"{source} is both source and target")


def check_pull_target(target: Location) -> None:
    """Raise UsageError for a target that is not on this machine."""
    if target.scheme != "file":
        raise UsageError(
            f"pull writes to a path on this machine, {target} is none",
            hint="use push to copy to a store",
        )


def check_expected(sources: Sequence[Location], target: Location) -> None:
    """Raise UsageError unless one object is to become a file, whose content can be compared."""
    if len(sources) != 1 or sources[0].is_folder:
        raise UsageError("a content can be expected of one object only", hint="name one, no folder")
    if target.scheme != "file":
        raise UsageError("a content can be expected only of what is written to this machine")


async def only_itself(items: AsyncIterator[Item], source: Location) -> AsyncIterator[Item]:
    """Yield the item of a source that is an object, an error in place of all that are in it."""
    async for item in items:
        if item.source != source:
            error = UsageError(f"{source} is a folder: a content can be expected of one object")
            yield Item(source, item.target, item.info, error)
            return
        yield item


async def _tree_or_error(
    source: Location, target: Location, lookup: Lookup, chosen: Filter, error: NotFoundError
) -> AsyncIterator[Item]:
    """A name that is no object may be a folder; then it goes into a folder of that name."""
    folder = source.child("")
    inner = target.child(source.name).child("")
    found = False
    async for item in _tree(folder, inner, lookup, chosen, quiet=True):
        found = True
        yield item
    if not found and not await _is_local_folder(source):
        yield Item(source, target, ObjectInfo(source.key, 0), error)


async def _tree(
    source: Location, target: Location, lookup: Lookup, chosen: Filter, *, quiet: bool = False
) -> AsyncIterator[Item]:
    overlap = _overlap(source, await _within(target, source), chosen)
    token: str | None = None
    found = False
    try:
        while True:
            page = await lookup.scan(source.key, token)
            if page.objects and overlap is not None:
                yield Item(source, target, ObjectInfo(source.key, 0), overlap)
                return
            for info in page.objects:
                found = True
                for item in _tree_item(source, target, info, chosen):
                    yield item
            token = page.token
            if token is None:
                break
    except TransferError as error:
        # A store that cannot list has no folders: then the name is just not there.
        if not (quiet and isinstance(error, UnsupportedError)):
            yield Item(source, target, ObjectInfo(source.key, 0), error)
        return
    if not found and not quiet and not await _is_local_folder(source):
        missing = NotFoundError(f"{source} does not exist, or holds nothing")
        yield Item(source, target, ObjectInfo(source.key, 0), missing)


def _file_item(source: Location, target: Location, info: ObjectInfo, *, into_folder: bool) -> Item:
    if not into_folder:
        return Item(source, target, info)
    return _item(source, target, source.name, info)


def _tree_item(source: Location, target: Location, info: ObjectInfo, chosen: Filter) -> list[Item]:
    path = info.key.removeprefix(source.key)
    if not path or path.endswith("/"):
        return []  # what consoles of object stores show as a folder
    if not chosen.accepts(path):
        return []
    return [_item(Location(source.scheme, source.root, info.key), target, path, info)]


def _item(source: Location, folder: Location, path: str, info: ObjectInfo) -> Item:
    """Place a file at a path below a folder; names from a store must not lead out of it."""
    if folder.scheme == "file":
        try:
            relative_path(path)
        except TransferError as error:
            return Item(source, folder, info, error)
    return Item(source, folder.child(path), info)


def _overlap(source: Location, below: str | None, chosen: Filter) -> UsageError | None:
    """Return what is wrong with a target that lies in its source, and is not excluded from it."""
    if below is None:
        return None
    if not below:
        return UsageError(f"{source} is both source and target")
    folders = below.split("/")
    above = ("/".join(folders[:count]) for count in range(1, len(folders) + 1))
    if any(_matches_any(folder, chosen.exclude) for folder in above):
        return None
    hint = f"name another, or leave it out with --exclude {below!r}"
    return UsageError(f"{source} has the target in it, as {below}", hint=hint)


async def _within(inner: Location, outer: Location) -> str | None:
    """Return how one place lies in another one, "" if it is the same, None if it does not."""
    if inner.scheme == outer.scheme == "file":
        return await anyio.to_thread.run_sync(_real_within, inner, outer)
    if inner.root != outer.root:
        return None
    return _key_within(inner.key, outer.key)


def _real_within(inner: Location, outer: Location) -> str | None:
    """Links may lead to the same."""
    one, other = (os.path.realpath(local_path(place)) for place in (inner, outer))
    return _key_within(one, other)


def _key_within(inner: str, outer: str) -> str | None:
    inner, outer = (key.rstrip("/") for key in (inner, outer))
    if inner == outer:
        return ""
    below = inner.removeprefix(f"{outer}/" if outer else "")
    return below if below != inner or not outer else None


async def _is_local_folder(place: Location) -> bool:
    if place.scheme != "file":
        return False
    return await anyio.to_thread.run_sync(Path(local_path(place)).is_dir)


def _matches_any(path: str, globs: Sequence[str]) -> bool:
    name = path.rpartition("/")[2]
    return any(
        fnmatchcase(path, glob) or fnmatchcase(name, glob) or fnmatchcase(path, f"{glob}/*")
        for glob in globs
    )
