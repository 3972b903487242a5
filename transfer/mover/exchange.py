"""One HTTP exchange from beginning to end, in a thread: the fast byte path.

How a body from a file is sent is in `sending`. An answer goes from the socket
into a buffer that is used again, and from there to its place in the file.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

from transfer.errors import ConnectionLostError, DamagedInTransitError, ProtocolError
from transfer.files import local_errors, write_fully
from transfer.mover.buffers import HELD, own_buffer
from transfer.mover.connection import RECEIVED_AT_ONCE, Connection, Ended
from transfer.mover.heads import StaleError, lost, whole_head
from transfer.mover.http1 import Address, ChunkedBody, HeadReader
from transfer.mover.ranges import check_placement
from transfer.mover.sending import send_source
from transfer.store import Extent, Response

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from transfer.mover.buffers import Buffers
    from transfer.mover.http1 import Head
    from transfer.mover.pool import Pool
    from transfer.store import Request, Tls
    from transfer.tally import Tally


class Exchange:
    """A request with its body and the place for its answer; `run` is called once, in a thread.

    It has descriptors of its own for both files: a thread may be late, and the numbers of
    others may be those of other files by then. `close` closes them, if `run` never comes.
    Raises LocalError where there are no descriptors left.
    """

    def __init__(
        self, request: Request, source: Extent | None, sink: Extent | None, tally: Tally
    ) -> None:
        self._request = request
        self._tally = tally
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._interrupted = False
        self._fds: list[int] = []
        try:
            self._source = self._held(source)
            self._sink = self._held(sink)
        except BaseException:
            self.close()
            raise

    def _held(self, extent: Extent | None) -> Extent | None:
        if extent is None:
            return None
        with local_errors("open", "the file"):
            self._fds.append(os.dup(extent.fd))
        return Extent(self._fds[-1], extent.span, extent.check, extent.lock)

    def close(self) -> None:
        """Close what it has opened."""
        while self._fds:
            os.close(self._fds.pop())

    def interrupt(self) -> None:
        """Make `run` fail soon; called from another thread."""
        with self._lock:
            self._interrupted = True
            if self._connection is not None:
                self._connection.interrupt()

    def run(
        self,
        pool: Pool,
        buffers: Buffers,
        tls: Tls,
        context: ssl.SSLContext | None,
        connect_timeout: float,
    ) -> Response:
        """Do it, on a connection of the pool if there is one."""
        with closing(self):
            address = Address.of(self._request.url)
            key = address, tls
            while True:
                self._use(None)
                connection = pool.take(key)
                if connection is None:
                    connection = Connection.open(address, context, connect_timeout)
                try:
                    self._use(connection)
                    answer, reusable = self._exchange(connection, buffers)
                except StaleError:
                    # The peer closed it while it was idle: nothing was done with the request.
                    connection.close()
                    self._tally.restart()
                    continue
                except BaseException:
                    connection.close()
                    if self._interrupted:
                        pool.drop(key)
                    raise
                if self._let_go() and reusable:
                    pool.put(key, connection)
                else:
                    connection.close()
                return answer

    def _use(self, connection: Connection | None) -> None:
        with self._lock:
            self._connection = connection
            if self._interrupted:
                raise ConnectionLostError("interrupted")

    def _let_go(self) -> bool:
        """The connection is nobody's to interrupt any more; tell whether nobody has."""
        with self._lock:
            self._connection = None
            return not self._interrupted

    def _exchange(self, connection: Connection, buffers: Buffers) -> tuple[Response, bool]:
        sent, broken = self._send(connection, buffers)
        head, reader = self._receive_head(connection, broken)
        if broken is not None and 200 <= head.status < 300:
            raise DamagedInTransitError(
                f"the server answered {head.status} before it had all of the request"
            )
        body = _Body(connection, buffers, head, reader.rest)
        if self._sink is not None and 200 <= head.status < 300:
            self._store(head, body, self._sink)
            content = b""
        else:
            content = self._read_capped(body)
        reusable = sent and head.keep_alive and body.complete and not body.overrun
        return Response(head.status, head.headers, content), reusable

    # --- sending

    def _send(self, connection: Connection, buffers: Buffers) -> tuple[bool, OSError | None]:
        """Send head and body; tell whether all of it went, and what kept it from going."""
        request, source = self._request, self._source
        head = whole_head(request, source)
        try:
            if source is None:
                connection.sock.sendall(head + request.body)
                return True, None
            return send_source(connection, buffers, head, source, self._tally), None
        except OSError as error:
            return False, error

    # --- receiving

    def _receive_head(
        self, connection: Connection, broken: OSError | None
    ) -> tuple[Head, HeadReader]:
        reader = HeadReader(self._request.method)
        room = own_buffer()[:RECEIVED_AT_ONCE]
        begun = False
        while True:
            try:
                data = connection.receive(room)
            except OSError as error:
                raise self._lost(connection, broken or error, begun=begun) from None
            if not data:
                raise self._lost(connection, broken, begun=begun)
            begun = True
            head = reader.feed(data)
            if head is not None:
                return head, reader

    def _lost(self, connection: Connection, error: OSError | None, *, begun: bool) -> Exception:
        return lost(self._request, connection, error, begun=begun or self._interrupted)

    def _store(self, head: Head, body: _Body, sink: Extent) -> None:
        """Write the body to its place, never beyond what was asked for."""
        span = self._request.span
        if span is not None:
            check_placement(head.status, head.headers, span)
        expected = span.size if span is not None else head.length
        self._tally.restart()
        written = 0
        # Closed at once whatever happens: a piece is of a buffer that others wait for.
        with closing(body.pieces(self._tally)) as pieces:
            for piece in pieces:
                if expected is not None and written + len(piece) > expected:
                    raise ProtocolError(f"more than the {expected} bytes announced")
                self._write(sink, written, piece)
                self._tally.hash(piece)
                written += len(piece)
        if not body.complete or (expected is not None and written != expected):
            raise DamagedInTransitError(
                f"the answer broke off after {written} of {expected or 'unknown'} bytes"
            )

    def _write(self, sink: Extent, offset: int, piece: memoryview) -> None:
        """Write, if that is still wanted: who is late may have been waiting for the lock."""
        with sink.lock or nullcontext():
            if self._interrupted:
                raise ConnectionLostError("interrupted")
            write_fully(sink.fd, [piece], sink.span.start + offset)

    def _read_capped(self, body: _Body) -> bytes:
        at_once = body.at_once(self._request.most)
        if at_once is not None:
            return at_once
        kept: list[bytes] = []
        size = 0
        with closing(body.pieces(None)) as pieces:
            for piece in pieces:
                size += len(piece)
                if size > self._request.most:
                    raise ProtocolError(
                        f"an answer of more than {self._request.most} bytes where a short one"
                        " belongs"
                    )
                kept.append(bytes(piece))
        if not body.complete:
            raise DamagedInTransitError("the answer broke off")
        return b"".join(kept)


