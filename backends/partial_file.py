"""A file that is not yet one: temporary name, notes of what arrived, publication.

All of it is blocking; `backends.local.store` calls it in threads. Beside the target
`model.bin` lie, until it is whole, `.transfer-<id>.partial` with the bytes and
`.transfer-<id>.receipts` with one line of JSON for each part that is there.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.linux import reserve
from transfer.checksums import Checksum
from transfer.errors import (
    DiskFullError,
    ExistsError,
    IntegrityError,
    LocalError,
    SourceChangedError,
    UploadGoneError,
)
from transfer.files import hash_range
from transfer.model import Receipt, Span
from transfer.sizes import format_size

if TYPE_CHECKING:
    from pathlib import Path

_OURS = re.compile(r"\.transfer-[0-9a-f]{32}\.(partial|receipts)")
_ID = re.compile(r"[0-9a-f]{32}")


def is_ours(name: str) -> bool:
    """Tell whether a file name is that of an unfinished transfer."""
    return _OURS.fullmatch(name) is not None


def temporary_of(path: Path, name: str) -> Path:
    """Return where the bytes of a file are before it has its name."""
    return path.with_name(temporary_name(name))


def temporary_name(name: str) -> str:
    """Return the name that a file has before it has its own; `name` is of 32 hexadecimal digits."""
    return f".transfer-{name}.partial"


def aside_name(name: str, nonce: str) -> str:
    """Return where an old file waits while a new one takes its name; never taken for a leftover."""
    short = os.fsencode(name)[:200].decode(errors="ignore")
    return f"{short}.before-{nonce[:8]}"


@dataclass(frozen=True, slots=True)
class PartialFile:
    """The unfinished file of one upload; `path` is what it will be."""

    path: Path
    id: str
    durable: bool

    def __post_init__(self) -> None:
        """Raise UploadGoneError for an id that we never gave out."""
        if not _ID.fullmatch(self.id):
            raise UploadGoneError(f"{self.id[:40]!r} is no upload of this store")

    @property
    def temporary(self) -> Path:
        """Where the bytes are."""
        return temporary_of(self.path, self.id)

    @property
    def notes(self) -> Path:
        """Where the receipts are."""
        return self.path.with_name(f".transfer-{self.id}.receipts")

    def create(self, size: int, *, no_clobber: bool, with_room: bool) -> None:
        """Make the file with its full length, perhaps with room for it, and the folders above."""
        make_folders(self.path.parent, durable=self.durable)
        if self.path.is_dir():
            raise LocalError(f"cannot write {self.path}: it is a folder", hint="name a file in it")
        if no_clobber and self.path.exists():
            raise ExistsError(f"{self.path} exists")
        self._check_space(size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.temporary, flags, permissions_until_shown(mode_of(self.path)))
        try:
            (reserve if with_room else os.ftruncate)(fd, size)
        except OSError:
            self.remove()
            raise
        finally:
            os.close(fd)

    def open(self) -> int:
        """Return a descriptor to write to; UploadGoneError if the upload is none any more."""
        return self._open(os.O_WRONLY)

    def _open(self, access: int) -> int:
        try:
            return os.open(self.temporary, access | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise self._gone() from None

    def begin(self, number: int) -> int:
        """Return a descriptor to write a part to; what was noted of it is in doubt from now on."""
        fd = self.open()
        if self.notes.exists():
            self._append([number])
        return fd

    def end(self, fd: int, receipt: Receipt) -> None:
        """Close the descriptor of a part that is there, and write that down.

        On a network's disk, closing is when bytes are sent, and errors told.
        """
        os.close(fd)
        self.note(receipt)

    def note(self, receipt: Receipt) -> None:
        """Write down that a part is there."""
        self._append([receipt.number, receipt.size, str(receipt.checksum or "")])

    def _append(self, fields: list[int | str]) -> None:
        """One short append, so lines do not mix."""
        line = json.dumps(fields) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.notes, flags, 0o600)
        try:
            os.write(fd, line.encode())
        finally:
            os.close(fd)

    def receipts(self, part_size: int, *, reread: bool) -> list[Receipt]:
        """Return the parts that are there, by number.

        A part that was begun to be written again since it was noted is read, and
        with `reread` all are: what has another checksum than was noted is left out.
        """
        if not self.temporary.exists():
            raise self._gone()
        noted, doubtful = self._read_notes()
        if reread:
            doubtful = set(noted)
        receipts = [noted[number] for number in sorted(noted)]
        if not doubtful:
            return receipts
        fd = os.open(self.temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            return [
                r
                for r in receipts
                if r.number not in doubtful or _has(fd, r, (r.number - 1) * part_size)
            ]
        finally:
            os.close(fd)

    def _read_notes(self) -> tuple[dict[int, Receipt], set[int]]:
        """Return the last receipt of each part, and the parts begun again since then.

        A line that a crash cut short does not count.
        """
        found: dict[int, Receipt] = {}
        doubtful: set[int] = set()
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        for line in lines:
            with suppress(ValueError):
                number, *more = json.loads(line)
                doubtful.add(number)
                if more:
                    size, text = more
                    checksum = Checksum.parse(text) if text else None
                    found[number] = Receipt(number, size, etag_of(checksum), checksum)
                    doubtful.discard(number)
        return found, doubtful & found.keys()

    def check_content(self, wanted: Checksum) -> None:
        """Raise IntegrityError unless the whole file has this checksum."""
        fd = os.open(self.temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = hash_range(fd, Span(0, os.fstat(fd).st_size), wanted.algorithm)
        finally:
            os.close(fd)
        if found != wanted:
            raise IntegrityError(
                f"{self.path}: the content has checksum {found.shown}, not {wanted.shown}"
            )

    def publish(self, size: int | None, *, no_clobber: bool) -> os.stat_result:
        """Make the file durable and give it its name: file, rename, folder, in this order."""
        fd = self._open(os.O_RDONLY)
        try:
            found = os.fstat(fd)
            if found.st_size != size:
                raise IntegrityError(
                    f"{self.path}: {found.st_size} bytes arrived, {size} were expected"
                )
            if self.durable:
                os.fsync(fd)
            replaced = mode_of(self.path)
            if replaced is not None:
                keep_permissions(fd, replaced)
        finally:
            os.close(fd)
        if no_clobber:
            self._link()
        else:
            self.temporary.replace(self.path)
        if self.durable:
            sync_folder(self.path.parent)
        self.remove()
        return found

    def remove(self) -> None:
        """Take away what is unfinished; never the file itself."""
        self.temporary.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _link(self) -> None:
        """Give the file its name only if that is free; a rename would replace."""
        try:
            os.link(self.temporary, self.path)
        except FileExistsError:
            raise ExistsError(f"{self.path} exists") from None

    def _check_space(self, size: int) -> None:
        disk = os.statvfs(self.path.parent)
        free = disk.f_bavail * disk.f_frsize
        if size > free:
            raise DiskFullError(
                f"cannot write {self.path}: it needs {format_size(size)}, {format_size(free)} are"
                " free",
                hint="free some space and run it again; `transfer ps` shows what others keep",
            )

    def _gone(self) -> UploadGoneError:
        return UploadGoneError(f"the upload {self.id} of {self.path} is not open any more")


def _has(fd: int, receipt: Receipt, start: int) -> bool:
    if receipt.checksum is None:
        return False
    try:
        found = hash_range(fd, Span(start, start + receipt.size), receipt.checksum.algorithm)
    except SourceChangedError:
        return False
    return found == receipt.checksum


def etag_of(checksum: Checksum | None) -> str:
    """Return what a part of a local upload has for an ETag."""
    return f'"{checksum.value.hex()}"' if checksum else ""


def mode_of(path: Path | str) -> int | None:
    """Return the mode of what is there, behind links; None for nothing that can be looked at."""
    if not os.access(path, os.F_OK):  # as a rule, and at less cost than an exception
        return None
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - text, for many
    except OSError:
        return None


def permissions_until_shown(replaced: int | None) -> int:
    """Return those of a temporary file: what replaces something private is private before, too."""
    return 0o666 if replaced is None else 0o600


def keep_permissions(file: int | str, mode: int) -> None:
    """Give a file the permissions of the one that it replaces."""
    with suppress(OSError):  # some file systems have none
        os.chmod(file, mode & 0o777)  # noqa: PTH101 - a descriptor, or text


def make_folders(folder: Path, *, durable: bool) -> None:
    """Make a folder and those above it; what was made survives a crash if durable."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if durable:
            sync_folder(path.parent)


def sync_folder(folder: Path | str) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
