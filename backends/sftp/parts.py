"""Multipart uploads to an SSH server: parts at their offsets in one temporary file.

All that a later process needs lies on the server, beside the target. Whatever
connection a part takes, it is noted only when the server has confirmed all of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import asyncssh

from backends.partial_file import etag_of
from backends.sftp import partial as sftp_partial
from backends.sftp.attributes import info_of
from backends.sftp.bytes import download
from backends.sftp.errors import said, sftp_errors
from backends.sftp.partial import Partial
from backends.sftp.publication import check_target, is_private, keep_permissions, mode_of
from transfer.errors import (
    IntegrityError,
    SourceChangedError,
    StoreError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.model import ObjectInfo, PartLimits, Receipt, Span, Upload
from transfer.review import review
from transfer.sizes import TIB
from transfer.sources import NullSink
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.sftp.folder import SftpFolder
    from backends.sftp.sessions import Session
    from transfer.checksums import Checksum
    from transfer.model import Expected, Intent, Part
    from transfer.store import Source

_LARGEST = 8 * 1024 * 1024 * TIB - 1
# Receipts have a fixed place in a file: that many of them are 107 MB.
_LIMITS = PartLimits(min_size=1, max_size=_LARGEST, max_count=1_000_000, max_object=_LARGEST)
# Parts that are read back at the same time.
_READERS = 4
_REMEMBERED = 1000
# How a server that writes files from start to end only says so when one is given its length.
_REFUSALS = (asyncssh.SFTPFailure, asyncssh.SFTPPermissionDenied, asyncssh.SFTPOpUnsupported)


class SftpParts:
    """The facet of a folder of a server."""

    limits = _LIMITS
    resumable = True

    def __init__(self, folder: SftpFolder) -> None:
        self._folder = folder
        # What the notes of an upload had when this process first looked, and has noted since.
        self._noted: dict[str, set[int]] = {}
        # Versions of what this process has put together: the answer may have been lost.
        self._published: dict[str, str] = {}
        self._refused = False

    async def create(self, key: str, intent: Intent) -> Upload:
        """Make the temporary file, with its full length.

        DiskFullError if it will not fit, UnsupportedError where the server writes
        files from start to end only.
        """
        if self._refused:
            raise self._unsupported()
        if intent.size is None:
            raise UnsupportedError("a part has no offset in a file before the size is known")
        part_size = intent.part_size or max(1, intent.size)
        upload = Upload(key, intent.nonce, intent.size, part_size)
        with sftp_errors(f"write {self._folder.url}/{key}"):
            async with self._folder.sessions.session() as session:
                with session.within(self._folder.patience):
                    unfinished = await self._partial(upload, session)
                    replaced = await check_target(
                        session, unfinished.path, no_clobber=intent.no_clobber
                    )
                try:
                    await self._allocate(session, unfinished, intent.size, replaced)
                except BaseException:
                    await self._folder.discard(unfinished)
                    raise
        self._noted[upload.id] = set()
        return upload

    async def _allocate(
        self, session: Session, unfinished: Partial, size: int, replaced: int | None
    ) -> None:
        patience = self._folder.patience
        file = await sftp_partial.create(session, unfinished, patience, replaced)
        with session.within(patience):
            async with self._folder.closing(session, file):
                await sftp_partial.check_space(session, unfinished.path, unfinished.folder, size)
                try:
                    await file.truncate(size)
                except _REFUSALS as error:
                    if await _takes_a_length(file):
                        raise
                    self._refuse(error)
                    raise self._unsupported() from error

    def _refuse(self, error: asyncssh.SFTPError) -> None:
        if not self._refused:
            self._refused = True
            self._folder.notify(
                f"{self._unsupported().message} (it says {said(error)}): each goes in one stream,"
                " and is not resumed; for rclone's server, set --vfs-cache-mode=writes"
            )

    def _unsupported(self) -> UnsupportedError:
        return UnsupportedError(f"{self._folder.url}: the server does not take files in parts")

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given, if its file is still there."""
        del key, intent
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Write one part at its offset and note that it is there."""
        folder = self._folder
        with sftp_errors(f"write part {part.number} of {folder.url}/{upload.key}"):
            async with folder.sessions.session() as session:
                with session.within(folder.patience):
                    unfinished = await self._partial(upload, session)
                    file = await sftp_partial.begin(session, unfinished)
                async with folder.closing(session, file) as opened:
                    with session.within(folder.patience):
                        await self._doubt(session, unfinished, part.number)
                    await folder.fill(
                        session, unfinished, opened, source, tally, start=part.span.start
                    )
                checksum = tally.checksum
                receipt = Receipt(part.number, tally.moved, etag_of(checksum), checksum)
                with session.within(folder.patience):
                    await sftp_partial.note(session, unfinished, receipt)
        self._noted[upload.id].add(part.number)
        return receipt

    async def _doubt(self, session: Session, unfinished: Partial, number: int) -> None:
        if unfinished.id not in self._noted:
            self._noted[unfinished.id] = set(await sftp_partial.noted(session, unfinished))
        if number in self._noted[unfinished.id]:
            await sftp_partial.doubt(session, unfinished, number)

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """Read what was noted, and the parts themselves if asked to."""
        folder = self._folder
        with sftp_errors(f"look for the parts of {folder.url}/{upload.key}"):
            async with folder.sessions.session() as session:
                with session.within(folder.patience):
                    unfinished = await self._partial(upload, session)
                    await _check_open(session, unfinished)
                    noted = await sftp_partial.noted(session, unfinished)
        self._noted[upload.id] = set(noted)
        receipts = [noted[number] for number in sorted(noted)]
        return await self._reread(upload, unfinished, receipts) if reread else receipts

    async def _reread(
        self, upload: Upload, unfinished: Partial, receipts: Sequence[Receipt]
    ) -> list[Receipt]:
        """Return the receipts of parts whose content is what was noted; a few at once."""
        limit = anyio.CapacityLimiter(_READERS)
        good: list[Receipt] = []
        errors: list[StoreError] = []

        async def look(receipt: Receipt) -> None:
            async with limit:
                start = (receipt.number - 1) * (upload.part_size or 1)
                span = Span(start, start + receipt.size)
                try:
                    if await self._has(unfinished, receipt.checksum, span):
                        good.append(receipt)
                except StoreError as error:
                    errors.append(error)

        async with anyio.create_task_group() as group:
            for receipt in receipts:
                group.start_soon(look, receipt)
        if errors:
            raise errors[0]
        return sorted(good, key=lambda receipt: receipt.number)

    async def _has(self, unfinished: Partial, wanted: Checksum | None, span: Span) -> bool:
        """Tell whether a range of the temporary file has a checksum."""
        if wanted is None:
            return False
        folder = self._folder
        tally = Tally(wanted.algorithm)
        with sftp_errors(f"read {unfinished.temporary}"):
            async with folder.sessions.session() as session:
                with session.within(folder.patience):
                    file = await session.open(unfinished.temporary, asyncssh.FXF_READ)
                try:
                    async with folder.closing(session, file) as opened:
                        timeout = folder.stall_timeout
                        sink = NullSink()
                        await download(
                            opened, span, sink, tally, stall_timeout=timeout, check=_no_check
                        )
                except SourceChangedError:
                    return False
        return tally.checksum == wanted

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Compare with what was noted, make it durable, rename it.

        Asked again, because the answer was lost, it looks at the object.
        """
        async with self._folder.writing(upload.key, upload.id):
            try:
                listed = await self.sent(upload)
            except UploadGoneError:
                return await self._published_before(upload)
            follows = review(upload, receipts, listed, expected)
            return await self._complete(upload, follows, expected)

    async def _complete(
        self, upload: Upload, follows: Checksum | None, expected: Expected
    ) -> ObjectInfo:
        folder = self._folder
        async with folder.sessions.session() as session:
            with session.within(folder.patience):
                unfinished = await self._partial(upload, session)
            proved = await self._proved(unfinished, follows, expected)
            info = info_of(upload.key, await self._settled(session, unfinished, expected))
            self._remember(upload.id, info)
            await folder.publish(session, unfinished, no_clobber=expected.no_clobber)
            with session.within(folder.patience):
                await sftp_partial.remove(session, unfinished.notes)
        self._noted.pop(upload.id, None)
        return replace(info, checksum=proved)

    async def _proved(
        self, unfinished: Partial, follows: Checksum | None, expected: Expected
    ) -> Checksum | None:
        """Return a checksum that the server's own bytes were read for; None if none were."""
        wanted = expected.checksum
        if wanted is None or (follows is not None and follows.algorithm is wanted.algorithm):
            return None
        # It does not follow from the parts: the file has to be read once more.
        if not await self._has(unfinished, wanted, Span(0, expected.size or 0)):
            raise IntegrityError(f"{unfinished.path}: the content is not {wanted.shown}")
        return wanted

    async def _settled(
        self, session: Session, unfinished: Partial, expected: Expected
    ) -> asyncssh.SFTPAttrs:
        """Make the temporary file durable and return what it is."""
        folder = self._folder
        with session.within(folder.patience):
            file = await sftp_partial.begin(session, unfinished)
        async with folder.closing(session, file):
            await folder.sync(session, file)
            with session.within(folder.patience):
                found = await file.stat()
                if is_private(found):
                    await keep_permissions(file, await mode_of(session, unfinished.path))
        if found.size != expected.size:
            raise IntegrityError(
                f"{unfinished.path}: {found.size} bytes arrived, {expected.size} were expected"
            )
        return found

    def _remember(self, upload_id: str, info: ObjectInfo) -> None:
        while len(self._published) >= _REMEMBERED:
            self._published.pop(next(iter(self._published)))
        self._published[upload_id] = info.version or ""

    async def _published_before(self, upload: Upload) -> ObjectInfo:
        """Return the object if this process has made it of this upload; else UploadGoneError."""
        version = self._published.get(upload.id)
        if version is not None:
            info = await self._folder.stat(upload.key)
            if info.version == version:
                return info
        raise UploadGoneError(
            f"the upload {upload.id} of {self._folder.url}/{upload.key} is not open any more"
        )

    async def abort(self, upload: Upload) -> None:
        """Remove the temporary file and the notes."""
        folder = self._folder
        async with folder.writing(upload.key, upload.id):
            with sftp_errors(f"clean up {folder.url}/{upload.key}"):
                async with folder.sessions.session() as session:
                    with session.within(folder.patience):
                        unfinished = await self._partial(upload, session)
                        await sftp_partial.remove(session, unfinished.temporary, unfinished.notes)
        self._noted.pop(upload.id, None)

    async def _partial(self, upload: Upload, session: Session) -> Partial:
        return Partial(await self._folder.path_of(upload.key, session), upload.id)


async def _takes_a_length(file: asyncssh.SFTPClientFile) -> bool:
    try:
        await file.truncate(1)
    except _REFUSALS:
        return False
    return True


async def _check_open(session: Session, unfinished: Partial) -> None:
    if not await session.sftp.lexists(unfinished.temporary):
        raise unfinished.gone()


async def _no_check() -> None:
    """Nobody else writes to a temporary file."""
