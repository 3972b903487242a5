"""A file on an SFTP server that is not yet one: temporary name, receipts, folders, room.

As in a local folder, `.transfer-<id>.partial` has the bytes. Beside it,
`.transfer-<id>.receipts` has a line of fixed length for each part, at a place
that follows from its number: many parts are noted at once, over any connection,
without appending, which servers do differently. A line of zeros or blanks is no
receipt.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh

from backends.partial_file import aside_name, etag_of, permissions_until_shown
from transfer.checksums import Checksum
from transfer.errors import DiskFullError, StoreError, UploadGoneError
from transfer.model import Receipt
from transfer.sizes import format_size

if TYPE_CHECKING:
    from backends.sftp.sessions import Session

_ID = re.compile(r"[0-9a-f]{32}")
# A SHA-256 in base64 with its name, the number and the size fit.
LINE = 112
_NEW = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL
_WRITE = asyncssh.FXF_WRITE
_NOTE = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT
# A disk with less than this is full, whatever the server calls it.
_NEXT_TO_NOTHING = 1 << 16


def line_of(receipt: Receipt) -> bytes:
    """Return the line of a part that is there."""
    fields = [receipt.number, receipt.size, str(receipt.checksum or "")]
    return json.dumps(fields, separators=(",", ":")).encode().ljust(LINE - 1) + b"\n"


def receipts_in(data: bytes) -> dict[int, Receipt]:
    """Return the receipts in the lines; one that is cut, blank or foreign does not count."""
    found: dict[int, Receipt] = {}
    for at in range(0, len(data), LINE):
        with suppress(ValueError, TypeError):
            number, size, text = json.loads(data[at : at + LINE])
            checksum = Checksum.parse(text) if text else None
            if isinstance(size, int) and number == at // LINE + 1:
                found[number] = Receipt(number, size, etag_of(checksum), checksum)
    return found


@dataclass(frozen=True, slots=True)
class Partial:
    """The unfinished file of one upload; `path` is what it will be."""

    path: str
    id: str

    def __post_init__(self) -> None:
        """Raise UploadGoneError for an id that we never gave out."""
        if not _ID.fullmatch(self.id):
            raise UploadGoneError(f"{self.id[:40]!r} is no upload of this store")

    @property
    def folder(self) -> str:
        """The folder of the file."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def temporary(self) -> str:
        """Where the bytes are."""
        return f"{self.folder.rstrip('/')}/.transfer-{self.id}.partial"

    @property
    def notes(self) -> str:
        """Where the receipts are."""
        return f"{self.folder.rstrip('/')}/.transfer-{self.id}.receipts"

    @property
    def aside(self) -> str:
        """Where the old file waits if the server has no rename that replaces."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{aside_name(name, self.id)}"

    def gone(self) -> UploadGoneError:
        """Say that there is no such upload."""
        return UploadGoneError(f"the upload {self.id} of {self.path} is not open any more")


async def create(
    session: Session, partial: Partial, patience: float, replaced: int | None
) -> asyncssh.SFTPClientFile:
    """Make the temporary file, and the folders above it where they are missing.

    One that an earlier attempt of the same intention has left is replaced: what
    the server may still write to that one is not written to this. The server has
    `patience` seconds for each step; that others are at the folders is no fault of its.
    `replaced` is the mode of what is there already.
    """
    permissions = permissions_until_shown(replaced) if replaced is not None else None
    try:
        with session.within(patience):
            return await session.open(partial.temporary, _NEW, permissions)
    except asyncssh.SFTPNoSuchFile:
        # By one at a time: rclone takes a folder that two make at once for two folders,
        # and does not find in the one what it has put into the other.
        async with session.making:
            with session.within(patience):
                if not await session.sftp.isdir(partial.folder):
                    await make_folders(session, partial.folder)
    except asyncssh.SFTPFailure:
        with session.within(patience):
            await remove(session, partial.temporary, partial.notes)
    with session.within(patience):
        return await session.open(partial.temporary, _NEW, permissions)


async def begin(session: Session, partial: Partial) -> asyncssh.SFTPClientFile:
    """Open the temporary file to write a part; UploadGoneError if the upload is none any more."""
    try:
        return await session.open(partial.temporary, _WRITE)
    except asyncssh.SFTPNoSuchFile:
        raise partial.gone() from None


async def note(session: Session, partial: Partial, receipt: Receipt) -> None:
    """Write down that a part is there."""
    await _write_line(session, partial, receipt.number, line_of(receipt))


async def doubt(session: Session, partial: Partial, number: int) -> None:
    """Take back what was noted of a part, which is going to be written again."""
    await _write_line(session, partial, number, b" " * (LINE - 1) + b"\n")


async def _write_line(session: Session, partial: Partial, number: int, line: bytes) -> None:
    async with await session.open(partial.notes, _NOTE) as file:
        await file.write(line, (number - 1) * LINE)


async def noted(session: Session, partial: Partial) -> dict[int, Receipt]:
    """Return what was written down, by number."""
    try:
        file = await session.open(partial.notes, asyncssh.FXF_READ)
    except asyncssh.SFTPNoSuchFile:
        return {}
    try:
        size = (await file.stat()).size or 0
        data = b""
        while len(data) < size:
            more: bytes = await file.read(min(session.block, size - len(data)), len(data))
            if not more:
                break
            data += more
    finally:
        await file.close()
    return receipts_in(data)


async def remove(session: Session, *paths: str) -> None:
    """Remove files; those that are not there are fine."""
    for path in paths:
        with suppress(asyncssh.SFTPNoSuchFile):
            await session.sftp.remove(path)


async def make_folders(session: Session, folder: str) -> None:
    """Make a folder and those above it; somebody else may be at it too."""
    try:
        await _make_folder(session, folder)
    except asyncssh.SFTPNoSuchFile:
        above = folder.rpartition("/")[0]
        if not above:
            raise
        await make_folders(session, above)
        await _make_folder(session, folder)


async def _make_folder(session: Session, folder: str) -> None:
    try:
        await session.sftp.mkdir(folder)
    except asyncssh.SFTPNoSuchFile:
        raise
    except asyncssh.SFTPError:
        # That it is there already has no code of its own.
        if not await session.sftp.isdir(folder):
            if await session.sftp.lexists(folder):
                raise StoreError(f"cannot make the folder {folder}: it is a file") from None
            raise


async def sync(file: asyncssh.SFTPClientFile) -> None:
    """Make what was written durable, where the server has a call for that."""
    with suppress(asyncssh.SFTPOpUnsupported):
        await file.fsync()


async def free_space(session: Session, folder: str) -> int | None:
    """Return the bytes that may still be written, None where the server does not say."""
    try:
        disk = await session.sftp.statvfs(folder)
    except asyncssh.SFTPError:
        return None
    # Servers that do not know give zeros for everything.
    return disk.bavail * (disk.frsize or disk.bsize) if disk.blocks else None


async def check_space(session: Session, path: str, folder: str, size: int) -> None:
    """Raise DiskFullError if so many bytes will not fit."""
    free = await free_space(session, folder)
    if free is not None and size > free:
        raise DiskFullError(
            f"cannot write {path}: it needs {format_size(size)}, {format_size(free)} are free",
            hint="free some space on the server and run it again",
        )


async def explain_failure(session: Session, path: str, folder: str) -> None:
    """Raise DiskFullError if that is why a write failed: version 3 says "Failure" for it."""
    free = await free_space(session, folder)
    if free is not None and free < _NEXT_TO_NOTHING:
        raise DiskFullError(
            f"cannot write {path}: no space is left on the server",
            hint="free some space on the server and run it again",
        )
