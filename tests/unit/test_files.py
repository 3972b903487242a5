from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from transfer import files
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import (
    DiskFullError,
    LocalError,
    NotFoundError,
    SourceChangedError,
    TransferError,
)
from transfer.files import (
    FileSink,
    FileSource,
    hash_extent,
    hash_range,
    local_errors,
    read_chunk,
    read_exactly,
    translated,
    write_fully,
)
from transfer.model import Span
from transfer.sizes import KIB
from transfer.sources import BytesSink
from transfer.store import Extent
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BODY = bytes(range(256)) * 40


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(BODY)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def test_reading_is_by_position(fd: int):
    assert read_exactly(fd, 10, 256) == BODY[256:266]
    assert read_exactly(fd, 10, 5) == BODY[5:15]
    assert read_exactly(fd, 0, 10**9) == b""


def test_file_that_ends_too_early_has_changed(fd: int):
    with pytest.raises(SourceChangedError, match=f"ends at byte {len(BODY)}, bytes up to"):
        read_exactly(fd, 20, len(BODY) - 10)


def test_short_reads_are_put_together(fd: int, monkeypatch: pytest.MonkeyPatch):
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: pread(fd, min(size, 7), offset))
    assert read_exactly(fd, 100, 3) == BODY[3:103]


def test_pieces_are_written_one_after_the_other(fd: int):
    write_fully(fd, [b"one", memoryview(b"two"), bytearray(b"three"), b""], 100)
    assert os.pread(fd, len(BODY), 0) == BODY[:100] + b"onetwothree" + BODY[111:]


def test_short_writes_are_gone_on_with(fd: int, monkeypatch: pytest.MonkeyPatch):
    pwritev = os.pwritev

    def short(fd: int, views: Sequence[memoryview], offset: int) -> int:
        data = b"".join(views)[:4]
        return pwritev(fd, [data], offset)

    monkeypatch.setattr(os, "pwritev", short)
    write_fully(fd, [b"abc", b"defgh", b"ij"], 2)
    assert os.pread(fd, 13, 0) == BODY[:2] + b"abcdefghij" + BODY[12:13]


def test_more_pieces_than_one_call_takes(fd: int):
    write_fully(fd, [b"x"] * 3000, 0)
    assert os.pread(fd, 3001, 0) == b"x" * 3000 + BODY[3000:3001]


