"""HDFS: files by hdfs-native, which speaks Hadoop's own protocols.

Nothing is ever visible half: a file is written under a temporary name beside
its place and renamed, which HDFS does at once. It goes in a single stream. HDFS
could join files that came as parts (CONCAT), but the library does not offer it,
and the web interface that does is at an address that no `hdfs:` URL tells.

The library's own coroutines run outside its runtime and panic when a connection
fails, so its blocking calls are made in threads, each watched for progress.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import asynccontextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread
from hdfs_native import Client, WriteOptions

from backends.hdfs.errors import error_of
from backends.remote_file import RemoteFile
from backends.remote_walk import Entry, Leftovers, RemoteWalks
from transfer.errors import (
    BadKeyError,
    DamagedInTransitError,
    ExistsError,
    NotFoundError,
    RejectedError,
    SourceChangedError,
    StalledError,
    TemporaryError,
    TransferError,
)
from transfer.files import local_errors, write_fully
from transfer.model import ObjectInfo, Page, Span, Traits
from transfer.mover.crew import Crew
from transfer.redaction import redact
from transfer.sizes import MIB, TIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from hdfs_native import FileStatus, FileWriter
    from typing_extensions import Buffer

    from transfer.model import Intent
    from transfer.settings import Settings
    from transfer.store import Context, Extent, OpenObject, Sink, Source, Store
    from transfer.tally import Tally

T = TypeVar("T")

_TRAITS = Traits(max_put=8 * 1024 * 1024 * TIB - 1, buffer=2 * MIB)
# Collected before one write to a file, or one hand-over.
_GATHER = MIB
# How long the removal of what is not wanted any more may take, in seconds.
_TO_CLEAN_UP = 2.0
# Of two NameNodes one is on stand-by: so often the other is tried. Beyond that
# the engine decides; the library alone would go on for three minutes.
_CONFIG = {
    "dfs.client.failover.max.attempts": "2",
    "dfs.client.failover.sleep.base.millis": "100",
    "dfs.client.failover.sleep.max.millis": "1000",
}


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `hdfs://HOST:PORT`, or `hdfs:` for the file system of Hadoop's configuration."""
    settings = context.settings
    crew = Crew()
    calls = _Calls(crew, settings.stall_timeout)
    try:
        client = await calls.run(f"open {redact(root)}", partial(_connect, root, settings))
        yield HdfsStore(redact(root), client, calls)
    finally:
        crew.close()


def _connect(root: str, settings: Settings) -> Client:
    user = settings.kerberos_user or ""
    # The library takes these from the environment only.
    if user:
        os.environ["HADOOP_USER_NAME"] = user.partition("@")[0].partition("/")[0]  # noqa: TID251
    if settings.kerberos_ticket_cache:
        os.environ["KRB5CCNAME"] = settings.kerberos_ticket_cache  # noqa: TID251
    address = root if "//" in root else None
    return Client(address, _CONFIG, kerberos_principal=user if "@" in user else None)


