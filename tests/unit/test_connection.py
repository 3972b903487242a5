"""A connection that looks whether an answer has come while it sends."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from transfer.errors import UsageError
from transfer.mover.connection import Connection, Ended
from transfer.mover.http1 import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = Address("https", "localhost", 443)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ends(authority: trustme.CA) -> Iterator[tuple[Connection, ssl.SSLSocket]]:
    """Give both ends of a TLS connection, over whose client end session tickets have come."""
    here, there = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    wrapped: list[ssl.SSLSocket] = []
    thread = threading.Thread(
        target=lambda: wrapped.append(server.wrap_socket(there, server_side=True))
    )
    thread.start()
    connection = Connection(client.wrap_socket(here, server_hostname="localhost"), ADDRESS)
    thread.join(10)
    yield connection, wrapped[0]
    connection.close()
    wrapped[0].close()


def test_tickets_of_tls_are_no_answer(ends: tuple[Connection, ssl.SSLSocket]):
    connection, server = ends
    assert server.version() == "TLSv1.3"
    assert not connection.answering()
    connection.idle_since = float("inf")
    assert connection.usable()


def test_early_answer_is_seen_and_kept(ends: tuple[Connection, ssl.SSLSocket]):
    connection, server = ends
    server.sendall(b"HTTP/1.1 413 No\r\n")
    assert connection.answering()
    assert connection.answering()
    assert connection.receive(memoryview(bytearray(64))) == b"HTTP/1.1 413 No\r\n"
    server.sendall(b"more")
    assert connection.receive(memoryview(bytearray(64))) == b"more"


def test_peer_that_hung_up_is_seen(ends: tuple[Connection, ssl.SSLSocket]):
    connection, server = ends
    socket.socket.shutdown(server, socket.SHUT_RDWR)
    assert connection.answering()
    assert connection.receive(memoryview(bytearray(64))) == b""


def test_plain_connection_waits_for_bytes():
    here, there = socket.socketpair()
    connection = Connection(here, ADDRESS)
    assert not connection.answering()
    there.sendall(b"H")
    assert connection.answering()
    assert connection.receive(memoryview(bytearray(64))) == b"H"
    connection.close()
    there.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_a_peer_that_is_gone_is_noticed_by_the_kernel():
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection.open(Address("http", *server.getsockname()), None, 5.0)
        try:
            assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            seconds = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            milliseconds = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert seconds < 60
            assert milliseconds < 120_000
        finally:
            connection.close()


@pytest.fixture(params=["plain", "tls"])
def taken(request, authority):
    """Give both ends of a connection, encrypted or not."""
    if request.param == "tls":
        yield request.getfixturevalue("ends")
        return
    here, there = socket.socketpair()
    connection = Connection(here, ADDRESS)
    yield connection, there
    connection.close()
    there.close()


def test_a_body_is_taken_as_it_comes(taken):
    connection, peer = taken
    room = memoryview(bytearray(64))
    with connection.taking():
        assert connection.take(room) == (0, Ended.EMPTY)
        peer.sendall(b"body")
        connection.wait(4)
        assert connection.take(room[:3]) == (3, None)
        assert connection.take(room[3:]) == (1, Ended.EMPTY)
        assert bytes(room[:4]) == b"body"
        assert connection.take(room) == (0, Ended.EMPTY)
    peer.sendall(b"H")
    assert connection.receive(room) == b"H"
    with connection.taking():
        socket.socket.shutdown(peer, socket.SHUT_RDWR)
        connection.wait(1000)
        assert connection.take(room) == (0, Ended.CLOSED)


def test_a_peer_that_is_slow_is_not_waited_for_until_a_good_deal_has_come(taken, monkeypatch):
    monkeypatch.setattr("transfer.mover.connection._LONG", 1)
    connection, peer = taken
    room = memoryview(bytearray(64))
    peer.sendall(b"a")
    with connection.taking():
        connection.wait(None)
        assert connection.take(room) == (1, Ended.EMPTY)
        peer.sendall(b"b")
        connection.wait(10**6)
        assert connection.take(room) == (1, Ended.EMPTY)


def test_the_end_of_a_body_is_not_waited_for_longer_than_it_takes(taken):
    """Of what is to come over TLS, up to a record may have been taken already."""
    connection, peer = taken
    room, record = memoryview(bytearray(64)), 17 * 1024 if connection.encrypted else 0
    with connection.taking():
        for left, least in ((1000, max(1, 1000 - record)), (10**7, 256 * 1024), (None, 256 * 1024)):
            peer.sendall(b"a")
            connection.wait(left)
            said = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT)
            assert said == least
            assert connection.take(room) == (1, Ended.EMPTY)
    assert connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


def test_little_is_no_reason_to_wake_up_where_much_is_to_come():
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection.open(Address("http", *server.getsockname()), None, 5.0)
        there, _ = server.accept()
    with connection.taking():
        there.sendall(b"a" * 1000)
        woken = threading.Event()
        thread = threading.Thread(target=lambda: (connection.wait(50_000), woken.set()))
        thread.start()
        assert not woken.wait(0.05)
        there.sendall(b"a" * 49_000)
        assert woken.wait(10)
        thread.join()
    assert connection.take(memoryview(bytearray(60_000))) == (50_000, Ended.EMPTY)
    there.sendall(b"H")
    assert connection.receive(memoryview(bytearray(64))) == b"H"
    connection.close()
    there.close()


@pytest.mark.parametrize("host", ["a..example.com", "x" * 64 + ".com"])
def test_what_is_no_name_is_said_so(host: str):
    with pytest.raises(UsageError, match="is no name of a host"):
        Connection.open(Address("http", host, 80), None, 1.0)
