"""A folder, as the store and its facets know it: which file a key is, and what tells it apart."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from backends.partial_file import is_ours, mode_of
from transfer.errors import BadKeyError, LocalError
from transfer.files import local_errors
from transfer.keys import check_key
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    import os


class LocalFolder:
    """A folder.

    `confined` refuses keys that are not canonical and every path that a symbolic
    link is part of.
    """

    def __init__(self, root: Path, *, durable: bool, confined: bool) -> None:
        self.root = root
        self.durable = durable
        self.confined = confined
        self._root_text = f"{root}".rstrip("/") + "/"

    @property
    def url(self) -> str:
        """The folder."""
        return self.root.as_uri()

    def path_of(self, key: str) -> Path:
        """Return the file of a key; BadKeyError if the key may not be used."""
        return Path(self.file_of(key))

    def file_of(self, key: str) -> str:
        """Do as `path_of` does, at less cost."""
        if self.confined:
            check_key(key)
            with local_errors("look at", key):
                self._refuse_links(key)
        if "\0" in key:
            raise BadKeyError(f"{key!r} has a NUL byte")
        if is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r}: names like this are reserved for unfinished transfers")
        return f"{self._root_text}{key}"

    def target_of(self, key: str) -> Path:
        """Return the file that is written for a key.

        A link there is replaced, not what it leads to, unless that is no file, or what a
        process has open: /dev/stdout. Raises LocalError for these: they would be gone.
        """
        path = self.path_of(key)
        mode = mode_of(path)
        if mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise LocalError(f"{path} is not a regular file: it is not replaced")
        if mode is not None and path.is_symlink() and str(path.readlink()).startswith("/proc/"):
            raise LocalError(f"{path} is what a process has open: it is not replaced")
        return path

    def _refuse_links(self, key: str) -> None:
        path = self.root
        for segment in key.split("/"):
            path = path / segment
            if path.is_symlink():
                raise BadKeyError(f"{key!r} leads through a symbolic link")


def info_of(key: str, found: os.stat_result) -> ObjectInfo:
    """Return what a look at a file says."""
    return ObjectInfo(key, found.st_size, version_of(found), found.st_mtime)


def version_of(found: os.stat_result) -> str:
    """Return what tells a file from another one, or from itself when it was changed."""
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
