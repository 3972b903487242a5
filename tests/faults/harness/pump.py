"""One direction of one connection: bytes in, faults at their places, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tests.faults.harness.network import (
    Blackhole,
    Close,
    DropLast,
    Duplicate,
    Fault,
    Flip,
    HalfOpen,
    Latency,
    Pause,
    Rate,
    Reset,
    Slices,
)
from tests.faults.harness.refusals import Hangup
from tests.faults.harness.sockets import delivered

if TYPE_CHECKING:
    import asyncio

    from tests.faults.harness.chaos_proxy import Connection
    from tests.faults.harness.messages import Messages, Piece
    from tests.faults.harness.network import AnyFault, Way

_READ = 16 * 1024


class Pump:
    """Passes bytes on until a fault, or either side, ends that."""

    def __init__(
        self,
        connection: Connection,
        way: Way,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        messages: Messages,
    ) -> None:
        mine = [one for one in connection.faults if getattr(one, "way", None) == way]
        self._connection = connection
        self._way = way
        self._reader = reader
        self._writer = writer
        self._messages = messages
        self._whole = [one for one in mine if not isinstance(one, Fault)]
        self._placed = [one for one in mine if isinstance(one, Fault) and one.message is not None]
        # Places are absolute here, and the next one is first.
        self._due: list[tuple[int, Fault]] = []
        self._plan([one for one in mine if isinstance(one, Fault) and one.message is None], 0)
        self._place = 0
        self._copy = b""

    async def run(self) -> None:
        """Carry bytes; returns at the end of the stream, raises Hangup at a fault's."""
        await self._faults_here()
        while data := await self._reader.read(_READ):
            for piece in () if self._connection.black else self._messages.feed(data):
                await self._message(piece)
        if self._writer.can_write_eof() and not self._connection.black:
            self._writer.write_eof()

    async def _message(self, piece: Piece) -> None:
        if piece.first:
            self._copy = b""
            here = [fault for fault in self._placed if fault.message == piece.number]
            self._plan(here, self._place)
            await self._late()
        data = piece.data
        drop = self._found(DropLast, piece)
        if drop is not None:
            await self._pass(data[:-1])
            self._connection.hits.append(drop)
            await delivered(self._writer)
            raise Hangup(rst=False)
        await self._pass(data)
        self._copy += data if any(isinstance(one, Duplicate) for one in self._whole) else b""
        again = self._found(Duplicate, piece)
        if again is not None:
            self._connection.hits.append(again)
            await self._write(again.garbage + self._copy)

    def _found(self, kind: type, piece: Piece) -> AnyFault | None:
        """Return the fault of this kind for the message that ends with this piece."""
        for one in self._whole:
            if isinstance(one, kind) and piece.last and one.message == piece.number:
                return one
        return None

    def _plan(self, faults: list[Fault], start: int) -> None:
        self._due += [(start + fault.at, fault) for fault in faults]
        self._due.sort(key=lambda pair: pair[0])

    async def _pass(self, data: bytes) -> None:
        """Write bytes, stopping at each place that something happens at."""
        while data:
            await self._faults_here()
            for flip in self._due_now(flips=True):
                self._connection.hits.append(flip)
                data = bytes([data[0] ^ 1 << flip.bit]) + data[1:]
            until = self._due[0][0] - self._place if self._due else len(data)
            step = min(until, len(data))
            await self._write(data[:step])
            self._place += step
            data = data[step:]
        await self._faults_here()

    async def _faults_here(self) -> None:
        for fault in self._due_now(flips=False):
            await self._happen(fault)

    def _due_now(self, *, flips: bool) -> list[Any]:
        """Take out what is due at this place: changes of the next byte, or all else."""
        now = [
            pair
            for pair in self._due
            if pair[0] <= self._place and isinstance(pair[1], Flip) == flips
        ]
        self._due = [pair for pair in self._due if pair not in now]
        return [fault for _, fault in now]

    async def _happen(self, fault: Fault) -> None:
        self._connection.hits.append(fault)
        await delivered(self._writer)
        match fault:
            case Reset():
                raise Hangup(rst=True)
            case Close():
                raise Hangup(rst=False)
            case Blackhole():
                self._connection.black = True
            case HalfOpen():
                await anyio.sleep_forever()
            case Pause():
                await anyio.sleep(fault.seconds)

    async def _late(self) -> None:
        for one in self._whole:
            if isinstance(one, Latency):
                self._connection.hits.append(one)
                await anyio.sleep(one.seconds)

    async def _write(self, data: bytes) -> None:
        size = len(data)
        for one in self._whole:
            if isinstance(one, Rate):
                size = one.slice or max(1, int(one.per_second / 50))
            elif isinstance(one, Slices):
                size = one.size
        for start in range(0, len(data), max(1, size)):
            piece = data[start : start + size]
            await self._wait_for(piece)
            if self._connection.black:
                return
            self._writer.write(piece)
            await self._writer.drain()
            self._connection.passed[self._way] += len(piece)

    async def _wait_for(self, piece: bytes) -> None:
        for one in self._whole:
            if isinstance(one, Rate):
                await anyio.sleep(len(piece) / one.per_second)
            elif isinstance(one, Slices):
                await anyio.sleep(one.pause)
