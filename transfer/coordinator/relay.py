"""Bodies that pass through the coordinator, where a store cannot take them directly.

Memory stays bounded: a piece is taken from one side when the other has taken
the last. A request's body cannot be read twice, so nothing here is retried; the
client that sends it can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from transfer.errors import (
    ConnectionLostError,
    DamagedInTransitError,
    StalledError,
    TransferError,
)
from transfer.sizes import KIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send
    from typing_extensions import Buffer

    from transfer.coordinator.counters import Counters
    from transfer.store import Sink, Source
    from transfer.tally import Tally

# Who has not taken so much within the time-out counts as one who reads nothing.
_SENT_AT_ONCE = 256 * KIB


async def pieces_of(request: Request, stall_timeout: float) -> AsyncIterator[bytes]:
    """Yield the bytes of a body as they come; StalledError if none do."""
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(stall_timeout):
                piece = await anext(stream, None)
        except TimeoutError:
            raise StalledError(f"no byte of the body came for {stall_timeout:.0f} s") from None
        except ClientDisconnect:
            raise ConnectionLostError("the client went away") from None
        if piece is None:
            return
        if piece:
            yield piece


class RequestBody:
    """The body of a request, read in order, once; may be cut into several sources."""

    def __init__(self, request: Request, counters: Counters, stall_timeout: float) -> None:
        self._pieces = pieces_of(request, stall_timeout)
        self._counters = counters
        self._rest = memoryview(b"")

    def source(self, size: int) -> Source:
        """Return the next `size` bytes as a source."""
        return _BodySource(self, size)

    async def pour(self, size: int, sink: Sink, tally: Tally) -> None:
        """Write the next `size` bytes into a sink."""
        offset = 0
        while offset < size:
            piece = await self._piece(size - offset)
            tally.update(piece)
            self._counters.relayed_in += len(piece)
            await sink.write(offset, piece)
            offset += len(piece)

    async def chunks(self) -> AsyncIterator[Buffer]:
        """Yield what is left, as it comes."""
        async for piece in self._pieces:
            self._counters.relayed_in += len(piece)
            yield piece

    async def _piece(self, most: int) -> memoryview:
        if not self._rest:
            arrived = await anext(self._pieces, None)
            if arrived is None:
                raise DamagedInTransitError("the body is shorter than its Content-Length")
            self._rest = memoryview(arrived)
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece


class _BodySource:
    extent = None
    origin = None

    def __init__(self, body: RequestBody, size: int) -> None:
        self._body = body
        self.size = size
        self._poured = False

    async def pour(self, sink: Sink, tally: Tally) -> None:
        if self._poured:
            # As when the store was left by a connection that it had closed: the bytes
            # are gone for us, and whoever has them sends them again.
            raise ConnectionLostError("the connection to the store broke under a relayed body")
        self._poured = True
        await self._body.pour(self.size, sink, tally)


class RelayResponse(Response):
    """An answer whose body is a source, poured into the socket as the client reads."""

    def __init__(
        self,
        source: Source,
        tally: Tally,
        counters: Counters,
        *,
        status: int,
        headers: Mapping[str, str],
        stall_timeout: float,
    ) -> None:
        super().__init__(status_code=status, headers=dict(headers))
        self.headers["content-length"] = str(source.size)
        self._source = source
        self._tally = tally
        self._counters = counters
        self._stall = stall_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head with the first bytes: until then an error can still be an answer."""
        sink = _ResponseSink(send, self, self._stall)
        if scope["method"] != "HEAD":
            await self._pour(sink, receive)
        await sink.finish()
        self._counters.relayed_out += self._tally.moved

    async def _pour(self, sink: _ResponseSink, receive: Receive) -> None:
        """Read the source as long as somebody listens: what is sent to nobody vanishes silently."""
        failure: TransferError | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(_when_gone, receive, group.cancel_scope.cancel)
            try:
                await self._source.pour(sink, self._tally)
            except TransferError as error:
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure


async def _when_gone(receive: Receive, act: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    act()


class _ResponseSink:
    extent = None

    def __init__(self, send: Send, response: RelayResponse, stall_timeout: float) -> None:
        self._send = send
        self._response = response
        self._stall = stall_timeout
        self._begun = False

    async def write(self, offset: int, data: Buffer) -> None:
        del offset
        await self._begin()
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _SENT_AT_ONCE):
            body = bytes(view[start : start + _SENT_AT_ONCE])
            await self._sent({"type": "http.response.body", "body": body, "more_body": True})

    async def finish(self) -> None:
        await self._begin()
        await self._sent({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            await self._sent(
                {
                    "type": "http.response.start",
                    "status": self._response.status_code,
                    "headers": self._response.raw_headers,
                }
            )

    async def _sent(self, message: Message) -> None:
        """Send a message; who reads nothing keeps a file open, and is given up."""
        try:
            with anyio.fail_after(self._stall):
                await self._send(message)
        except TimeoutError:
            raise StalledError(f"the client reads nothing for {self._stall:.0f} s") from None
