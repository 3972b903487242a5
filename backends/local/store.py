"""Folders on this machine, and NFS, which is a path.

Nothing is ever visible half: bytes go into a temporary file beside the target,
in parts at their offsets, and a rename makes them an object. What has arrived is
written down in a small file beside the temporary one, so that another process
can go on. Order for durability: file, rename, folder (as restic's local backend).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from backends.local.batches import LocalBatches, version_of
from backends.local.walk import Walks
from backends.partial_file import PartialFile, etag_of, is_ours
from transfer.errors import (
    BadKeyError,
    LocalError,
    NotFoundError,
    SourceChangedError,
    UnsupportedError,
)
from transfer.files import FileSink, FileSource, local_errors
from transfer.keys import check_key
from transfer.model import (
    Expected,
    Intent,
    ObjectInfo,
    Page,
    Part,
    PartLimits,
    Receipt,
    Span,
    Traits,
    Upload,
)
from transfer.review import review
from transfer.sizes import TIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from transfer.store import Context, OpenObject, Source, Store
    from transfer.tally import Tally

T = TypeVar("T")

_LARGEST = 8 * 1024 * 1024 * TIB - 1
_LIMITS = PartLimits(min_size=1, max_size=_LARGEST, max_count=10**9, max_object=_LARGEST)
_TRAITS = Traits(max_put=_LARGEST, local=True)


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open the folder of a `file:` URL; it need not exist yet."""
    yield LocalStore(
        Path(root.removeprefix("file://")),
        durable=context.settings.durability != "none",
        together=context.settings.durability == "batch",
        confined=context.confined,
    )


class LocalStore:
    """Files below a folder.

    `durable` reports success only after fsync; `together` does that for many
    small files at once. `confined` refuses keys that are not canonical and every
    path that a symbolic link is part of.
    """

    signer = None

    def __init__(
        self, root: Path, *, durable: bool = True, together: bool = True, confined: bool = False
    ) -> None:
        self._root = root
        self._root_text = f"{root}".rstrip("/") + "/"
        self.durable = durable
        self._confined = confined
        self._walks = Walks()
        self.parts = LocalParts(self)
        self.batches = LocalBatches(self, together=together)

    @property
    def url(self) -> str:
        """The folder."""
        return self._root.as_uri()

    @property
    def traits(self) -> Traits:
        """No limits worth the name."""
        return _TRAITS

    def path_of(self, key: str) -> Path:
        """Return the file of a key; BadKeyError if the key may not be used."""
        return Path(self.file_of(key))

    def file_of(self, key: str) -> str:
        """Do as `path_of` does, at less cost."""
        if self._confined:
            check_key(key)
            with local_errors("look at", key):
                self._refuse_links(key)
        if is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r}: names like this are reserved for unfinished transfers")
        return f"{self._root_text}{key}"

    async def stat(self, key: str) -> ObjectInfo:
        """Look at a file; a folder is no object."""
        return await self._run("look at", key, partial(_stat, key=key))

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List files below a folder, links followed unless confined."""
        folder = await self._path(prefix.removesuffix("/")) if prefix else self._root
        with local_errors("list", str(folder)):
            if folders:
                return await anyio.to_thread.run_sync(
                    partial(self._walks.children, folder, prefix, links=not self._confined)
                )
            return await anyio.to_thread.run_sync(
                partial(self._walks.page, folder, prefix, token, links=not self._confined)
            )

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open a regular file for reading."""
        del info
        path = await self._path(key)
        with local_errors("read", str(path)):
            fd = await anyio.to_thread.run_sync(_open_regular, path)
        try:
            yield OpenFile(fd, path, _info(key, os.fstat(fd)))
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
        await self._run("delete", key, _delete)

    async def _path(self, key: str) -> Path:
        return await anyio.to_thread.run_sync(self.path_of, key)

    async def _run(self, action: str, key: str, act: Callable[[Path], T]) -> T:
        path = await self._path(key)
        with local_errors(action, str(path)):
            return await anyio.to_thread.run_sync(act, path)

    def _refuse_links(self, key: str) -> None:
        path = self._root
        for segment in key.split("/"):
            path = path / segment
            if path.is_symlink():
                raise BadKeyError(f"{key!r} leads through a symbolic link")


class LocalParts:
    """Parts written at their offsets into one temporary file."""

    limits = _LIMITS
    resumable = True

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    async def create(self, key: str, intent: Intent) -> Upload:
        """Make the temporary file, with its full length; DiskFullError if it will not fit."""
        if intent.size is None:
            raise UnsupportedError("a part has no offset in a file before the size is known")
        part_size = intent.part_size or max(1, intent.size)
        upload = Upload(key, secrets.token_hex(16), intent.size, part_size)
        file = await self._file(upload)
        with local_errors("write", str(file.path)):
            await anyio.to_thread.run_sync(
                partial(file.create, intent.size, no_clobber=intent.no_clobber)
            )
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Write one part at its offset and note that it is there."""
        file = await self._file(upload)
        with local_errors("write", str(file.path)):
            fd = await anyio.to_thread.run_sync(file.begin, part.number)
            try:
                await source.pour(FileSink(fd, part.span, self._locks[upload.id]), tally)
            finally:
                os.close(fd)
            receipt = Receipt(part.number, tally.moved, etag_of(tally.checksum), tally.checksum)
            await anyio.to_thread.run_sync(file.note, receipt)
        return receipt

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given, if its file is still there."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """Read what was noted, and the parts themselves if asked to."""
        file = await self._file(upload)
        with local_errors("read", str(file.path)):
            part_size = upload.part_size or 1
            return await anyio.to_thread.run_sync(partial(file.receipts, part_size, reread=reread))

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Compare with what was noted, make it durable, rename it."""
        checksum = review(upload, receipts, await self.sent(upload), expected)
        file = await self._file(upload)
        wanted = expected.checksum
        if wanted is not None and (checksum is None or checksum.algorithm is not wanted.algorithm):
            # It does not follow from the parts: the file has to be read once more.
            await anyio.to_thread.run_sync(file.check_content, wanted)
            checksum = wanted
        with local_errors("write", str(file.path)):
            publish = partial(file.publish, expected.size, no_clobber=expected.no_clobber)
            found = await anyio.to_thread.run_sync(publish)
        self._locks.pop(upload.id, None)
        return replace(_info(upload.key, found), checksum=checksum)

    async def abort(self, upload: Upload) -> None:
        """Remove the temporary file and the notes."""
        file = await self._file(upload)
        with local_errors("clean up", str(file.path)):
            await anyio.to_thread.run_sync(file.remove)
        self._locks.pop(upload.id, None)

    async def _file(self, upload: Upload) -> PartialFile:
        path = await anyio.to_thread.run_sync(self._store.path_of, upload.key)
        return PartialFile(path, upload.id, self._store.durable)


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


def _open_regular(path: Path) -> int:
    # Without O_NONBLOCK, opening a pipe waits for somebody to write to it.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        if stat.S_ISDIR(mode):
            with os.scandir(path):
                raise LocalError(f"{path} is a folder", hint="name a file")
        raise LocalError(f"{path} is not a regular file: it is left alone")
    return fd


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        return  # a folder is no object
    path.unlink(missing_ok=True)


def _stat(path: Path, key: str) -> ObjectInfo:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise NotFoundError(f"{path} is not a regular file")
    return _info(key, found)


def _info(key: str, found: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, found.st_size, version_of(found), found.st_mtime)


if TYPE_CHECKING:
    _store: Store = LocalStore(Path())