class _Body:
    """The body of an answer, in pieces of a buffer; each is good until the next."""

    def __init__(self, connection: Connection, buffers: Buffers, head: Head, rest: bytes) -> None:
        self._connection = connection
        self._buffers = buffers
        self._head = head
        self._rest = rest
        self._left: int | None = None
        self.complete = False
        self.overrun = False

    def at_once(self, most: int) -> bytes | None:
        """Return the whole body, if all of it came with the head and is not more than `most`."""
        length = self._head.length
        if self._head.chunked or length is None or not length <= len(self._rest) <= most:
            return None
        self.complete = True
        self.overrun = len(self._rest) > length
        return self._rest[:length]

    def pieces(self, tally: Tally | None) -> Generator[memoryview]:
        """Yield the body; `tally` counts as it arrives."""
        if self._head.chunked:
            yield from self._chunks(tally)
        else:
            yield from self._plain(tally)

    def _plain(self, tally: Tally | None) -> Generator[memoryview]:
        self._left = self._head.length
        self.overrun = self._left is None or self._left < len(self._rest)
        self._rest = self._rest[: self._left]
        ended: Ended | None = None
        with self._connection.taking():
            while self._left != 0 and ended in {None, Ended.EMPTY}:
                if ended is Ended.EMPTY:
                    self._connection.wait(self._left)
                with self._room(tally) as buffer:
                    ended = yield from self._arriving(buffer, tally)
        # Without a length, the end of the connection is the end of the body.
        self.complete = self._left == 0 or (self._left is None and ended is Ended.CLOSED)

    def _arriving(
        self, buffer: memoryview, tally: Tally | None
    ) -> Generator[memoryview, None, Ended | None]:
        """Yield what has arrived, while there is more; return why there is no more."""
        enough = time.monotonic() + HELD
        while True:
            filled, ended = self._fill(buffer if self._left is None else buffer[: self._left])
            if tally is not None:
                tally.advance(filled)
            if filled:
                yield buffer[:filled]
            self._left = None if self._left is None else self._left - filled
            if self._left == 0 or ended is not None or time.monotonic() > enough:
                return ended

    def _room(self, tally: Tally | None) -> AbstractContextManager[memoryview]:
        """Answers to control calls do not wait for those who have a file to write."""
        return nullcontext(own_buffer()) if tally is None else self._buffers.one()

    def _fill(self, room: memoryview) -> tuple[int, Ended | None]:
        """Take what came with the head and has arrived since."""
        came = len(self._rest)
        room[:came], self._rest = self._rest, b""
        taken, ended = self._connection.take(room[came:])
        return came + taken, ended

    def _chunks(self, tally: Tally | None) -> Generator[memoryview]:
        chunked = ChunkedBody(self._head)
        data = self._rest
        while True:
            for piece in chunked.feed(data):
                if tally is not None:
                    tally.advance(len(piece))
                yield memoryview(piece)
            if chunked.complete:
                self.complete, self.overrun = True, chunked.overrun
                return
            try:
                data = self._connection.receive(own_buffer()[:RECEIVED_AT_ONCE])
            except OSError:
                return
            if not data:
                return