def test_no_call_writes_so_much_that_the_file_gets_huge_pages(
    fd: int, monkeypatch: pytest.MonkeyPatch
):
    sizes = []
    pwritev = os.pwritev

    def noted(file: int, pieces: Sequence[memoryview], offset: int) -> int:
        sizes.append(sum(map(len, pieces)))
        return pwritev(file, pieces, offset)

    monkeypatch.setattr(os, "pwritev", noted)
    pieces = [os.urandom(size) for size in (100_000, 700_000, 0, 62_144, 262_144, 1)]
    write_fully(fd, pieces, 5)
    whole = b"".join(pieces)
    assert os.pread(fd, len(whole) + 9, 5) == whole
    assert max(sizes) == 256 * KIB
    assert len(sizes) == -(-len(whole) // (256 * KIB))


def test_chunk_is_cut_at_the_end_of_the_extent(fd: int):
    tally = Tally()
    assert read_chunk(Extent(fd, Span(10, 30)), 15, 100, tally) == BODY[25:30]
    assert tally.moved == 5


def test_check_is_made_before_the_last_bytes_are_let_go(fd: int):
    calls = []
    extent = Extent(fd, Span(0, 20), lambda: calls.append(1))
    read_chunk(extent, 0, 19, Tally())
    assert not calls
    read_chunk(extent, 19, 19, Tally())
    assert calls


def test_bytes_that_fail_the_check_are_not_counted(fd: int):
    def check() -> None:
        raise SourceChangedError("changed")

    tally = Tally()
    with pytest.raises(SourceChangedError):
        read_chunk(Extent(fd, Span(0, 20), check), 0, 20, tally)
    assert tally.moved == 0


async def test_source_is_poured_into_memory_and_again(fd: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "CHUNK", 1000)
    source = FileSource(fd, Span(100, 5000))
    for _ in range(2):
        sink, tally = BytesSink(), Tally(Algorithm.CRC32C)
        await source.pour(sink, tally)
        assert bytes(sink.data) == BODY[100:5000]
        assert tally.moved == source.size == 4900
        assert tally.checksum == checksum_of(Algorithm.CRC32C, BODY[100:5000])


async def test_source_is_poured_into_a_file_at_its_place(
    fd: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(files, "CHUNK", 1000)
    target = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    try:
        await FileSource(fd, Span(100, 5000)).pour(FileSink(target, Span(50, 4950)), Tally())
        assert os.pread(target, 10_000, 0) == bytes(50) + BODY[100:5000]
    finally:
        os.close(target)


async def test_file_behind_source_and_sink_may_be_used_directly(fd: int):
    def check() -> None:
        """Not called here."""

    assert FileSource(fd, Span(1, 5), check).extent == Extent(fd, Span(1, 5), check)
    assert FileSink(fd, Span(2, 6)).extent == Extent(fd, Span(2, 6))


async def test_sink_counts_offsets_from_its_start(fd: int):
    await FileSink(fd, Span(100, 200)).write(5, b"here")
    assert os.pread(fd, 4, 105) == b"here"


@pytest.mark.parametrize(
    "span", [Span(0, 0), Span(5, 6), Span(100, 5000), Span(0, len(BODY)), Span(0, 3000)]
)
async def test_range_is_hashed_in_pieces(fd: int, span: Span, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "CHUNK", 700)
    monkeypatch.setattr(files, "HASHED_AT_ONCE", 1500)
    expected = checksum_of(Algorithm.CRC32C, BODY[span.start : span.stop])
    assert await hash_extent(Extent(fd, span), Algorithm.CRC32C) == expected
    assert await anyio.to_thread.run_sync(hash_range, fd, span, Algorithm.CRC32C) == expected


async def test_range_is_hashed_where_reads_are_short(fd: int, monkeypatch: pytest.MonkeyPatch):
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, to, at: preadv(fd, [to[0][:7]], at))
    expected = checksum_of(Algorithm.MD5, BODY[3:203])
    assert await hash_extent(Extent(fd, Span(3, 203)), Algorithm.MD5) == expected


async def test_file_that_is_too_short_to_be_hashed_has_changed(fd: int):
    extent = Extent(fd, Span(0, len(BODY) + 1))
    with pytest.raises(SourceChangedError, match=f"ends at byte {len(BODY)}"):
        await hash_extent(extent, Algorithm.CRC32C)


async def test_large_range_is_hashed_in_several_trips_to_a_thread(
    fd: int, monkeypatch: pytest.MonkeyPatch
):
    """One trip cannot be cancelled: so none may be long."""
    trips = []
    run_sync = anyio.to_thread.run_sync

    async def counted(call: Any, *args: Any) -> Any:
        trips.append(args[1:3])
        return await run_sync(call, *args)

    monkeypatch.setattr(files, "HASHED_AT_ONCE", 4000)
    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
    await hash_extent(Extent(fd, Span(100, 9000)), Algorithm.CRC32C)
    assert trips == [(100, 4100), (4100, 8100), (8100, 9000)]


@pytest.mark.parametrize(
    ("number", "kind", "hint"),
    [
        (errno.ENOENT, NotFoundError, ""),
        (errno.ENOSPC, DiskFullError, "space"),
        (errno.EDQUOT, DiskFullError, "space"),
        (errno.EACCES, LocalError, "permissions"),
        (errno.EROFS, LocalError, "permissions"),
        (errno.EISDIR, LocalError, "file"),
        (errno.EMFILE, LocalError, "ulimit"),
        (errno.EIO, LocalError, ""),
    ],
)
def test_errors_of_the_system_are_translated(number: int, kind: type[TransferError], hint: str):
    error = translated(OSError(number, "ignored"), "write", "/a/b")
    assert type(error) is kind
    assert error.message == f"cannot write /a/b: {os.strerror(number)}"
    assert hint in error.hint
    assert bool(error.hint) is bool(hint)


def test_error_without_a_number_shows_its_text():
    assert translated(OSError("odd"), "read", "/a").message == "cannot read /a: odd"


def test_our_own_errors_pass_the_translation():
    ours = SourceChangedError("changed")
    with pytest.raises(SourceChangedError) as caught, local_errors("read", "/a"):
        raise ours
    assert caught.value is ours


def test_block_translates_and_keeps_the_cause():
    with pytest.raises(NotFoundError) as caught, local_errors("read", "/a"):
        raise FileNotFoundError(errno.ENOENT, "no")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


# --- from file to file


@pytest.fixture
def other(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


async def copied(source: Extent, sink: Extent) -> Tally:
    tally = Tally(Algorithm.CRC32C)
    await files.copy_extent(source, sink, tally)
    return tally


@pytest.mark.parametrize("kernel", [True, False])
async def test_a_range_is_copied_to_its_place(fd: int, other: int, kernel, monkeypatch):
    if not kernel:

        def refuse(*_: int) -> int:
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    monkeypatch.setattr(files, "CHUNK", 1000)
    monkeypatch.setattr(files, "HASHED_AT_ONCE", 3000)
    tally = await copied(Extent(fd, Span(10, 9010)), Extent(other, Span(5, 9005)))
    assert os.pread(other, 10**6, 0) == bytes(5) + BODY[10:9010]
    assert (tally.moved, tally.checksum) == (9000, checksum_of(Algorithm.CRC32C, BODY[10:9010]))


async def test_holes_stay_holes_but_never_keep_what_was_there(tmp_path: Path, other: int):
    size = 8 * 1024 * 1024
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 10)
        file.write(b"0123456789")
    fd = os.open(path, os.O_RDONLY)
    os.ftruncate(other, size)
    span = Span(0, size)
    try:
        await copied(Extent(fd, span), Extent(other, span))
        assert os.pread(other, size, 0) == path.read_bytes()
        assert os.fstat(other).st_blocks * 512 <= 1024 * 1024
        os.pwrite(other, b"rubbish", 1000)
        await copied(Extent(fd, span), Extent(other, span))
        assert os.pread(other, size, 0) == path.read_bytes()
    finally:
        os.close(fd)


@pytest.mark.parametrize("size", [0, 5000])
async def test_a_source_that_was_changed_is_noticed_at_the_end(fd: int, other: int, size: int):
    def check() -> None:
        raise SourceChangedError("it was")

    with pytest.raises(SourceChangedError):
        await copied(Extent(fd, Span(0, size), check), Extent(other, Span(0, size)))


async def test_a_file_that_ends_before_its_range_has_changed(fd: int, other: int):
    with pytest.raises(SourceChangedError, match="shorter"):
        await copied(Extent(fd, Span(0, len(BODY) + 1)), Extent(other, Span(0, len(BODY) + 1)))


@pytest.fixture
def unreadable() -> Iterator[Extent]:
    """A file that is open, and fails when it is read: the memory of nobody."""
    fd = os.open("/proc/self/mem", os.O_RDONLY)
    yield Extent(fd, Span(0, 100))
    os.close(fd)


async def test_what_cannot_be_read_is_no_trouble_of_the_network(unreadable: Extent, tmp_path: Path):
    wanted = "cannot read the source: Input/output error"
    with pytest.raises(LocalError, match=wanted):
        await hash_extent(unreadable, Algorithm.CRC32C)
    with pytest.raises(LocalError, match=wanted):
        read_chunk(unreadable, 0, 10, Tally())
    fd = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    with pytest.raises(LocalError, match=wanted):
        await FileSource(unreadable.fd, unreadable.span).pour(FileSink(fd, Span(0, 100)), Tally())
    os.close(fd)
