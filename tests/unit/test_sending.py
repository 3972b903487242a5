"""Sending a range of a file: every byte once and in order, whatever has to be waited for."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from transfer.checksums import Algorithm, checksum_of
from transfer.errors import LocalError, SourceChangedError
from transfer.model import Span
from transfer.mover import sending
from transfer.mover.buffers import Buffers
from transfer.mover.connection import Connection
from transfer.mover.http1 import Address
from transfer.mover.sending import send_source
from transfer.store import Extent
from transfer.tally import Tally

HEAD = b"PUT /x HTTP/1.1\r\n\r\n"
MIB = 1 << 20


class Peer:
    """The other end: takes what comes, in its own way, and keeps it."""

    def __init__(self):
        here, self.sock = socket.socketpair()
        self.connection = Connection(here, Address.of("http://somewhere/x"))
        self.got = bytearray()
        self._thread = threading.Thread(target=self._take)
        self.most = None
        self.pause = threading.Event()

    def _take(self):
        with self.sock:
            while self.most is None or len(self.got) < self.most:
                data = self.sock.recv(256 * 1024)
                if not data:
                    return
                self.got += data
            self.sock.sendall(b"HTTP/1.1 403 No\r\n\r\n")
            self.pause.wait(10)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.pause.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def buffers():
    return Buffers()


@pytest.fixture
def source(tmp_path):
    """Make a range of a file that has other things before and behind it."""
    opened = []

    def make(size):
        data = os.urandom(size)
        path = tmp_path / "source"
        path.write_bytes(b"before" + data + b"behind")
        opened.append(os.open(path, os.O_RDONLY))
        return Extent(opened[-1], Span(6, 6 + size)), data

    yield make
    for fd in opened:
        os.close(fd)


def all_free(buffers):
    """Tell whether all buffers have come back: none is a small one then."""
    with buffers.one() as one, buffers.one() as other:
        return len(one) == len(other) == 2 * MIB


@pytest.mark.parametrize("algorithm", [None, Algorithm.CRC32C])
@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 3 * MIB, 9 * MIB + 7])
def test_all_bytes_arrive_in_order_and_are_hashed_once(buffers, source, size, algorithm):
    extent, data = source(size)
    tally = Tally(algorithm)
    with Peer() as peer:
        assert send_source(peer.connection, buffers, HEAD, extent, tally)
    assert peer.got == HEAD + data
    assert tally.moved == size
    assert tally.checksum == (checksum_of(algorithm, data) if algorithm else None)
    assert all_free(buffers)


@pytest.mark.parametrize("way", ["the file is slow", "the line is slow"])
def test_who_has_to_wait_goes_on_with_a_buffer_of_his_own(buffers, source, monkeypatch, way):
    extent, data = source(5 * MIB)
    tally = Tally(Algorithm.CRC32C)
    offered = []
    sendall = sending.own_buffer
    monkeypatch.setattr(sending, "own_buffer", lambda: offered.append(1) or sendall())
    with Peer() as peer:
        if way == "the file is slow":
            monkeypatch.setattr(sending, "_PREEMPTED", -1.0)
        else:
            peer.connection.took(1.0)
        assert send_source(peer.connection, buffers, HEAD, extent, tally)
    assert offered
    assert peer.got == HEAD + data
    assert tally.checksum == checksum_of(Algorithm.CRC32C, data)
    assert all_free(buffers)


def test_an_answer_is_noticed_while_the_peer_takes_nothing_more(buffers, source, monkeypatch):
    monkeypatch.setattr(sending, "_PREEMPTED", 60.0)
    extent, _ = source(20 * MIB)
    tally = Tally(Algorithm.CRC32C)
    with Peer() as peer:
        peer.most = MIB
        assert not send_source(peer.connection, buffers, HEAD, extent, tally)
    assert tally.moved < 20 * MIB
    assert all_free(buffers)


def test_a_peer_that_is_gone_is_an_error_and_the_buffer_comes_back(buffers, source):
    extent, _ = source(5 * MIB)
    with Peer() as peer:
        peer.sock.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            send_source(peer.connection, buffers, HEAD, extent, Tally(Algorithm.CRC32C))
    assert all_free(buffers)


@pytest.mark.parametrize("algorithm", [None, Algorithm.CRC32C])
def test_a_file_that_became_shorter_is_told_and_its_end_never_sent(buffers, source, algorithm):
    extent, data = source(5 * MIB)
    os.truncate(f"/proc/self/fd/{extent.fd}", 3 * MIB)
    with Peer() as peer, pytest.raises(SourceChangedError, match="became shorter"):
        send_source(peer.connection, buffers, HEAD, extent, Tally(algorithm))
    assert len(peer.got) < len(data)
    assert all_free(buffers)


def test_an_interruption_ends_the_wait_for_a_peer_that_takes_nothing(buffers, source):
    extent, _ = source(20 * MIB)
    here, there = socket.socketpair()
    connection = Connection(here, Address.of("http://somewhere/x"))
    tally, failed = Tally(Algorithm.CRC32C), threading.Event()

    def send():
        try:
            went = send_source(connection, buffers, HEAD, extent, tally)
        except OSError:
            went = False
        if not went:
            failed.set()

    thread = threading.Thread(target=send)
    thread.start()
    with there, connection.sock:
        assert there.recv(1)
        assert not failed.wait(0.05)
        connection.interrupt()
        thread.join(10)
    assert failed.is_set()
    assert all_free(buffers)


def test_a_file_that_cannot_be_read_is_no_broken_line(buffers):
    fd = os.open("/proc/self/mem", os.O_RDONLY)  # of nobody, at these places
    peer = Peer()
    with pytest.raises(LocalError, match="cannot read the source: Input/output error"):
        send_source(peer.connection, buffers, HEAD, Extent(fd, Span(0, MIB)), Tally())
    peer.connection.close()
    peer.sock.close()
    os.close(fd)
