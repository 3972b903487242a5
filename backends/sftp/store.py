"""Files on an SSH server, by SFTP version 3 and OpenSSH's extensions where they are offered.

Nothing is ever visible half: bytes go into a temporary file beside the target,
in parts at their offsets and over several connections; then fsync, and a rename
that replaces at once. A version is size and time of change, which is all that
the protocol tells: it is looked at before and after what is read.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import asyncssh

from backends.authority import authority_of
from backends.remote_file import RemoteFile
from backends.remote_walk import Entry, Leftovers, RemoteWalks
from backends.sftp import partial as sftp_partial
from backends.sftp.attributes import info_of, listed_as, version_of
from backends.sftp.bytes import BUFFER, download
from backends.sftp.errors import sftp_errors
from backends.sftp.folder import SftpFolder
from backends.sftp.partial import Partial
from backends.sftp.parts import SftpParts
from backends.sftp.publication import check_target, keep_permissions
from backends.sftp.sessions import Sessions
from transfer.checksums import differ
from transfer.errors import (
    DamagedInTransitError,
    IntegrityError,
    SourceChangedError,
    StalledError,
)
from transfer.model import ObjectInfo, Page, Traits
from transfer.mover.stall import StallWatch
from transfer.sizes import TIB
from transfer.store import Origin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.authority import Authority
    from backends.sftp.sessions import Session
    from transfer.model import Intent, Span
    from transfer.store import Context, OpenObject, Sink, Source, Store
    from transfer.tally import Tally

_LARGEST = 8 * 1024 * 1024 * TIB - 1
_TRAITS = Traits(max_put=_LARGEST, buffer=BUFFER)


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `sftp://user@host:port/folder`; the first connection is made when it is needed."""
    authority = authority_of(root, context)
    sessions = Sessions(authority, context.settings)
    try:
        yield SftpStore(authority, sessions, context)
    finally:
        with anyio.CancelScope(shield=True):
            await sessions.close()


