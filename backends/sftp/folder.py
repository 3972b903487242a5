"""A folder of a server, as the store and its facet know it: paths, sessions, open files."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import asyncssh

from backends.partial_file import is_ours
from backends.sftp import partial as sftp_partial
from backends.sftp.attributes import info_of, is_special
from backends.sftp.bytes import OpenedFile, upload
from backends.sftp.copies import SftpCopies
from backends.sftp.errors import LIBRARY_ERRORS, sftp_errors
from backends.sftp.partial import Partial
from backends.sftp.publication import publish, settle
from transfer.errors import (
    BadKeyError,
    NotFoundError,
    StoreError,
    TransferError,
)
from transfer.keys import check_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.authority import Authority
    from backends.sftp.sessions import Session, Sessions
    from transfer.model import ObjectInfo
    from transfer.store import Context, Source
    from transfer.tally import Tally


# A disk may take long to write out what it holds.
_SYNC_PATIENCE = 900.0
_CLEAN_UP = 5.0


class SftpFolder:
    """A folder of a server.

    `confined` refuses keys that are not canonical and paths that a symbolic link
    is part of, as far as they are below the root.
    """

    def __init__(self, authority: Authority, sessions: Sessions, context: Context) -> None:
        settings = context.settings
        self.url = authority.url
        self.sessions = sessions
        self.durable = settings.durability == "file"
        self.patience = settings.request_timeout
        self.stall_timeout = settings.stall_timeout
        self.authority = authority
        self.confined = context.confined
        self.notify = context.notify
        self.copies = SftpCopies(authority, settings.request_timeout)
        # Uploads whose old file has stepped aside.
        self._asides: set[Partial] = set()

    async def stat(self, key: str) -> ObjectInfo:
        """Look at a file; a folder is no object."""
        with sftp_errors(f"look at {self.url}/{key}"):
            async with self.sessions.session() as session:
                with session.within(self.patience):
                    path = await self.path_of(key, session)
                    found = await session.sftp.stat(path)
        if is_special(found):
            raise StoreError(f"{self.url}/{key} is not a regular file: it is left alone")
        if found.type != asyncssh.FILEXFER_TYPE_REGULAR:
            raise NotFoundError(f"{self.url}/{key} is not a regular file")
        return info_of(key, found)

    async def fill(
        self,
        session: Session,
        unfinished: Partial,
        opened: OpenedFile,
        source: Source,
        tally: Tally,
        *,
        start: int = 0,
    ) -> None:
        """Copy or write a source into an open file; DiskFullError where that is why it failed."""
        try:
            if not await self.copies.put(session, opened, start, source, tally):
                await upload(source, opened, start, tally, self.stall_timeout)
        except asyncssh.SFTPFailure:
            with session.within(self.patience):
                await sftp_partial.explain_failure(session, unfinished.path, unfinished.folder)
            raise

    @asynccontextmanager
    async def closing(
        self, session: Session, file: asyncssh.SFTPClientFile
    ) -> AsyncIterator[OpenedFile]:
        """Close a file in the end: when the server has said so, nothing more of it is written.

        Some servers put a file away only then, which takes its time. After an
        error they get a moment; a connection on which no answer comes is cut.
        """
        try:
            yield OpenedFile(file, session.block)
        except BaseException:
            closed = False
            with anyio.move_on_after(_CLEAN_UP, shield=True), suppress(*LIBRARY_ERRORS):
                await file.close()
                closed = True
            if not closed:
                session.drop()
            raise
        with session.within(_SYNC_PATIENCE):
            await file.close()

    async def sync(self, session: Session, file: asyncssh.SFTPClientFile) -> None:
        """Make a file durable, if that is asked for and the server can."""
        if self.durable:
            with session.within(_SYNC_PATIENCE):
                await sftp_partial.sync(file)

    @asynccontextmanager
    async def writing(self, key: str, nonce: str) -> AsyncIterator[None]:
        """Translate errors; what had the name before has it again, or the error says where it is.

        A later attempt with the same nonce looks after what an earlier one could not.
        """
        unfinished = Partial(self.authority.path_of(key), nonce)
        failure: BaseException | None = None
        try:
            with sftp_errors(f"write {self.url}/{key}"):
                yield
        except BaseException as error:
            failure = error
            raise
        finally:
            await self._settle(unfinished)
            if unfinished in self._asides:
                self._tell(unfinished, failure)

    async def publish(self, session: Session, unfinished: Partial, *, no_clobber: bool) -> None:
        """Give a file its name, inside of `writing`."""
        with session.within(self.patience):
            await publish(session, unfinished, self._asides, no_clobber=no_clobber)

    async def _settle(self, unfinished: Partial) -> None:
        """Look after an old file that stepped aside, if the server can be reached in a moment."""
        if unfinished not in self._asides:
            return
        with (
            anyio.move_on_after(_CLEAN_UP, shield=True),
            suppress(TransferError, *LIBRARY_ERRORS),
        ):
            async with self.sessions.session() as session:
                await settle(session, unfinished, self._asides)

    def _tell(self, unfinished: Partial, failure: BaseException | None) -> None:
        path, aside = unfinished.path, unfinished.aside
        said = f"if {path} is missing, rename {aside} to it: that is the old file"
        if isinstance(failure, TransferError):
            failure.add_hint(said)
        else:
            self.notify(f"{self.url}: {said}")

    async def discard(self, unfinished: Partial) -> None:
        """Take away what is unfinished, as far as the server can be reached in a moment.

        What stays has a name that is never listed, and the next attempt replaces it.
        """
        with (
            anyio.move_on_after(_CLEAN_UP, shield=True),
            suppress(TransferError, *LIBRARY_ERRORS),
        ):
            async with self.sessions.session() as session:
                await sftp_partial.remove(session, unfinished.temporary, unfinished.notes)

    async def path_of(self, key: str, session: Session) -> str:
        """Return the path of a key; BadKeyError if the key may not be used."""
        if self.confined:
            check_key(key)
            await self._refuse_links(key, session)
        elif "\0" in key:
            raise BadKeyError(f"{key!r} has a NUL byte")
        if is_ours(key.rpartition("/")[2]):
            raise BadKeyError(f"{key!r}: names like this are reserved for unfinished transfers")
        return self.authority.path_of(key)

    async def _refuse_links(self, key: str, session: Session) -> None:
        """Look at every folder on the way, all at once."""
        links: list[str] = []
        errors: list[Exception] = []

        async def look(path: str) -> None:
            try:
                if (await session.sftp.lstat(path)).type == asyncssh.FILEXFER_TYPE_SYMLINK:
                    links.append(path)
            except asyncssh.SFTPNoSuchFile:
                return
            except LIBRARY_ERRORS as error:
                errors.append(error)

        async with anyio.create_task_group() as group:
            for end in _ends(key):
                group.start_soon(look, self.authority.path_of(key[:end]))
        if errors:
            raise errors[0]
        if links:
            raise BadKeyError(f"{key!r} leads through a symbolic link")


def _ends(key: str) -> list[int]:
    """Return where the name of each folder on the way ends, and of the key itself."""
    return [at for at, char in enumerate(key) if char == "/"] + [len(key)]
