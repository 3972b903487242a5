"""Listing a folder tree, in the order of keys, a page at a time."""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

from backends.partial_file import is_ours
from transfer.model import ObjectInfo, Page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = 1000
_KEPT_WALKS = 16


class Walks:
    """Pages of a walk; the walk itself is kept, so that a page need not begin anew.

    The token is the last key: a walk that is not kept any more is repeated and
    skips what was listed.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, str, bool], Iterator[ObjectInfo]] = {}

    def page(self, folder: Path, prefix: str, token: str | None, *, links: bool) -> Page:
        """Return the next files below `folder`; their keys begin with `prefix`."""
        walk = self._kept.pop((folder, token, links), None) if token is not None else None
        if walk is None:
            walk = walk_tree(folder, prefix, links=links, after=token)
        objects = tuple(islice(walk, PAGE))
        if len(objects) < PAGE:
            return Page(objects)
        last = objects[-1].key
        while len(self._kept) >= _KEPT_WALKS:
            self._kept.pop(next(iter(self._kept)))
        self._kept[folder, last, links] = walk
        return Page(objects, token=last)

    def children(self, folder: Path, prefix: str, *, links: bool) -> Page:
        """Return what lies directly in `folder`."""
        objects, folders = [], []
        for entry in _entries(folder, links=links):
            if _is_folder(entry, links=links):
                folders.append(f"{prefix}{entry.name}/")
            else:
                objects.append(_info(entry, prefix))
        return Page(tuple(objects), tuple(folders))


def walk_tree(
    folder: Path, prefix: str, *, links: bool, after: str | None = None
) -> Iterator[ObjectInfo]:
    """Yield all files below `folder` in the order of their keys.

    Entries that cannot be read are yielded too, as are links that lead back to a
    folder they lie in: opening them says why.
    """
    yield from _walk(str(folder), prefix, after, _identities(folder), links=links)


def _walk(
    folder: str,
    prefix: str,
    after: str | None,
    above: frozenset[tuple[int, int]],
    *,
    links: bool,
) -> Iterator[ObjectInfo]:
    for entry in _entries(folder, links=links):
        key = prefix + entry.name
        if not _is_folder(entry, links=links):
            if after is None or key > after:
                yield _info(entry, prefix)
            continue
        if after is not None and key + "/" < after and not after.startswith(key + "/"):
            continue
        found = entry.stat()
        identity = (found.st_dev, found.st_ino)
        if identity in above or not os.access(entry.path, os.R_OK | os.X_OK):
            yield ObjectInfo(key, 0)
            continue
        yield from _walk(entry.path, key + "/", after, above | {identity}, links=links)


def _entries(folder: Path | str, *, links: bool) -> list[os.DirEntry[str]]:
    """Return the entries sorted as their keys will be."""
    try:
        with os.scandir(folder) as entries:
            kept = [
                entry
                for entry in entries
                if not is_ours(entry.name) and (links or not entry.is_symlink())
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        kept, key=lambda entry: entry.name + ("/" if _is_folder(entry, links=links) else "")
    )


def _is_folder(entry: os.DirEntry[str], *, links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:
        return False


def _info(entry: os.DirEntry[str], prefix: str) -> ObjectInfo:
    key = prefix + entry.name
    try:
        found = entry.stat()
    except OSError:
        return ObjectInfo(key, 0)
    version = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
    return ObjectInfo(key, found.st_size, version, found.st_mtime)


def _identities(folder: Path) -> frozenset[tuple[int, int]]:
    """Identify the folder and those above it."""
    found = [path.stat() for path in (folder, *folder.resolve().parents) if path.exists()]
    return frozenset((item.st_dev, item.st_ino) for item in found)
