"""Sources and sinks that are not files: bytes at hand, and nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.files import hash_extent
from transfer.tally import Tally

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from transfer.checksums import Algorithm, Checksum
    from transfer.store import Sink, Source


async def checksum_of_source(source: Source, algorithm: Algorithm) -> Checksum:
    """Read a source once, only to hash it."""
    if source.extent is not None:
        return await hash_extent(source.extent, algorithm)
    tally = Tally(algorithm)
    await source.pour(NullSink(), tally)
    if tally.checksum is None:
        raise AssertionError
    return tally.checksum


class BytesSource:
    """Bytes in memory as a source."""

    extent = None
    origin = None

    def __init__(self, data: Buffer) -> None:
        self._data = memoryview(data).cast("B")

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    async def pour(self, sink: Sink, tally: Tally) -> None:
        """Write all bytes into the sink at once."""
        tally.update(self._data)
        await sink.write(0, self._data)


class BytesSink:
    """Collects bytes in memory; grows as needed."""

    extent = None

    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, offset: int, data: Buffer) -> None:
        """Take bytes in at an offset."""
        view = memoryview(data).cast("B")
        end = offset + len(view)
        if end > len(self.data):
            self.data.extend(bytes(end - len(self.data)))
        self.data[offset:end] = view


class NullSink:
    """Takes bytes and keeps none: to hash a source."""

    extent = None

    async def write(self, offset: int, data: Buffer) -> None:
        """Do nothing."""
