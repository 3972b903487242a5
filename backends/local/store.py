"""Folders on this machine, and NFS, which is a path.

Nothing is ever visible half: bytes go into a temporary file beside the target,
in parts at their offsets, and a rename makes them an object. What has arrived is
written down in a small file beside the temporary one, so that another process
can go on. Order for durability: file, rename, folder (as restic's local backend).
"""

from __future__ import annotations

import os
import stat
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from backends.local.batches import LocalBatches
from backends.local.folder import LocalFolder, info_of, version_of
from backends.local.leftovers import LocalLeftovers
from backends.local.parts import LARGEST, LocalParts
from backends.local.trips import act_on
from backends.local.walk import Walks
from transfer.errors import (
    LocalError,
    NotFoundError,
    SourceChangedError,
)
from transfer.files import FileSource, local_errors
from transfer.model import (
    Expected,
    Intent,
    ObjectInfo,
    Page,
    Part,
    Span,
    Traits,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.store import Context, OpenObject, Source, Store
    from transfer.tally import Tally

T = TypeVar("T")

_TRAITS = Traits(max_put=LARGEST, local=True)


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open the folder of a `file:` URL; it need not exist yet."""
    yield LocalStore(
        Path(root.removeprefix("file://")),
        durable=context.settings.durability != "none",
        together=context.settings.durability == "batch",
        confined=context.confined,
    )


class LocalStore(LocalFolder):
    """Files below a folder.

    `durable` reports success only after fsync; `together` does that for many
    small files at once. `confined` refuses keys that are not canonical and every
    path that a symbolic link is part of.
    """

    signer = None

    def __init__(
        self, root: Path, *, durable: bool = True, together: bool = True, confined: bool = False
    ) -> None:
        super().__init__(root, durable=durable, confined=confined)
        self._walks = Walks()
        self.leftovers = LocalLeftovers(root)
        self.parts = LocalParts(self)
        alone = LocalFolder(root, durable=durable, confined=confined)
        self.batches = LocalBatches(alone, together=together)

    @property
    def traits(self) -> Traits:
        """No limits worth the name."""
        return _TRAITS

    async def stat(self, key: str) -> ObjectInfo:
        """Look at a file; a folder is no object."""
        return await act_on(self, key, "look at", partial(_stat, key=key))

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List files below a folder, links followed unless confined."""
        folder = await self._path(prefix.removesuffix("/")) if prefix else self.root
        with local_errors("list", str(folder)):
            if folders:
                return await anyio.to_thread.run_sync(
                    partial(self._walks.children, folder, prefix, links=not self.confined)
                )
            return await anyio.to_thread.run_sync(
                partial(self._walks.page, folder, prefix, token, links=not self.confined)
            )

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open a regular file for reading; SourceChangedError if it is not what `info` says."""
        fd, path = await act_on(self, key, "read", _open_regular)
        try:
            found = info_of(key, os.fstat(fd))
            if info is not None and info.version and found.version != info.version:
                raise SourceChangedError(
                    f"{path} was changed since it was looked at",
                    hint="transfer it again when nothing writes to it",
                )
            yield OpenFile(fd, path, found)
        finally:
            os.close(fd)

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Write a file under a temporary name, then rename it."""
        upload = await self.parts.create(key, intent)
        try:
            part = Part(1, Span(0, source.size))
            receipt = await self.parts.send(upload, part, source, tally)
            expected = Expected(intent.size, intent.checksum, intent.no_clobber)
            return await self.parts.complete(upload, [receipt], expected)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.parts.abort(upload)
            raise

    async def delete(self, key: str) -> None:
        """Remove a file; folders stay."""
        await act_on(self, key, "delete", _delete)

    async def _path(self, key: str) -> Path:
        return await anyio.to_thread.run_sync(self.path_of, key)


class OpenFile:
    """A file opened for reading; it is watched by size, time and identity."""

    def __init__(self, fd: int, path: Path, info: ObjectInfo) -> None:
        self._fd = fd
        self._path = path
        self.info = info

    def source(self, span: Span) -> Source:
        """Return a range of the file."""
        return FileSource(self._fd, span, self._check)

    def _check(self) -> None:
        """Raise SourceChangedError if the file was written to, replaced or removed."""
        found = os.fstat(self._fd)
        try:
            same = self._path.stat().st_ino == found.st_ino
        except OSError:
            same = False
        if not same or version_of(found) != self.info.version:
            raise SourceChangedError(
                f"{self._path} was changed while it was read",
                hint="transfer it again when nothing writes to it",
            )


def _open_regular(path: Path) -> tuple[int, Path]:
    # Without O_NONBLOCK, opening a pipe waits for somebody to write to it.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            if path.is_symlink() and path.resolve() in path.absolute().parents:
                raise LocalError(f"{path} is a link to a folder that it lies in: it has no end")
            with os.scandir(path):
                raise LocalError(f"{path} is a folder", hint="name a file")
        raise _left_alone(path)
    return fd, path


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        return  # a folder is no object
    path.unlink(missing_ok=True)


def _stat(path: Path, key: str) -> ObjectInfo:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise NotFoundError(f"{path} is not a regular file")
    if not stat.S_ISREG(found.st_mode):
        raise _left_alone(path)
    return info_of(key, found)


def _left_alone(path: Path) -> LocalError:
    return LocalError(f"{path} is not a regular file: it is left alone")


if TYPE_CHECKING:
    _store: Store = LocalStore(Path())
