"""An exchange in steps: what comes back whatever pieces it comes in, and what is used again."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import contextmanager

import pytest
import trustme

from tests.support.steps import go_through
from transfer.errors import ConnectionLostError, DamagedInTransitError, ProtocolError
from transfer.mover.connection import Connection
from transfer.mover.http1 import Address
from transfer.mover.pool import Pool
from transfer.mover.small_exchange import Bodies, exchange_in_steps
from transfer.store import Request, Tls
from transfer.tally import Tally

FORGET = socket.socket.fileno  # does nothing
OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(*answers, context=None):
    """Serve connections one after the other; each answer is (pieces, whether to hang up then)."""
    listener = socket.create_server(("127.0.0.1", 0))
    received, left = [], list(answers)

    def serve():
        while left:
            sock, _ = listener.accept()
            with sock if context is None else context.wrap_socket(sock, server_side=True) as line:
                converse(line, left, received)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], received
    thread.join(10)
    assert not thread.is_alive()
    listener.close()


def converse(sock, left, received):
    while left:
        data = b""
        while b"\r\n\r\n" not in data:
            more = sock.recv(65536)
            if not more:
                return
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(
            dict(h.split(b": ") for h in head.split(b"\r\n")[1:]).get(b"Content-Length", 0)
        )
        while len(body) < length:
            body += sock.recv(65536)
        received.append((head, body))
        pieces, hang_up = left.pop(0)
        for piece in pieces:
            sock.sendall(piece)
            threading.Event().wait(0.005)
        if hang_up:
            return


class Client:
    def __init__(self, port, context=None):
        self.pool = Pool()
        self.context = context
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{port}/x"

    def ask(self, method="GET", *, body=b"", most=1000, into=None):
        request = Request(method, self.url, {}, body=body, most=most)
        self.tally = Tally()
        bodies = Bodies(self.tally, memoryview(bytearray(1000)), into)
        steps = exchange_in_steps(
            request, self.pool, Tls(), self.context, bodies, connect_timeout=5, forget=FORGET
        )
        return go_through(steps)

    @property
    def idle(self):
        return len(self.pool._idle[Address.of(self.url), Tls()])


def with_length(body, length=None):
    return OK + b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length) + body


@pytest.mark.parametrize(
    ("pieces", "body", "kept"),
    [
        ([with_length(b"abc")], b"abc", 1),
        ([with_length(b"")], b"", 1),
        ([bytes([b]) for b in with_length(b"abcdef")], b"abcdef", 1),
        ([with_length(b"x" * 5000)[:100], with_length(b"x" * 5000)[100:]], b"x" * 5000, 1),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab", b"c\r\n0\r\n\r\n"], b"abc", 1),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", with_length(b"abc")], b"abc", 1),
        ([with_length(b"abc") + b"more"], b"abc", 0),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + OK], b"abc", 0),
        ([OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc"], b"abc", 0),
    ],
)
def test_an_answer_is_taken_in_whatever_pieces_it_comes(pieces, body, kept):
    with answering((pieces, True)) as (port, received):
        client = Client(port)
        answer = client.ask("PUT", body=b"sent" * 1000, most=10_000)
        assert (answer.status, answer.body) == (200, body)
        assert received[0][1] == b"sent" * 1000
        assert client.idle == kept
        client.pool.close()


def test_an_answer_without_a_length_ends_with_the_connection():
    with answering(([OK + b"\r\n", b"abc", b"def"], True)) as (port, _):
        client = Client(port)
        assert client.ask().body == b"abcdef"
        assert client.idle == 0


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([with_length(b"abc", 10)], DamagedInTransitError),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"], DamagedInTransitError),
        ([with_length(b"x" * 1001)], ProtocolError),
        ([OK + b"\r\n" + b"x" * 1001], ProtocolError),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001], ProtocolError),
        ([b"nonsense\r\n\r\n"], ProtocolError),
        ([OK], ConnectionLostError),
        ([], ConnectionLostError),
    ],
)
def test_what_is_no_whole_answer_is_an_error_and_its_connection_is_closed(pieces, error):
    with answering((pieces, True)) as (port, _):
        client = Client(port)
        with pytest.raises(error):
            client.ask()
        assert client.idle == 0


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([with_length(b"x" * 5000)], 1),
        ([with_length(b"x" * 5000)[:50], b"x" * 4000, b"x" * 1000], 1),
        ([OK + b"\r\n", b"x" * 5000], 0),
        ([OK + b"Transfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000, b"\r\n0\r\n\r\n"], 1),
    ],
)
def test_memory_is_filled_by_a_success(pieces, kept):
    room = bytearray(5000)
    with answering((pieces, True)) as (port, _):
        client = Client(port)
        assert client.ask(into=memoryview(room)).body == b""
        assert room == b"x" * 5000
        assert client.idle == kept
        client.pool.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [with_length(b"x" * 4999)],
        [with_length(b"x" * 5001)],
        [with_length(b"x" * 4000, 5000)],
        [OK + b"\r\n" + b"x" * 4999],
    ],
)
def test_what_does_not_fill_the_memory_is_damaged(pieces):
    with answering((pieces, True)) as (port, _):
        client = Client(port)
        with pytest.raises(DamagedInTransitError):
            client.ask(into=memoryview(bytearray(5000)))
        assert client.idle == 0


def test_a_refusal_is_kept_and_touches_no_memory():
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nwhy"
    room = bytearray(5000)
    with answering(([refusal], True)) as (port, _):
        client = Client(port)
        answer = client.ask(into=memoryview(room))
        assert (answer.status, answer.body, room) == (404, b"why", bytes(5000))
        assert client.tally.moved == 0
        client.pool.close()


def test_a_connection_is_used_again_and_one_that_went_away_is_replaced():
    body = [with_length(b"abc")]
    with answering((body, False), (body, False), ([], True), (body, True)) as (port, received):
        client = Client(port)
        assert client.ask().body == client.ask().body == b"abc"
        [connection] = client.pool._idle[Address.of(client.url), Tls()]
        # It goes away with the next request, as if it had been idle too long.
        assert client.ask().body == b"abc"
        assert connection.sock.fileno() == -1
        assert len(received) == 4
        client.pool.close()


def test_a_long_body_goes_when_the_peer_takes_it():
    with answering(([with_length(b"")], True)) as (port, received):
        client = Client(port)
        body = bytes(range(256)) * 40_000
        assert client.ask("PUT", body=memoryview(body)).ok
        assert received[0][1] == body
        assert client.tally.moved == len(body)
        client.pool.close()


def test_what_stops_while_a_connection_is_opened_leaves_none():
    with answering(([], True)) as (port, _):
        client = Client(port)
        request = Request("GET", client.url, {})
        bodies = Bodies(Tally(), memoryview(bytearray(1000)))
        steps = exchange_in_steps(
            request, client.pool, Tls(), None, bodies, connect_timeout=5, forget=FORGET
        )
        opening = next(steps)
        opening.run()
        opened = opening.result()
        assert isinstance(opened, Connection)
        with pytest.raises(ConnectionLostError, match="interrupted"):
            steps.throw(ConnectionLostError("interrupted"))
        assert opened.sock.fileno() == -1
        with pytest.raises(ConnectionLostError):
            client.ask()


def test_over_tls():
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    answers = [([with_length(b"y" * 50_000)[:20_000], with_length(b"y" * 50_000)[20_000:]], False)]
    with answering(*answers * 3, context=server) as (port, received):
        client = Client(port, trusting)
        for _ in range(3):
            answer = client.ask("PUT", body=b"z" * 3_000_000, most=50_000)
            assert answer.body == b"y" * 50_000
        assert [len(body) for _, body in received] == [3_000_000] * 3
        assert client.idle == 1
        client.pool.close()


def test_success_before_all_was_sent_is_none_and_a_reset_is_no_end():
    listener = socket.create_server(("127.0.0.1", 0))
    answers = [with_length(b""), OK + b"\r\nhalf"]

    def serve():
        for answer in answers:
            sock, _ = listener.accept()
            sock.recv(100)
            sock.sendall(answer)
            threading.Event().wait(0.05)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = Client(listener.getsockname()[1])
    with pytest.raises((DamagedInTransitError, ConnectionLostError)):
        client.ask("PUT", body=bytes(20_000_000))
    with pytest.raises(DamagedInTransitError):
        client.ask("GET")
    thread.join(10)
    listener.close()


def test_an_answer_that_never_begins_is_given_up():
    with answering(([b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000], True)) as (port, _):
        client = Client(port)
        with pytest.raises(ProtocolError, match="never begins"):
            client.ask()
        client.pool.close()


def test_chunks_that_are_all_frame_are_given_up():
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    with answering(([head, b"1;" + b"x" * 100_000], True)) as (port, _):
        client = Client(port)
        with pytest.raises((ProtocolError, ConnectionLostError)):
            client.ask()
        client.pool.close()
