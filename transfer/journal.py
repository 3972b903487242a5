"""What is written down of an upload, so that a later run can go on with it.

One file for each pair of source and target, in the platform's state folder, for
this user only. The first line says what is being moved and by which upload, each
further line adds a part that has arrived; every line carries a checksum of
itself, so that a torn or damaged one is noticed and merely costs a part. There
is no URL with a query, no credential and no token in it. The store's own list of
parts decides what is there: this is a hint, and the digests to compare with.

Who has the file locked owns the upload. The lock goes with its process; for a
folder that several machines share, the owner touches the file, and is taken for
alive as long as that is recent. Taking over puts a new file in the place of the
old one, which the former owner notices before it does anything that counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import time
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_state_path

from transfer.checksums import Algorithm, Checksum
from transfer.errors import BadKeyError, BusyError, LocalError, NotFoundError, TakenOverError
from transfer.files import local_errors
from transfer.model import Receipt, Upload

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from transfer.settings import Settings

VERSION = 1
# An owner on another machine that was silent for so long, in seconds, is dead.
LEASE = 30.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process; `started` tells it from a later one with the same number."""

    host: str
    pid: int
    started: float

    @classmethod
    def myself(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), _START)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of an upload; `pending_abort` means that only giving it up is left.

    `version` is that of a source in a store, None for a file. `settings` are
    the flags that the run had and a resumption needs, by the names of fields.
    `owed` are earlier uploads of the same pair that could not be given up yet.
    """

    source: str
    target: str
    size: int
    upload: Upload
    owner: Owner
    created: float
    version: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    pending_abort: bool = False
    owed: tuple[Upload, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    touched: float = 0.0

    @property
    def id(self) -> str:
        """The name of the record."""
        return record_id(self.source, self.target)

    @property
    def arrived(self) -> int:
        """Bytes of the parts that have arrived."""
        return sum(receipt.size for receipt in self.receipts)


class Journal:
    """The records in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def from_settings(cls, settings: Settings) -> Journal:
        """The records of this user."""
        root = Path(settings.state_dir) if settings.state_dir else user_state_path("transfer")
        return cls(root / "uploads")

    def claim(self, source: str, target: str, *, take_over: bool = False) -> Entry:
        """Lock the record of a pair, existing or not; BusyError if somebody else has it."""
        path = self._folder / f"{record_id(source, target)}.journal"
        with _keeping(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Entry.claim(path, take_over=take_over)

    def records(self) -> Iterator[tuple[Record, bool]]:
        """Yield all records, each with whether its owner is alive."""
        for path, record in self._read_all():
            yield record, is_held(path, record)

    def known(self) -> dict[str, Record]:
        """Return all records by their names; none where they cannot be read."""
        try:
            return {record.id: record for _, record in self._read_all()}
        except OSError:
            return {}

    def _read_all(self) -> Iterator[tuple[Path, Record]]:
        for path in sorted(self._folder.glob("*.journal")):
            record = _read(path)
            if record is not None:
                yield path, record


@contextmanager
def _keeping(path: Path) -> Generator[None]:
    """Translate OSError; a place that cannot be is no source or target that is missing."""
    try:
        with local_errors("keep a record in", str(path)):
            yield
    except (BadKeyError, NotFoundError) as error:
        raise LocalError(error.message) from error


class Entry:
    """A record that this process owns, until it is closed."""

    def __init__(self, path: Path, fd: int, record: Record | None) -> None:
        self._path = path
        self._fd = fd
        self.record = record

    @classmethod
    def claim(cls, path: Path, *, take_over: bool) -> Entry:
        """Lock the file of a record; see `Journal.claim`."""
        while True:
            fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
            record = _read(path)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(fd)
                if not take_over:
                    raise busy(path, record) from None
                fd = _replace(path, b"")
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return cls(path, fd, record)
            if not _is_current(path, fd):
                os.close(fd)  # somebody removed or replaced it in between
                continue
            if not take_over and record is not None and _alive_elsewhere(record):
                os.close(fd)
                raise busy(path, record)
            return cls(path, fd, record)

    def begin(self, record: Record) -> None:
        """Write the record anew, whole and durable, for an upload that has just been opened."""
        lines = [_line(_header(record)), *(_line(_part(r)) for r in record.receipts)]
        self._write_anew(b"".join(lines))
        self.record = record

    def note(self, receipt: Receipt) -> None:
        """Add a part that has arrived."""
        if self.record is None:
            return
        with _keeping(self._path):
            self._check_owned()
            os.write(self._fd, _line(_part(receipt)))
        self.record = replace(self.record, receipts=(*self.record.receipts, receipt))

    def touch(self) -> None:
        """Say that the owner is alive; TakenOverError if it is not the owner any more."""
        with _keeping(self._path):
            self._check_owned()
            os.utime(self._fd)

    def owe(self, uploads: Sequence[Upload]) -> None:
        """Note that these are to be given up, and that nothing else is left to do."""
        if self.record is None:
            return
        if not uploads:
            self._empty()
            return
        first, *others = uploads
        self.begin(
            replace(self.record, upload=first, owed=tuple(others), pending_abort=True, receipts=())
        )

    def forget(self) -> None:
        """The upload is complete or gone: remove the record, unless others are still owed."""
        with suppress(TakenOverError), local_errors("clean up", str(self._path)):
            if self.record is not None and self.record.owed:
                self.owe(self.record.owed)
                return
            self._check_owned()
            self._path.unlink()
        self.record = None

    def _empty(self) -> None:
        """Keep the lock, and nothing written under it."""
        self._write_anew(b"")
        self.record = None

    def _write_anew(self, content: bytes) -> None:
        with _keeping(self._path):
            self._check_owned()
            fd = _replace(self._path, content)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        """Give up the lock; an empty record is removed."""
        try:
            if self.record is None:
                self.forget()
        finally:
            os.close(self._fd)

    def end(self) -> None:
        """Remove the record, unless others are still owed, and give up the lock."""
        try:
            self.forget()
        finally:
            os.close(self._fd)

    def _check_owned(self) -> None:
        if not _is_current(self._path, self._fd):
            raise TakenOverError(
                "the transfer was taken over by another process",
                hint="let it finish there",
            )


def record_id(source: str, target: str) -> str:
    """Return the name of the record of a pair: the same on every run."""
    return hashlib.sha256(f"{source}\0{target}".encode(errors="surrogateescape")).hexdigest()[:12]


def is_held(path: Path, record: Record) -> bool:
    """Tell whether the owner of a record is alive."""
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return _alive_elsewhere(record)


def busy(path: Path, record: Record | None) -> BusyError:
    """Return the error for an upload that somebody else is at."""
    who = f"{record.owner}, alive {time.time() - record.touched:.0f} s ago" if record else path.name
    return BusyError(
        f"the same transfer is under way already: {who}",
        hint="wait for it, or take it over with --take-over",
    )


_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
_START = time.time()


def _alive_elsewhere(record: Record) -> bool:
    """Whether an owner on another machine, whose lock we may not see, was heard of lately."""
    foreign = record.owner.host != socket.gethostname()
    return foreign and time.time() - record.touched < LEASE


def _is_current(path: Path, fd: int) -> bool:
    mine = os.fstat(fd)
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _replace(path: Path, content: bytes) -> int:
    """Put a new file in the place of a record, at once; return its descriptor."""
    temporary = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
    fd = os.open(temporary, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, content)
        os.fsync(fd)
        temporary.replace(path)
    except OSError:
        os.close(fd)
        temporary.unlink(missing_ok=True)
        raise
    return fd


def _line(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _read(path: Path) -> Record | None:
    """Return a record; None for one that is empty, damaged in its head, or of another version."""
    try:
        lines = path.read_bytes().splitlines()
        touched = path.stat().st_mtime
    except FileNotFoundError:
        return None
    found = [content for content in map(_parsed, lines) if content is not None]
    if not found or found[0].get("version") != VERSION:
        return None
    try:
        record = _record(found[0], touched)
        receipts = {item["number"]: _receipt(item) for item in found[1:]}
    except (KeyError, TypeError, ValueError):
        return None
    return replace(record, receipts=tuple(receipts[number] for number in sorted(receipts)))


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    if checksum != f"{zlib.crc32(text):08x}".encode():
        return None
    content = json.loads(text)
    return content if isinstance(content, dict) else None


def _header(record: Record) -> dict[str, Any]:
    owner = record.owner
    return {
        "version": VERSION,
        "source": record.source,
        "target": record.target,
        "size": record.size,
        "source_version": record.version,
        "upload": _upload(record.upload),
        "owed": [_upload(upload) for upload in record.owed],
        "owner": {"host": owner.host, "pid": owner.pid, "started": owner.started},
        "created": record.created,
        "settings": dict(record.settings),
        "pending_abort": record.pending_abort,
    }


def _record(content: dict[str, Any], touched: float) -> Record:
    owner, size = content["owner"], content["size"]
    return Record(
        content["source"],
        content["target"],
        size,
        _read_upload(content["upload"], size),
        Owner(owner["host"], owner["pid"], owner["started"]),
        content["created"],
        content["source_version"],
        tuple(content["settings"].items()),
        content["pending_abort"],
        tuple(_read_upload(upload, size) for upload in content.get("owed", ())),
        touched=touched,
    )


def _upload(upload: Upload) -> dict[str, Any]:
    return {
        "key": upload.key,
        "id": upload.id,
        "part_size": upload.part_size,
        "algorithm": upload.algorithm,
    }


def _read_upload(content: dict[str, Any], size: int) -> Upload:
    algorithm = content["algorithm"]
    return Upload(
        content["key"],
        content["id"],
        size,
        content["part_size"],
        Algorithm(algorithm) if algorithm else None,
    )


def _part(receipt: Receipt) -> dict[str, Any]:
    return {
        "number": receipt.number,
        "size": receipt.size,
        "etag": receipt.etag,
        "checksum": str(receipt.checksum) if receipt.checksum else None,
    }


def _receipt(content: dict[str, Any]) -> Receipt:
    text = content["checksum"]
    return Receipt(
        content["number"],
        content["size"],
        content["etag"],
        Checksum.parse(text) if text else None,
    )
