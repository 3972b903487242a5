"""A file of a server that speaks no HTTP, opened for reading: its ranges are sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from transfer.store import Origin

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from transfer.model import ObjectInfo, Span
    from transfer.store import Sink, Source
    from transfer.tally import Tally

    # Pours a range of what was opened into a sink; SourceChangedError if it is another by now.
    Read: TypeAlias = Callable[[ObjectInfo, Span, Sink, Tally], Awaitable[None]]


class RemoteFile:
    """What was opened, and how its store reads it.

    `origin` says of a range how the store may copy it by itself.
    """

    def __init__(
        self, info: ObjectInfo, read: Read, origin: Callable[[Span], Origin] = Origin
    ) -> None:
        self.info = info
        self._read = read
        self._origin = origin

    def source(self, span: Span) -> Source:
        """Return a range of the file."""
        return _RemoteRange(self.info, span, self._read, self._origin(span))


class _RemoteRange:
    extent = None

    def __init__(self, info: ObjectInfo, span: Span, read: Read, origin: Origin) -> None:
        self.origin = origin
        self._info = info
        self._span = span
        self._read = read

    @property
    def size(self) -> int:
        return self._span.size

    async def pour(self, sink: Sink, tally: Tally) -> None:
        if self._span.size:
            await self._read(self._info, self._span, sink, tally)
