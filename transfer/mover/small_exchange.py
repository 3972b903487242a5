"""One HTTP exchange with bodies that fit into memory, in steps: it yields where it has to wait.

Its connections do not block, and are its own: those of exchanges in threads do.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

from transfer.errors import DamagedInTransitError, ProtocolError
from transfer.mover.connection import Connection
from transfer.mover.exchange import StaleError, lost, whole_head
from transfer.mover.http1 import Address, ChunkedBody, HeadReader
from transfer.quick import Aside, Ready
from transfer.store import Response

if TYPE_CHECKING:
    import socket

    from transfer.mover.http1 import Head
    from transfer.mover.pool import Pool
    from transfer.quick import Steps
    from transfer.store import Request, Tls


def exchange_in_steps(
    request: Request,
    pool: Pool,
    tls: Tls,
    context: ssl.SSLContext | None,
    *,
    room: memoryview,
    connect_timeout: float,
) -> Steps[Response]:
    """Do it, on a connection of the pool if there is one; `room` is used while it does not wait."""
    address = Address.of(request.url)
    key = address, tls
    while True:
        connection = pool.take(key)
        if connection is None:
            connection = yield from _opened(address, context, connect_timeout)
        line = _Line(connection.sock, room)
        try:
            answer, reusable = yield from _exchange(request, connection, line)
        except StaleError:
            # The peer closed it while it was idle: nothing was done with the request.
            connection.close()
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
    request: Request, connection: Connection, line: _Line
) -> Steps[tuple[Response, bool]]:
    broken = yield from line.send(whole_head(request, None) + request.body)
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
    body, rest = yield from _body(head, reader.rest, line, request.most)
    ends = head.chunked or head.length is not None
    reusable = broken is None and head.keep_alive and ends and not rest
    return Response(head.status, head.headers, body), reusable


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
    while True:
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
    """A socket that does not block."""

    def __init__(self, sock: socket.socket, room: memoryview) -> None:
        self._sock = sock
        self._room = room
        self._readable = Ready(sock)

    def send(self, data: bytes) -> Steps[OSError | None]:
        """Send all of it; return what kept it from going: there may be an answer all the same."""
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                yield Ready(self._sock, writing=True)
            except ssl.SSLWantReadError:
                yield self._readable
            except OSError as error:
                return error
        return None

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
