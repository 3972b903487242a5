"""One HTTP exchange with bodies that fit into memory, in steps: it yields where it has to wait.

Its connections do not block, and are its own: those of exchanges in threads do.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from transfer.errors import DamagedInTransitError, ProtocolError
from transfer.mover.connection import MORE, WITH_HEAD, Connection
from transfer.mover.heads import StaleError, lost, whole_head
from transfer.mover.http1 import MAX_HEAD, Address, ChunkedBody, HeadReader
from transfer.quick import Aside, Ready
from transfer.store import Response

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from transfer.mover.http1 import Head
    from transfer.mover.pool import Pool
    from transfer.quick import Steps
    from transfer.store import Request, Tls
    from transfer.tally import Tally

# TLS takes all of what it is offered or says nothing of how far it is.
_TLS_PIECE = 256 * 1024
# A chunk of one byte has five or six around it.
_FRAMES = 8


class Bodies(NamedTuple):
    """Where the bytes of bodies are counted, if they come in pieces, and put.

    `room` is for what arrives, and used only while nothing is waited for; `into` has to
    be filled by the body of a success, if there is such.
    """

    tally: Tally
    room: memoryview
    into: memoryview | None = None


def exchange_in_steps(
    request: Request,
    pool: Pool,
    tls: Tls,
    context: ssl.SSLContext | None,
    bodies: Bodies,
    *,
    connect_timeout: float,
    forget: Callable[[socket.socket], None],
) -> Steps[Response]:
    """Do it, on a connection of the pool if there is one; `forget` is told before one is closed."""
    address = Address.of(request.url)
    key = address, tls
    while True:
        connection = pool.take(key)
        if connection is None:
            connection = yield from _opened(address, context, connect_timeout)
            connection.before_close = forget
        line = _Line(connection, bodies.room, bodies.tally)
        try:
            answer, reusable = yield from _exchange(request, connection, line, bodies.into)
        except StaleError:
            # The peer closed it while it was idle: nothing was done with the request.
            connection.close()
            bodies.tally.restart()
            continue
        except BaseException:
            connection.close()
            raise
        if reusable:
            pool.put(key, connection)
        else:
            connection.close()
        return answer


def _opened(address: Address, context: ssl.SSLContext | None, timeout: float) -> Steps[Connection]:
    opening = Aside(partial(Connection.open, address, context, timeout))
    try:
        yield opening
    except BaseException:
        opening.drop(Connection.close)
        raise
    connection = opening.result()
    connection.sock.setblocking(False)
    return connection


def _exchange(
    request: Request, connection: Connection, line: _Line, into: memoryview | None
) -> Steps[tuple[Response, bool]]:
    broken = yield from line.send(whole_head(request, None), request.body)
    reader = HeadReader(request.method)
    head: Head | None = None
    begun = False
    while head is None:
        try:
            data = yield from (line.receive() if begun else line.receive_first())
        except OSError as error:
            raise lost(request, connection, broken or error, begun=begun) from None
        if not data:
            raise lost(request, connection, broken, begun=begun)
        begun = True
        head = reader.feed(data)
    if broken is not None and 200 <= head.status < 300:
        raise DamagedInTransitError(
            f"the server answered {head.status} before it had all of the request"
        )
    if into is not None and 200 <= head.status < 300:
        body, rest = b"", (yield from _put_into(into, head, reader.rest, line))
    else:
        body, rest = yield from _body(head, reader.rest, line, request.most)
    ends = head.chunked or head.length is not None
    reusable = broken is None and head.keep_alive and ends and not rest
    return Response(head.status, head.headers, body), reusable


def _put_into(into: memoryview, head: Head, data: bytes, line: _Line) -> Steps[bytes]:
    """Have memory filled by the body of an answer; return what came behind it."""
    size = len(into)
    if head.length is None:
        data, rest = yield from _body(head, data, line, size)
        _check_length(len(data), size)
        into[:] = data
        return rest
    _check_length(head.length, size)
    came = min(len(data), size)
    into[:came] = data[:came]
    line.tally.advance(came)
    if came < size and came + (yield from line.fill(into[came:])) < size:
        raise DamagedInTransitError("the answer broke off")
    return data[came:]


def _check_length(length: int, expected: int) -> None:
    if length != expected:
        raise DamagedInTransitError(f"the answer has {length} bytes, {expected} were expected")


def _body(head: Head, data: bytes, line: _Line, most: int) -> Steps[tuple[bytes, bytes]]:
    """Return the body of an answer, and what came behind it."""
    if head.chunked:
        return (yield from _chunks(head, data, line, most))
    _check_size(head.length or 0, most)
    if head.length is not None and len(data) >= head.length:
        return data[: head.length], data[head.length :]
    kept = bytearray(data)
    while head.length is None or len(kept) < head.length:
        more = yield from line.receive_or_end()
        if more is None and head.length is None:
            raise DamagedInTransitError("the connection broke before the end of the answer")
        if not more:
            break
        kept += more
        _check_size(min(len(kept), head.length or len(kept)), most)
    if head.length is not None and len(kept) < head.length:
        raise DamagedInTransitError("the answer broke off")
    return bytes(kept[: head.length]), bytes(kept[head.length :] if head.length else b"")


def _chunks(head: Head, data: bytes, line: _Line, most: int) -> Steps[tuple[bytes, bytes]]:
    chunked = ChunkedBody(head)
    kept = bytearray()
    came = 0
    while True:
        # Sizes, extensions and trailers have no end of their own.
        came += len(data)
        _check_size(came, _FRAMES * most + MAX_HEAD)
        for piece in chunked.feed(data):
            kept += piece
        _check_size(len(kept), most)
        if chunked.complete:
            return bytes(kept), b"more" if chunked.overrun else b""
        more = yield from line.receive_or_end()
        if not more:
            raise DamagedInTransitError("the answer broke off")
        data = more


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise ProtocolError(f"an answer of more than {most} bytes where a short one belongs")


class _Line:
    """A socket that does not block; `tally` counts the bytes of bodies that come in pieces."""

    def __init__(self, connection: Connection, room: memoryview, tally: Tally) -> None:
        self.tally = tally
        self._sock = connection.sock
        self._encrypted = connection.encrypted
        self._room = room
        self._readable = Ready(connection.sock)

    def send(self, head: bytes, body: bytes | memoryview) -> Steps[OSError | None]:
        """Send all of it; return what kept it from going: there may be an answer all the same."""
        if len(body) <= WITH_HEAD:
            return (yield from self._send(head + body, 0, counted=False))
        flags = 0 if self._encrypted else MORE
        broken = yield from self._send(head, flags, counted=False)
        return broken or (yield from self._send(body, 0, counted=True))

    def _send(
        self, data: bytes | memoryview, flags: int, *, counted: bool
    ) -> Steps[OSError | None]:
        view = memoryview(data)
        piece = _TLS_PIECE if self._encrypted else len(view)
        while view:
            try:
                sent = self._sock.send(view[:piece], flags)
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield Ready(self._sock, writing=True)
            except ssl.SSLWantReadError:
                yield self._readable
            except OSError as error:
                return error
            else:
                view = view[sent:]
                if counted:
                    self.tally.advance(sent)
        return None

    def fill(self, view: memoryview) -> Steps[int]:
        """Put the next bytes of a body there; return how many, fewer if the line breaks or ends."""
        receive, filled, size = self._sock.recv_into, 0, len(view)
        while filled < size:
            try:
                count = receive(view[filled:])
            except (BlockingIOError, ssl.SSLWantReadError):
                yield self._readable
            except ssl.SSLWantWriteError:
                yield Ready(self._sock, writing=True)
            except OSError:
                break
            else:
                if not count:
                    break
                filled += count
                self.tally.advance(count)
        return filled

    def receive(self) -> Steps[bytes]:
        """Return the next bytes of those that have begun to arrive; none are the end."""
        while True:
            try:
                return bytes(self._room[: self._sock.recv_into(self._room)])
            except (BlockingIOError, ssl.SSLWantReadError):
                yield self._readable
            except ssl.SSLWantWriteError:
                yield Ready(self._sock, writing=True)

    def receive_first(self) -> Steps[bytes]:
        """Wait for the first bytes of an answer, which cannot be there yet."""
        yield self._readable
        return (yield from self.receive())

    def receive_or_end(self) -> Steps[bytes | None]:
        """Do as `receive` does; None is a connection that broke."""
        try:
            return (yield from self.receive())
        except OSError:
            return None
