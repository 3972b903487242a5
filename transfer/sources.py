"""Sources and sinks that are not files: bytes at hand, and nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from transfer.store import Sink
    from transfer.tally import Tally


class BytesSource:
    """Bytes in memory as a source."""

    extent = None

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
