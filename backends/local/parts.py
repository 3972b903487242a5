"""Parts of a file that is not there yet: written at their offsets under a temporary name."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from backends.linux import begin_write_out
from backends.local.folder import info_of
from backends.local.trips import act_on_target
from backends.partial_file import PartialFile, etag_of
from transfer.errors import StalledError, UnsupportedError
from transfer.files import FileSink, local_errors
from transfer.model import (
    Expected,
    Intent,
    ObjectInfo,
    Part,
    PartLimits,
    Receipt,
    Upload,
)
from transfer.review import review
from transfer.sizes import MIB, TIB

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from backends.local.folder import LocalFolder
    from transfer.checksums import Checksum
    from transfer.store import Source
    from transfer.tally import Tally

T = TypeVar("T")

# Of a part that is smaller, writing out need not begin before the end of the file.
_WORTH_WRITING_OUT = MIB
# How long a thread that was given up may still be writing, in seconds.
_LATE = 10.0

LARGEST = 8 * 1024 * 1024 * TIB - 1
_LIMITS = PartLimits(min_size=1, max_size=LARGEST, max_count=100_000, max_object=LARGEST)


class LocalParts:
    """Parts written at their offsets into one temporary file."""

    limits = _LIMITS
    resumable = True

    def __init__(self, folder: LocalFolder) -> None:
        self._folder = folder
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    async def create(self, key: str, intent: Intent) -> Upload:
        """Make the temporary file, with its full length; DiskFullError if it will not fit."""
        if intent.size is None:
            raise UnsupportedError("a part has no offset in a file before the size is known")
        part_size = intent.part_size or max(1, intent.size)
        upload = Upload(key, secrets.token_hex(16), intent.size, part_size)
        create = partial(
            PartialFile.create,
            size=intent.size,
            no_clobber=intent.no_clobber,
            with_room=not intent.may_have_holes,
        )
        await self._run("write", upload, create)
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Write one part at its offset and note that it is there."""

        def begin(file: PartialFile) -> tuple[PartialFile, int]:
            return file, file.begin(part.number)

        file, fd = await self._run("write", upload, begin)
        with local_errors("write", str(file.path)):
            try:
                await source.pour(FileSink(fd, part.span, self._locks[upload.id]), tally)
                if file.durable and part.span.size >= _WORTH_WRITING_OUT:
                    write_out = partial(begin_write_out, fd, part.span)
                    await anyio.to_thread.run_sync(write_out, abandon_on_cancel=True)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(os.close, fd)
                raise
            receipt = Receipt(part.number, tally.moved, etag_of(tally.checksum), tally.checksum)
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(file.end, fd, receipt)
        return receipt

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given, if its file is still there."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """Read what was noted, and the parts themselves if asked to."""
        part_size = upload.part_size or 1
        find = partial(PartialFile.receipts, part_size=part_size, reread=reread)
        return await self._run("read", upload, find)

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Compare with what was noted, make it durable, rename it."""

        def complete(file: PartialFile) -> tuple[os.stat_result, Checksum | None]:
            noted = file.receipts(upload.part_size or 1, reread=False)
            checksum, wanted = review(upload, receipts, noted, expected), expected.checksum
            known = checksum.algorithm if checksum is not None else None
            if wanted is not None and wanted.algorithm is not known:
                # It does not follow from the parts: the file has to be read once more.
                file.check_content(wanted)
                checksum = wanted
            with _nobody_else(self._locks[upload.id], file.path):
                return file.publish(expected.size, no_clobber=expected.no_clobber), checksum

        found, checksum = await self._run("write", upload, complete)
        self._locks.pop(upload.id, None)
        return replace(info_of(upload.key, found), checksum=checksum)

    async def abort(self, upload: Upload) -> None:
        """Remove the temporary file and the notes."""
        await self._run("clean up", upload, PartialFile.remove)
        self._locks.pop(upload.id, None)

    async def _run(self, action: str, upload: Upload, act: Callable[[PartialFile], T]) -> T:
        """Do something with the file of an upload."""

        def run(path: Path) -> T:
            return act(PartialFile(path, upload.id, self._folder.durable))

        return await act_on_target(self._folder, upload.key, action, run)


@contextmanager
def _nobody_else(lock: Lock, path: Path) -> Generator[None]:
    """Wait for a thread that was given up, and may still be writing; StalledError if it stays."""
    if not lock.acquire(timeout=_LATE):
        raise StalledError(f"cannot write {path}: the disk does not answer")
    try:
        yield
    finally:
        lock.release()