class SftpStore(SftpFolder):
    """Files below a folder of a server; make it with `open_store`."""

    signer = None

    def __init__(self, authority: Authority, sessions: Sessions, context: Context) -> None:
        super().__init__(authority, sessions, context)
        self.traits = _TRAITS
        self._walks = RemoteWalks(self._entries)
        self.leftovers = Leftovers(self._entries, self._remove_unfinished)
        self.parts = SftpParts(self)

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List files below a folder, links followed unless confined."""
        return await self._walks.scan(prefix, token, folders=folders)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open a file; each range opens it anew, on whichever connection has time."""
        found = info if info is not None and info.version else await self.stat(key)
        yield RemoteFile(found, self.read, partial(self._origin, found))

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Write a file under a temporary name, then rename it."""
        async with self.writing(key, intent.nonce), self.sessions.session() as session:
            with session.within(self.patience):
                path = await self.path_of(key, session)
                replaced = await check_target(session, path, no_clobber=intent.no_clobber)
            unfinished = Partial(path, intent.nonce)
            try:
                found = await self._write(session, unfinished, source, tally, replaced)
                if differ(tally.checksum, intent.checksum):
                    raise IntegrityError(f"{self.url}/{key}: other bytes than were expected")
                await self.publish(session, unfinished, no_clobber=intent.no_clobber)
            except BaseException:
                await self.discard(unfinished)
                raise
        return info_of(key, found)

    async def delete(self, key: str) -> None:
        """Remove a file; folders stay."""
        with sftp_errors(f"delete {self.url}/{key}"):
            async with self.sessions.session() as session:
                with session.within(self.patience):
                    path = await self.path_of(key, session)
                    await self._delete(session, path)

    async def read(self, info: ObjectInfo, span: Span, sink: Sink, tally: Tally) -> None:
        """Pour a range of a file into a sink; SourceChangedError if it is not what `info` says."""
        with sftp_errors(f"read {self.url}/{info.key}"):
            async with self.sessions.session() as session:
                with session.within(self.patience):
                    path = await self.path_of(info.key, session)
                    file = await session.open(path, asyncssh.FXF_READ)
                check = partial(self._check, session, file, info)
                async with self.closing(session, file) as opened:
                    await check()
                    timeout = self.stall_timeout
                    await download(opened, span, sink, tally, stall_timeout=timeout, check=check)

    async def _write(
        self,
        session: Session,
        unfinished: Partial,
        source: Source,
        tally: Tally,
        replaced: int | None,
    ) -> asyncssh.SFTPAttrs:
        file = await sftp_partial.create(session, unfinished, self.patience, replaced)
        async with self.closing(session, file) as opened:
            await self.fill(session, unfinished, opened, source, tally)
            await self.sync(session, file)
            with session.within(self.patience):
                found = await file.stat()
                await keep_permissions(file, replaced)
        if found.size != source.size:
            raise DamagedInTransitError(
                f"{unfinished.path}: {found.size} bytes arrived, {source.size} were sent"
            )
        return found

    async def _delete(self, session: Session, path: str) -> None:
        try:
            await session.sftp.remove(path)
        except asyncssh.SFTPNoSuchFile:
            return
        except asyncssh.SFTPError:
            if not await session.sftp.isdir(path):  # a folder is no object
                raise

    def _origin(self, info: ObjectInfo, span: Span) -> Origin:
        """Return what a copy is made from; of a confined folder, no path is given away."""
        if self.confined:
            return Origin(span)
        place, check = self.authority.path_of(info.key), partial(self._look_again, info)
        return Origin(span, self.copies.realm, place, info.version, check)

    async def _look_again(self, info: ObjectInfo) -> None:
        self._compare(info, (await self.stat(info.key)).version)

    async def _check(
        self, session: Session, file: asyncssh.SFTPClientFile, info: ObjectInfo
    ) -> None:
        with session.within(self.patience):
            found = await file.stat()
        self._compare(info, version_of(found))

    def _compare(self, info: ObjectInfo, version: str | None) -> None:
        if version != info.version:
            raise SourceChangedError(
                f"{self.url}/{info.key} was changed while it was read",
                hint="transfer it again when nothing writes to it",
            )

    async def _remove_unfinished(self, key: str) -> None:
        with sftp_errors(f"remove {self.url}/{key}"):
            async with self.sessions.session() as session:
                with session.within(self.patience):
                    await sftp_partial.remove(session, self.authority.path_of(key))

    async def _entries(self, prefix: str) -> list[Entry]:
        """List one folder."""
        with sftp_errors(f"list {self.url}/{prefix}"):
            async with self.sessions.session() as session:
                folder = self.authority.path_of(prefix)
                if prefix and self.confined:
                    with session.within(self.patience):
                        folder = await self.path_of(prefix.removesuffix("/"), session)
                names = await self._names(session, folder)
                return [
                    entry
                    for name in names
                    if (entry := await self._entry(session, folder, prefix, name)) is not None
                ]

    async def _names(self, session: Session, folder: str) -> list[asyncssh.SFTPName]:
        found: list[asyncssh.SFTPName] = []
        with StallWatch(lambda: len(found), lambda: self.stall_timeout) as watch:
            try:
                async for name in session.sftp.scandir(folder):
                    found.append(name)  # noqa: PERF401 - counted as it grows
            except asyncssh.SFTPNoSuchFile:
                return []
            except asyncssh.SFTPFailure:
                if await session.sftp.isdir(folder):
                    raise
                return []
        if watch.stalled:
            session.drop()
            raise StalledError(f"the server did not answer for {self.stall_timeout:.0f} s")
        return found

    async def _entry(
        self, session: Session, folder: str, prefix: str, name: asyncssh.SFTPName
    ) -> Entry | None:
        text = str(name.filename)
        kind = name.attrs.type
        if kind == asyncssh.FILEXFER_TYPE_DIRECTORY:
            return Entry(text)
        if kind != asyncssh.FILEXFER_TYPE_SYMLINK:
            return Entry(text, listed_as(prefix + text, name.attrs))
        if self.confined:
            return None
        # It may lead to a disk that does not answer, while the connection is alive.
        path = f"{folder.rstrip('/')}/{text}"
        with session.within(self.patience, hint=f"it was asked where the link {path} leads"):
            return await _followed(session, path, prefix, text)


async def _followed(session: Session, path: str, prefix: str, name: str) -> Entry:
    """Return what a link leads to."""
    try:
        found = await session.sftp.stat(path)
    except asyncssh.SFTPError:
        # It leads nowhere: opening it says why.
        return Entry(name, ObjectInfo(prefix + name, 0))
    if found.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
        return Entry(name, leads_to=str(await session.sftp.realpath(path)))
    return Entry(name, listed_as(prefix + name, found))


if TYPE_CHECKING:

    def _conforms(store: SftpStore) -> Store:
        return store
