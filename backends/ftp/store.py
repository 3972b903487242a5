"""Files on an FTP server, plain or over TLS (RFC 959, 3659, 4217).

FTP has no parts: an object goes in one piece to a temporary name, is compared by
size (and by checksum, where the server computes one), and renamed. Ranges are
read only from servers that say they can and prove it; others send the whole file.
A version is size and time of change. FTP shows no links, so a server that is
shared with others must itself keep its users in.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import aioftp
import anyio

from backends.authority import authority_of
from backends.ftp.bytes import (
    BUFFER,
    Target,
    digest_for,
    fetch,
    starts_where_asked,
    store,
)
from backends.ftp.connections import LIBRARY_ERRORS, ftp_errors, open_connections
from backends.ftp.folders import FtpFolders
from backends.ftp.publishing import Names, Publisher, names_of
from backends.ftp.replies import parse_facts, parse_hash, seconds_of
from backends.partial_file import is_ours
from backends.remote_file import RemoteFile
from backends.remote_walk import Entry, Leftovers, RemoteWalks
from transfer.checksums import differ
from transfer.errors import (
    BadKeyError,
    DamagedInTransitError,
    ExistsError,
    IntegrityError,
    NotFoundError,
    SourceChangedError,
    TransferError,
    UnavailableError,
)
from transfer.keys import check_key
from transfer.model import ObjectInfo, Page, Traits
from transfer.sizes import TIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.authority import Authority
    from backends.ftp.connections import Connection, Connections
    from transfer.checksums import Digest
    from transfer.model import Intent, Span
    from transfer.store import Context, OpenObject, Sink, Source, Store
    from transfer.tally import Tally

_LARGEST = 8 * 1024 * 1024 * TIB - 1
# How long the removal of what is not wanted any more may take, in seconds.
_TO_CLEAN_UP = 2.0
_PAUSE = 0.1


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `ftp://user@host:port/folder`, or `ftps:` for TLS; asks the server what it can."""
    authority = authority_of(root, context)
    with ftp_errors(f"open {authority.url}"):
        async with open_connections(authority, context.settings) as connections:
            yield FtpStore(authority, connections, context)