class HdfsStore:
    """The files of one HDFS; make it with `open_store`."""

    parts = None
    signer = None

    def __init__(self, url: str, client: Client, calls: _Calls) -> None:
        self.url = url
        self.traits = _TRAITS
        self._client = client
        self._calls = calls
        self._walks = RemoteWalks(self._entries)
        self.leftovers = Leftovers(self._entries, self._remove)

    async def stat(self, key: str) -> ObjectInfo:
        """Look at a file; a folder is no object."""
        return _info(key, await self._look(key), self._shown(key))

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List files, folder by folder."""
        return await self._walks.scan(prefix, token, folders=folders)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open a file; it is watched by size and time."""
        found = await self.stat(key)
        if info is not None and info.version and found.version != info.version:
            raise SourceChangedError(f"{self._shown(key)} was replaced since it was listed")
        yield RemoteFile(found, self.read)

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Write a file under a temporary name, then rename it."""
        await self._check_target(key, no_clobber=intent.no_clobber)
        folder = key[: key.rfind("/") + 1]
        temporary = f"{folder}.transfer-{secrets.token_hex(16)}.partial"
        try:
            await self._write(temporary, key, source, tally)
            arrived = await self._look(temporary)
            if arrived.length != source.size:
                raise DamagedInTransitError(
                    f"{self._shown(key)}: {source.size} bytes were sent, HDFS has {arrived.length}"
                )
            await self._publish(temporary, key, arrived, no_clobber=intent.no_clobber)
        except BaseException as error:
            if not await self._discard(temporary) and isinstance(error, TransferError):
                error.add_hint(f"{self._shown(temporary)} may be left of it")
            raise
        return _info(key, arrived, self._shown(key))

    async def delete(self, key: str) -> None:
        """Remove a file; a folder is none."""
        with suppress(NotFoundError):
            await self.stat(key)
            await self._run("delete", key, partial(self._client.delete, _path(key)))

    async def read(self, info: ObjectInfo, span: Span, sink: Sink, tally: Tally) -> None:
        """Pour a range of a file; SourceChangedError if it is not what it was."""
        key = info.key
        reader = await self._run("read", key, partial(self._client.read, _path(key)))
        if len(reader) != info.size:
            raise self._changed(key)
        # To ask for bytes behind the end would be a panic of the library.
        pieces_of = reader.read_range_stream(span.start, span.size)
        offset = 0
        while offset < span.size:
            pieces = await self._run("read", key, partial(_gather, pieces_of))
            size = sum(map(len, pieces))
            if not size or offset + size > span.size:
                raise DamagedInTransitError(f"{self._shown(key)}: not the bytes asked for")
            if offset + size == span.size:
                await self._check_unchanged(info)
            await _deliver(pieces, offset, sink, tally)
            offset += size

    async def _write(self, temporary: str, key: str, source: Source, tally: Tally) -> None:
        options = WriteOptions(overwrite=True, create_parent=True)
        create = partial(self._client.create, _path(temporary), options)
        writer = await self._run("write", key, create)
        finish = writer.close
        # A file that is dropped closes itself, wherever that happens to be: on the event loop,
        # which would then wait for a server that hangs.
        writer.close = _leave_open  # type: ignore[method-assign]
        await source.pour(_FileSink(self, key, writer), tally)
        await self._run("write", key, finish)

    async def _check_target(self, key: str, *, no_clobber: bool) -> None:
        """Renaming onto a folder would be an error, but one that says little."""
        with suppress(NotFoundError):
            if (await self._look(key)).isdir:
                raise RejectedError(
                    f"cannot write {self._shown(key)}: it is a folder", hint="name a file in it"
                )
            if no_clobber:
                raise ExistsError(f"{self._shown(key)} exists")

    async def _publish(
        self, temporary: str, key: str, arrived: FileStatus, *, no_clobber: bool
    ) -> None:
        rename = partial(
            self._client.rename, _path(temporary), _path(key), overwrite=not no_clobber
        )
        try:
            await self._run("write", key, rename)
        except (TemporaryError, NotFoundError) as error:
            # It may have been done, and only the answer lost: the file then keeps its time.
            try:
                found = await self._look(key)
            except NotFoundError:
                raise error from None
            if _version(found) != _version(arrived):
                raise

    async def _discard(self, temporary: str) -> bool:
        """Remove a temporary file; tell whether that was done."""
        remove = partial(self._client.delete, _path(temporary))
        with anyio.move_on_after(_TO_CLEAN_UP, shield=True), suppress(TransferError):
            await self._run("clean up", temporary, remove)
            return True
        return False

    async def _remove(self, key: str) -> None:
        await self._run("delete", key, partial(self._client.delete, _path(key)))

    async def _check_unchanged(self, info: ObjectInfo) -> None:
        try:
            same = _version(await self._look(info.key)) == info.version
        except NotFoundError:
            same = False
        if not same:
            raise self._changed(info.key)

    async def _entries(self, folder: str) -> list[Entry]:
        path = f"/{folder}".rstrip("/") or "/"
        try:
            found = await self._run("list", folder, lambda: list(self._client.list_status(path)))
        except NotFoundError:
            return []
        inside = [(item, item.path.rpartition("/")[2]) for item in found if item.path != path]
        folders = [Entry(name) for item, name in inside if item.isdir]
        files = [
            Entry(name, _info(folder + name, item, self._shown(folder + name)))
            for item, name in inside
            if not item.isdir
        ]
        return folders + files

    async def _look(self, key: str) -> FileStatus:
        return await self._run("look at", key, partial(self._client.get_file_info, _path(key)))

    async def _run(self, verb: str, key: str, call: Callable[[], T]) -> T:
        return await self._calls.run(f"{verb} {self._shown(key)}", call)

    async def run_write(self, key: str, call: Callable[[], T]) -> T:
        """Make a call that writes to a file."""
        return await self._run("write", key, call)

    def _changed(self, key: str) -> SourceChangedError:
        return SourceChangedError(
            f"{self._shown(key)} was replaced while it was read",
            hint="transfer it again to get the new version",
        )

    def _shown(self, key: str) -> str:
        return f"{self.url}/{key}"


class _Calls:
    """Blocking calls of the library, given up when they make no progress.

    They cannot be interrupted, so nobody waits for their threads, not even at exit.
    """

    def __init__(self, crew: Crew, patience: float) -> None:
        self._crew = crew
        self._patience = patience

    async def run(self, what: str, call: Callable[[], T]) -> T:
        try:
            with anyio.fail_after(self._patience):
                future = self._crew.submit(partial(_translated, what, call))
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise StalledError(f"{what}: no byte moved for {self._patience:.0f} s") from None


def _leave_open() -> None:
    """Do nothing."""


class _FileSink:
    """A file that is being written, from its start to its end."""

    extent = None

    def __init__(self, store: HdfsStore, key: str, writer: FileWriter) -> None:
        self._store = store
        self._key = key
        self._writer = writer

    async def write(self, offset: int, data: Buffer) -> None:
        del offset  # a stream has no holes and no way back
        await self._store.run_write(self._key, partial(self._writer.write, data))


def _translated(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except BaseException as error:
        # A panic of the library comes as what Python has for exits.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise error_of(what, error) from None
        raise


def _gather(pieces_of: Iterator[bytes]) -> list[bytes]:
    """Return the next pieces, enough of them to be worth a write."""
    pieces: list[bytes] = []
    size = 0
    for piece in pieces_of:
        pieces.append(piece)
        size += len(piece)
        if size >= _GATHER:
            break
    return pieces


async def _deliver(pieces: list[bytes], offset: int, sink: Sink, tally: Tally) -> None:
    if sink.extent is not None:
        await anyio.to_thread.run_sync(_write, pieces, offset, sink.extent, tally)
        return
    for piece in pieces:
        tally.update(piece)
        await sink.write(offset, piece)
        offset += len(piece)


def _write(pieces: list[bytes], offset: int, extent: Extent, tally: Tally) -> None:
    with local_errors("write", "the file"), extent.lock or nullcontext():
        write_fully(extent.fd, pieces, extent.span.start + offset)
    for piece in pieces:
        tally.update(piece)


def _path(key: str) -> str:
    if any(name in {"", ".", ".."} for name in key.split("/")):
        raise BadKeyError(f'{ascii(key)[:90]} has an empty, "." or ".." segment')
    return f"/{key}"


def _info(key: str, found: FileStatus, where: str) -> ObjectInfo:
    if found.isdir:
        raise NotFoundError(f"{where} is a folder")
    return ObjectInfo(key, found.length, _version(found), found.modification_time / 1000)


def _version(found: FileStatus) -> str:
    return f"{found.modification_time:x}-{found.length:x}"


if TYPE_CHECKING:

    def _conforms(store: HdfsStore) -> Store:
        return store
