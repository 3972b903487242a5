from __future__ import annotations

import array
import os
from typing import TYPE_CHECKING

from transfer.checksums import Algorithm, checksum_of
from transfer.files import FileSource
from transfer.model import Span
from transfer.sources import BytesSink, BytesSource, NullSink, checksum_of_source
from transfer.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


async def test_bytes_can_be_poured_again_and_again():
    source = BytesSource(b"content")
    for _ in range(2):
        sink, tally = BytesSink(), Tally(Algorithm.CRC32)
        await source.pour(sink, tally)
        assert bytes(sink.data) == b"content"
        assert tally.moved == source.size == 7
        assert tally.checksum == checksum_of(Algorithm.CRC32, b"content")


async def test_size_is_in_bytes_whatever_the_items_are():
    source = BytesSource(array.array("I", [1, 2]))
    tally = Tally()
    await source.pour(NullSink(), tally)
    assert source.size == tally.moved == 8


async def test_sink_takes_bytes_in_any_order():
    sink = BytesSink()
    await sink.write(3, b"def")
    await sink.write(0, b"abc")
    await sink.write(1, b"B")
    assert bytes(sink.data) == b"aBcdef"


async def test_bytes_that_are_still_missing_are_zeros():
    sink = BytesSink()
    await sink.write(2, b"cd")
    await sink.write(6, b"gh")
    assert bytes(sink.data) == b"\0\0cd\0\0gh"


async def test_source_in_memory_is_hashed_by_reading_it():
    found = await checksum_of_source(BytesSource(b"content"), Algorithm.SHA256)
    assert found == checksum_of(Algorithm.SHA256, b"content")


async def test_source_in_a_file_is_hashed_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"some content here", 0)
    source = FileSource(fd, Span(5, 12))
    monkeypatch.setattr(FileSource, "pour", None)
    found = await checksum_of_source(source, Algorithm.CRC32)
    os.close(fd)
    assert found == checksum_of(Algorithm.CRC32, b"content")


def test_nothing_of_it_lies_in_a_file():
    assert BytesSource(b"").extent is BytesSink().extent is NullSink().extent is None