class FtpStore:
    """Files below a folder of a server; make it with `open_store`."""

    signer = None
    parts = None

    def __init__(self, authority: Authority, connections: Connections, context: Context) -> None:
        self.url = authority.url
        self._authority = authority
        self._connections = connections
        self._stall_timeout = context.settings.stall_timeout
        self._confined = context.confined
        self._notify = context.notify
        # Temporary files that may be there, and whether the server may still be writing to them.
        self._left: dict[str, bool] = {}
        self._ranges: bool | None = None if connections.features.ranges else False
        self._folders = FtpFolders(authority, connections, self._stall_timeout)
        self._publisher = Publisher(authority.path_of, self._is_there)
        self._walks = RemoteWalks(self._folders.entries)
        self.leftovers = Leftovers(self._unfinished, self._remove_unfinished)

    @property
    def traits(self) -> Traits:
        """What it takes at once; ranges only as long as the server has not been found out."""
        return Traits(
            max_put=_LARGEST,
            connections=self._connections.most,
            buffer=BUFFER,
            concurrent_reads=self._ranges is not False,
        )

    async def stat(self, key: str) -> ObjectInfo:
        """MLST, or SIZE and MDTM; a folder is no object."""
        path = self._path_of(key)
        with ftp_errors(f"look at {self.url}/{key}"):
            async with self._connections.connection() as connection:
                return await self._stat(connection, key, path)

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List files below a folder, by MLSD or LIST."""
        if self._confined and prefix:
            check_key(prefix.removesuffix("/"))
        return await self._walks.scan(prefix, token, folders=folders)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Look at a file; each range has a data connection of its own."""
        found = info if info is not None and info.version else await self.stat(key)
        yield RemoteFile(found, self.read)

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Store a file under a temporary name, compare, rename it."""
        self._path_of(key)
        names = names_of(key, intent.nonce)
        try:
            with ftp_errors(f"write {self.url}/{key}"):
                found = await self._put(names, source, intent, tally)
        except BaseException as error:
            await self._discard(names)
            if left := self._what_is_left(names):
                if isinstance(error, TransferError):
                    error.add_hint(left)
                else:
                    self._notify(f"the upload of {self.url}/{key} was stopped: {left}")
            raise
        if left := self._what_is_left(names):
            self._notify(f"{self.url}/{key} is written: {left}")
        return found

    async def _put(self, names: Names, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        key, temporary = names.key, names.temporary
        path, unfinished = self._authority.path_of(key), self._authority.path_of(temporary)
        async with self._connections.connection() as connection:
            if intent.no_clobber:
                await self._refuse(connection, key)
            folder = path.rpartition("/")[0]
            await self._folders.make(connection, folder)
            self._left[temporary] = True
            try:
                proved = await self._store(connection, unfinished, source, tally)
            except aioftp.StatusCodeError as error:
                if error.received_codes[-1].matches("55") and (
                    await self._folders.is_gone(connection, folder)
                ):
                    # The source may be spent: whoever sends it again has the folder made again.
                    raise UnavailableError(
                        f"cannot write {self.url}/{key}: its folder has been removed"
                    ) from error
                raise
            finally:
                self._left[temporary] = not await connection.settle()
            if differ(tally.checksum, intent.checksum):
                raise IntegrityError(f"{self.url}/{key}: other bytes than were expected")
            await self._publish(connection, names, no_clobber=intent.no_clobber)
            del self._left[temporary]
            found = await self._stat(connection, key, path)
        return replace(found, checksum=tally.checksum if proved else None)

    async def _publish(self, connection: Connection, names: Names, *, no_clobber: bool) -> None:
        if no_clobber:
            await self._refuse(connection, names.key)
        try:
            await self._publisher.publish(connection, names, no_clobber=no_clobber)
        except aioftp.StatusCodeError:
            if no_clobber:
                await self._refuse(connection, names.key)
            raise

    async def delete(self, key: str) -> None:
        """DELE; folders stay."""
        path = self._path_of(key)
        what = f"delete {self.url}/{key}"
        with ftp_errors(what):
            async with self._connections.connection() as connection:
                if await connection.works(f"DELE {path}"):
                    return
                # 550 may mean that it is not there, and that it may not be deleted.
                with suppress(NotFoundError), ftp_errors(what):
                    await self._stat(connection, key, path)
                    await connection.ask(f"DELE {path}")

    async def read(self, info: ObjectInfo, span: Span, sink: Sink, tally: Tally) -> None:
        """Pour a range of a file into a sink; SourceChangedError if it is not what `info` says."""
        path = self._path_of(info.key)
        with ftp_errors(f"read {self.url}/{info.key}"):
            async with self._connections.connection() as connection:
                await self._check(connection, info, path)
                start = await self._start_of(connection, span, info, path)
                target = Target(
                    sink,
                    tally,
                    skip=span.start - start,
                    size=span.size,
                    to_the_end=span.stop == info.size,
                )
                timeout = self._stall_timeout
                await fetch(connection, path, target, start=start, stall_timeout=timeout)
                await self._check(connection, info, path)
                await target.release()

    async def _start_of(
        self, connection: Connection, span: Span, info: ObjectInfo, path: str
    ) -> int:
        """Return the byte to ask the server to begin with: the first, where it knows no other."""
        if not span.start or self._ranges is False:
            return 0
        if self._ranges is None:
            timeout = self._stall_timeout
            self._ranges = await starts_where_asked(
                connection, path, info.size, stall_timeout=timeout
            )
        return span.start if self._ranges else 0

    async def _unfinished(self, prefix: str) -> list[Entry]:
        """List a folder, with the times that a list for people does not tell."""
        found = await self._folders.entries(prefix)
        with ftp_errors(f"look into {self.url}/{prefix}"):
            async with self._connections.connection() as connection:
                return [await self._with_time(connection, prefix, entry) for entry in found]

    async def _with_time(self, connection: Connection, prefix: str, entry: Entry) -> Entry:
        if not is_ours(entry.name) or entry.info is None or entry.info.modified is not None:
            return entry
        key = prefix + entry.name
        return Entry(entry.name, await self._stat(connection, key, self._authority.path_of(key)))

    async def _remove_unfinished(self, key: str) -> None:
        with ftp_errors(f"remove {self.url}/{key}"):
            async with self._connections.connection() as connection:
                await connection.ask(f"DELE {self._authority.path_of(key)}")

    def _path_of(self, key: str) -> str:
        if self._confined:
            check_key(key)
        elif any(char in key for char in "\0\r\n"):
            raise BadKeyError(f"{key!r}: FTP has no way to write this name")
        if is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r}: names like this are reserved for unfinished transfers")
        return self._authority.path_of(key)

    async def _stat(self, connection: Connection, key: str, path: str) -> ObjectInfo:
        if self._connections.features.machine_stat:
            lines = await connection.ask(f"MLST {path}")
            listed = next((parse_facts(line.lstrip(" ")) for line in lines[1:-1]), None)
            if listed is None or listed.kind == "folder" or listed.size is None:
                raise NotFoundError(f"{self.url}/{key} is not a regular file")
            return info_of(key, listed.size, listed.modified)
        size = await connection.ask(f"SIZE {path}", "213")
        time = await connection.ask(f"MDTM {path}", "213")
        return info_of(key, int(size[0].split()[0]), time[0].split()[0])

    async def _check(self, connection: Connection, info: ObjectInfo, path: str) -> None:
        found = await self._stat(connection, info.key, path)
        if found.version != info.version:
            raise SourceChangedError(
                f"{self.url}/{info.key} was changed while it was read",
                hint="transfer it again when nothing writes to it",
            )

    async def _refuse(self, connection: Connection, key: str) -> None:
        """Raise ExistsError if there is something; FTP cannot do better than to look."""
        if await self._is_there(connection, key):
            raise ExistsError(f"{self.url}/{key} exists")

    async def _is_there(self, connection: Connection, key: str) -> bool:
        try:
            await self._stat(connection, key, self._authority.path_of(key))
        except aioftp.StatusCodeError as error:
            if any(code.matches("550") or code.matches("450") for code in error.received_codes):
                return False
            raise
        return True

    async def _store(
        self, connection: Connection, temporary: str, source: Source, tally: Tally
    ) -> bool:
        """Store the bytes; return whether the server has proved by a checksum that it has them."""
        hashing = self._connections.features.hash
        digest = digest_for(hashing.algorithm if hashing else None)
        timeout = self._stall_timeout
        await store(connection, temporary, source, tally, digest=digest, stall_timeout=timeout)
        size = await connection.ask(f"SIZE {temporary}", "213")
        if int(size[0].split()[0]) != source.size:
            raise DamagedInTransitError(
                f"{temporary}: {size[0].strip()} bytes arrived, {source.size} were sent"
            )
        return await self._compare(connection, temporary, digest)

    async def _compare(self, connection: Connection, temporary: str, digest: Digest | None) -> bool:
        hashing = self._connections.features.hash
        if hashing is None or digest is None:
            return False
        try:
            lines = await connection.ask(f"{hashing.verb} {temporary}")
        except aioftp.StatusCodeError:
            return False  # it has the command, and will not use it: too large, perhaps
        said = parse_hash(hashing.algorithm, [line.replace(temporary, "") for line in lines])
        if said is None:
            return False
        if said != digest.finish():
            raise DamagedInTransitError(f"{temporary}: the server has other bytes than were sent")
        return True

    async def _discard(self, names: Names) -> None:
        """Put back and take away what can be, as far as the server is reached in a moment.

        What may stay is remembered. What is unfinished has a name that is never listed,
        and the next attempt replaces it.
        """
        temporary = names.temporary
        if not self._what_is_left(names):
            return
        with (
            anyio.move_on_after(_TO_CLEAN_UP, shield=True),
            suppress(TransferError, *LIBRARY_ERRORS),
        ):
            writing = self._left.get(temporary, False)
            if writing:
                await anyio.sleep(_PAUSE)
            async with self._connections.connection() as connection:
                await self._publisher.settle(connection, names)
                if await self._removed(connection, temporary) and not writing:
                    self._left.pop(temporary, None)

    async def _removed(self, connection: Connection, temporary: str) -> bool:
        if await connection.works(f"DELE {self._authority.path_of(temporary)}"):
            return True
        return not await self._is_there(connection, temporary)

    def _what_is_left(self, names: Names) -> str:
        """Say what may be left of an upload, in words for a person; nothing if all is clean."""
        left = []
        if names.temporary in self._left:
            left.append(f"{self.url}/{names.temporary} may be left of it")
        if self._publisher.has_aside(names):
            left.append(
                f"the file that it replaces may be left as {self.url}/{names.aside}: rename it back"
                " if the new one is not there, remove it if it is"
            )
        return "; ".join(left)


def info_of(key: str, size: int, modified: str | None) -> ObjectInfo:
    """Return an object by what the server says of it; without a time, it has no version."""
    version = f"{size:x}-{modified}" if modified else None
    return ObjectInfo(key, size, version, seconds_of(modified))


if TYPE_CHECKING:

    def _conforms(store: FtpStore) -> Store:
        return store
