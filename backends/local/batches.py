"""Small files by the many: read in one go, written under other names, made to last together.

Nothing has its name before its bytes are on the disk. Files of a batch are
written, then the file system is synced once for all of them (or each file, where
the system cannot do that), then they are renamed and their folders synced.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from backends import linux
from backends.local.folder import LocalFolder, version_of
from backends.partial_file import (
    is_ours,
    keep_permissions,
    make_folders,
    mode_of,
    permissions_until_shown,
    sync_folder,
    temporary_name,
)
from transfer.errors import LocalError, SourceChangedError, TransferError
from transfer.files import WRITTEN_AT_ONCE, local_errors, translated
from transfer.quick import aside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from transfer.checksums import Algorithm, Checksum
    from transfer.model import Intent, ObjectInfo
    from transfer.quick import Batcher, BatchReader, BatchWriter, Exchanges, Steps
    from transfer.tally import Tally

T = TypeVar("T")

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
# A file in the page cache takes a tenth of so many seconds, and as much for each of so many
# bytes; one on a network's disk takes more.
_SLOW = 0.0004
_AS_MUCH = 256 * 1024
# The first digits of a temporary name tell one batch from all others, the rest its files.
_MARK = 24
# So few files are cheaper synced one by one than with all else on their disk.
_FEW = 4


class LocalBatches:
    """The facet of a folder; `together` syncs a batch at once, where files are to last."""

    def __init__(self, folder: LocalFolder, *, together: bool) -> None:
        self._batcher = LocalBatcher(folder, together=together)

    async def batcher(self) -> Batcher | None:
        """Return always the same."""
        return self._batcher


class LocalBatcher:
    """A folder, and what is learnt of it on the way, which each process does by itself."""

    def __init__(self, folder: LocalFolder, *, together: bool) -> None:
        self._folder = folder
        self._together = together
        self._files = _Files()
        self._folders: set[str] = set()

    def __reduce__(self) -> tuple[Callable[..., LocalBatcher], tuple[LocalFolder, bool]]:
        return _batcher, (self._folder, self._together)

    def reader(self, exchanges: Exchanges) -> BatchReader:
        """Return a reader."""
        del exchanges
        return _Reader(self._folder, self._files)

    def writer(self, exchanges: Exchanges, intent: Intent) -> BatchWriter:
        """Return a writer."""
        del exchanges
        mark = intent.nonce[:_MARK]
        return _Writer(self._folder, self._files, self._folders, mark, together=self._together)

    def clear(self, intent: Intent, keys: Iterable[str]) -> None:
        """Remove what has the temporary name of a file, in the folders of the keys."""
        begin = temporary_name(intent.nonce).partition(intent.nonce)[0] + intent.nonce[:_MARK]
        for folder in {folder for key in keys if (folder := self._folder_of(key)) is not None}:
            with suppress(OSError):  # nobody will do it better
                for path in Path(folder).iterdir():
                    if path.name.startswith(begin) and is_ours(path.name):
                        _remove(str(path))

    def _folder_of(self, key: str) -> str | None:
        """Return where the file of a key is, None if it cannot be anywhere."""
        with suppress(TransferError):
            return self._folder.file_of(key).rpartition("/")[0] or "/"
        return None


def _batcher(folder: LocalFolder, together: bool) -> LocalBatcher:  # noqa: FBT001 - for pickle
    return LocalBatcher(folder, together=together)


class _Files:
    """Reads and writes small files, aside where that has been slow."""

    def __init__(self) -> None:
        self._usual = 0.0

    @property
    def slow(self) -> bool:
        """Whether others had better go on meanwhile."""
        return self._usual > _SLOW

    def run(self, action: Callable[[], T], size: int) -> Steps[T]:
        """Do something with a file of so many bytes, and learn how long it takes."""
        timed = partial(self._timed, action, size)
        return (yield from aside(timed)) if self.slow else timed()

    def _timed(self, action: Callable[[], T], size: int) -> T:
        began = time.perf_counter()
        result = action()
        took = (time.perf_counter() - began) / (1 + size / _AS_MUCH)
        self._usual += (took - self._usual) / 8
        return result


class _Reader:
    def __init__(self, folder: LocalFolder, files: _Files) -> None:
        self._folder = folder
        self._files = files

    def read(
        self, info: ObjectInfo, room: memoryview, tally: Tally
    ) -> Steps[tuple[memoryview, Checksum | None]]:
        del tally
        room = room[: info.size + 1]
        yield from self._files.run(partial(self._read, info, room), info.size)
        return room[: info.size], None

    def _read(self, info: ObjectInfo, room: memoryview) -> None:
        path = self._folder.file_of(info.key)
        with local_errors("read", path):
            fd = os.open(path, _READ)
            try:
                count = os.readv(fd, [room])
                # After the last byte: what is the same as when it was listed was so all the time.
                found = os.fstat(fd)
            finally:
                os.close(fd)
        if not stat.S_ISREG(found.st_mode) or version_of(found) != info.version:
            raise SourceChangedError(f"{path} was changed since it was listed")
        if count != info.size:
            raise SourceChangedError(f"{path} was changed while it was read")


class _Written(NamedTuple):
    """Paths as text: objects for them would cost as much as the file.

    `replaced` is the mode of what is there already.
    """

    key: str
    folder: str
    temporary: str
    path: str
    replaced: int | None


class _Writer:
    algorithm: Algorithm | None = None

    def __init__(
        self, folder: LocalFolder, files: _Files, folders: set[str], mark: str, *, together: bool
    ) -> None:
        self._folder = folder
        self._files = files
        self._folders = folders
        self._together = together
        self._mark = mark
        self._written: list[_Written] = []
        self._disks = _Disks() if together and folder.durable else None
        self._count = self._shown = 0

    def write(
        self, key: str, data: memoryview, checksum: Checksum, tally: Tally
    ) -> Steps[Checksum | None]:
        del checksum, tally
        yield from self._files.run(partial(self._write, key, data), len(data))
        return None

    def _write(self, key: str, data: memoryview) -> None:
        path = self._folder.file_of(key)
        folder = path.rpartition("/")[0] or "/"
        replaced = mode_of(path)
        if replaced is not None and not stat.S_ISREG(replaced):
            raise LocalError(f"{path} is not a regular file")  # the long way knows what to do
        with local_errors("write", path):
            if folder not in self._folders:
                make_folders(Path(folder), durable=self._folder.durable)
                self._folders.add(folder)
            if self._disks is not None:
                self._disks.watch(folder)
            self._count += 1
            name = temporary_name(f"{self._mark}{self._count:08x}")
            written = _Written(key, folder, f"{folder}/{name}", path, replaced)
            sync = self._folder.durable and not self._together
            fd = os.open(written.temporary, _WRITE, permissions_until_shown(replaced))
            try:
                _write_and_close(fd, data, sync=sync)
            except BaseException:
                _remove(written.temporary)
                raise
        self._written.append(written)

    def finish(self, wanted: Callable[[], bool]) -> Steps[dict[str, TransferError]]:
        try:
            return (yield from self._finish(wanted))
        finally:
            for written in self._written[self._shown :]:
                _remove(written.temporary)
            if self._disks is not None:
                self._disks.close()

    def _finish(self, wanted: Callable[[], bool]) -> Steps[dict[str, TransferError]]:
        failed: dict[str, TransferError] = {}
        if self._disks is not None:
            yield from aside(partial(self._sync, failed, self._disks), steady=True)
        show = partial(self._show, failed, wanted)
        if self._files.slow:
            yield from aside(show, steady=True)
        else:
            show()
        if self._folder.durable and self._shown:
            yield from aside(partial(self._sync_folders, failed), steady=True)
        return failed

    def _show(self, failed: dict[str, TransferError], wanted: Callable[[], bool]) -> None:
        """Give each its name, unless it took so long that others do it."""
        for written in self._written:
            if not wanted():
                return
            self._shown += 1
            _act_on(written, failed, _give_name)

    def _sync(self, failed: dict[str, TransferError], disks: _Disks) -> None:
        if len(self._written) <= _FEW or disks.one_by_one:
            for written in self._written:
                _act_on(written, failed, _sync_one)
            return
        try:
            disks.sync()
        except OSError as error:
            failed |= {written.key: _given_up(written, error) for written in self._written}

    def _sync_folders(self, failed: dict[str, TransferError]) -> None:
        for folder in {written.folder for written in self._written}:
            try:
                sync_folder(folder)
            except OSError as error:
                for written in self._written:
                    if written.folder == folder:
                        failed[written.key] = translated(error, "write", written.path)


def _act_on(
    written: _Written, failed: dict[str, TransferError], act: Callable[[_Written], object]
) -> None:
    """Do something with a file that has not failed yet; one that fails is taken away."""
    if written.key not in failed:
        try:
            act(written)
        except OSError as error:
            failed[written.key] = _given_up(written, error)


def _give_name(written: _Written) -> None:
    """Give a file its name, and the permissions of the one that had it."""
    if written.replaced is not None:
        keep_permissions(written.temporary, written.replaced)
    os.replace(written.temporary, written.path)  # noqa: PTH105 - as `_Written` says


def _remove(path: str) -> None:
    """Take away a file under its temporary name; one that stays is nobody's object."""
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - as `_Written` says


