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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send
    from typing_extensions import Buffer

    from transfer.coordinator.counters import Counters
    from transfer.store import Sink, Source
    from transfer.tally import Tally


class RequestBody:
    """The body of a request, read in order, once; may be cut into several sources."""

    def __init__(self, request: Request, counters: Counters, stall_timeout: float) -> None:
        self._stream = request.stream()
        self._counters = counters
        self._stall = stall_timeout
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
        while True:
            piece = await self._next()
            if piece is None:
                return
            self._counters.relayed_in += len(piece)
            yield piece

    async def _piece(self, most: int) -> memoryview:
        if not self._rest:
            arrived = await self._next()
            if arrived is None:
                raise DamagedInTransitError("the body is shorter than its Content-Length")
            self._rest = memoryview(arrived)
        piece, self._rest = self._rest[:most], self._rest[most:]
        return piece

    async def _next(self) -> bytes | None:
        """Return the next bytes that are not empty, None at the end."""
        while True:
            try:
                with anyio.fail_after(self._stall):
                    piece = await anext(self._stream, None)
            except TimeoutError:
                raise StalledError(f"no byte of the body came for {self._stall:.0f} s") from None
            except ClientDisconnect:
                raise ConnectionLostError("the client went away") from None
            if piece or piece is None:
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
    ) -> None:
        super().__init__(status_code=status, headers=dict(headers))
        self.headers["content-length"] = str(source.size)
        self._source = source
        self._tally = tally
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head with the first bytes: until then an error can still be an answer."""
        sink = _ResponseSink(send, self)
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

    def __init__(self, send: Send, response: RelayResponse) -> None:
        self._send = send
        self._response = response
        self._begun = False

    async def write(self, offset: int, data: Buffer) -> None:
        del offset
        await self._begin()
        await self._send({"type": "http.response.body", "body": bytes(data), "more_body": True})

    async def finish(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            await self._send(
                {
                    "type": "http.response.start",
                    "status": self._response.status_code,
                    "headers": self._response.raw_headers,
                }
            )
