from __future__ import annotations

import array

from transfer.checksums import Algorithm, checksum_of
from transfer.sources import BytesSink, BytesSource, NullSink
from transfer.tally import Tally


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
