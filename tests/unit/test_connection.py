"""A connection that looks whether an answer has come while it sends."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
import trustme

from transfer.mover.connection import Connection
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