def _given_up(written: _Written, error: OSError) -> TransferError:
    """Take away what could not be made to last or to be seen; return the reason."""
    _remove(written.temporary)
    return translated(error, "write", written.path)


def _write_and_close(fd: int, data: memoryview, *, sync: bool) -> None:
    """Write all of a file; closing may tell of an error too."""
    try:
        while data:
            data = data[os.write(fd, data[:WRITTEN_AT_ONCE]) :]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def _sync_one(written: _Written) -> None:
    fd = os.open(written.temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class _Disks:
    """The file systems that a batch has files on, which are synced as a whole.

    Each has a descriptor from before the first write: through one that is opened later,
    the kernel does not tell of an error that somebody else has been told of already.
    """

    def __init__(self) -> None:
        self._syncfs = linux.syncfs()
        # Somewhere in there is a disk of which nobody knows whether it would tell.
        self.one_by_one = self._syncfs is None
        self._folders: set[str] = set()
        self._opened: dict[int, int] = {}

    def watch(self, folder: str) -> None:
        """Learn of a folder that is about to be written to; it may be on a disk of its own."""
        if folder in self._folders or self.one_by_one:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if self._opened.setdefault(os.fstat(fd).st_dev, fd) != fd:
            os.close(fd)
        else:
            self.one_by_one = not linux.tells_of_errors(fd)
        self._folders.add(folder)

    def sync(self) -> None:
        """Have all that was written since last; raises OSError where some of it may not."""
        for fd in self._opened.values():
            if self._syncfs is not None:
                self._syncfs(fd)

    def close(self) -> None:
        """Close what was opened."""
        while self._opened:
            os.close(self._opened.popitem()[1])
