"""An exchange in a thread: what it takes to receive a body is given back whatever happens."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack

import pytest

from transfer.checksums import Algorithm, checksum_of
from transfer.errors import DamagedInTransitError, ProtocolError, TransferError
from transfer.files import FileSink
from transfer.model import Span
from transfer.mover.buffers import Buffers
from transfer.mover.connection import Connection
from transfer.mover.exchange import Exchange
from transfer.mover.http1 import Address
from transfer.mover.pool import Pool
from transfer.store import Request, Tls
from transfer.tally import Tally

URL = "http://somewhere/x"
KEY = (Address.of(URL), Tls())


@pytest.fixture
def buffers():
    return Buffers()


@pytest.fixture
def get(buffers, tmp_path):
    """Ask for a range, and be answered with what is given; returns what was stored of it."""

    def ask(answer, size, *, pause_after=None):
        here, there = socket.socketpair()
        pool = Pool()
        pool.put(KEY, Connection(here, KEY[0]))
        server = threading.Thread(target=serve, args=(there, answer, pause_after))
        server.start()
        path = tmp_path / "got"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        tally = Tally(Algorithm.CRC32C)
        sink = FileSink(fd, Span(0, size)).extent
        exchange = Exchange(Request("GET", URL, {}, span=Span(0, size)), None, sink, tally)
        try:
            exchange.run(pool, buffers, KEY[1], None, 1.0)
        finally:
            pool.close()
            server.join()
            os.close(fd)
        data = path.read_bytes()
        assert tally.checksum == checksum_of(Algorithm.CRC32C, data)
        assert tally.moved == len(data)
        return data

    return ask


def serve(there, answer, pause_after):
    with there:
        there.recv(65536)
        there.settimeout(10)
        try:
            there.sendall(answer[:pause_after])
            if pause_after is not None:
                threading.Event().wait(0.02)
                there.sendall(answer[pause_after:])
        except OSError:
            return  # whoever asked had enough of it


def partial(body, length=None):
    size = len(body) if length is None else length
    head = f"HTTP/1.1 206 X\r\nContent-Length: {size}\r\nContent-Range: bytes 0-{size - 1}/{size}"
    return f"{head}\r\n\r\n".encode() + body


@pytest.mark.parametrize("size", [1, 1000, 300_000, 2 << 20, (2 << 20) + 1, (5 << 20) + 7])
def test_a_body_is_stored_whatever_its_size(get, size):
    body = os.urandom(size)
    assert get(partial(body), size) == body
    assert get(partial(body), size, pause_after=150) == body
    assert get(partial(body), size, pause_after=len(partial(body)) - 1) == body


def test_a_body_of_chunks_is_stored(get):
    head = b"HTTP/1.1 206 X\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 0-9/10\r\n\r\n"
    assert get(head + b"4\r\nabcd\r\n6\r\nefghij\r\n0\r\n\r\n", 10) == b"abcdefghij"


def test_buffers_come_back_though_the_errors_are_kept(get):
    body = os.urandom(400_000)
    kept: list[TransferError] = []
    for _ in range(20):
        with pytest.raises(DamagedInTransitError) as cut:
            get(partial(body, length=500_000), 500_000)
        with pytest.raises(ProtocolError) as more:
            get(b"HTTP/1.1 200 X\r\n\r\n" + body, 100)
        kept += [cut.value, more.value]
    assert get(partial(body), len(body)) == body


def test_whoever_finds_no_buffer_free_waits_for_one():
    buffers, held = Buffers(), threading.Semaphore(0)
    leave = threading.Event()

    def hold():
        with buffers.one() as buffer:
            buffer[:1] = b"x"
            held.release()
            leave.wait(10)

    threads = [threading.Thread(target=hold) for _ in range(20)]
    for thread in threads:
        thread.start()
    holding = 0
    while held.acquire(timeout=0.05):
        holding += 1
    assert 2 <= holding <= 8
    leave.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_whoever_waits_for_those_who_wait_for_a_disk_gets_along_without(monkeypatch):
    monkeypatch.setattr("transfer.mover.buffers._PATIENCE", 0.01)
    buffers = Buffers()
    with ExitStack() as stack:
        held = [stack.enter_context(buffers.one()) for _ in range(20)]
        sizes = {len(buffer) for buffer in held}
        assert len(sizes) == 2
    with buffers.one() as buffer:
        assert len(buffer) == max(sizes)


def test_one_that_is_late_writes_nothing_and_into_no_other_file(buffers, tmp_path):
    """Its file was closed meanwhile, and the number is that of another."""
    body = os.urandom(300_000)
    here, there = socket.socketpair()
    pool = Pool()
    pool.put(KEY, Connection(here, KEY[0]))
    server = threading.Thread(target=serve, args=(there, partial(body), None))
    server.start()
    lock, fd = threading.Lock(), os.open(tmp_path / "one", os.O_RDWR | os.O_CREAT)
    sink = FileSink(fd, Span(0, len(body)), lock).extent
    tally = Tally()
    request = Request("GET", URL, {}, span=Span(0, len(body)))
    exchange = Exchange(request, None, sink, tally)
    said: list[Exception] = []

    def run():
        try:
            exchange.run(pool, buffers, KEY[1], None, 1.0)
        except TransferError as error:
            said.append(error)

    late = threading.Thread(target=run)
    with lock:  # as somebody has it whose disk takes its time
        late.start()
        while not tally.moved:
            threading.Event().wait(0.001)
        exchange.interrupt()
        other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
        os.dup2(other, fd)
    late.join(10)
    server.join(10)
    assert not late.is_alive()
    assert said
    assert (tmp_path / "other").read_bytes() == (tmp_path / "one").read_bytes() == b""
    os.close(other)
    os.close(fd)
    pool.close()


def test_an_answer_to_half_a_request_is_none(buffers):
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_early():
        sock, _ = listener.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = threading.Thread(target=answer_early)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    request = Request("POST", url, {}, body=bytes(20_000_000))
    with pytest.raises(TransferError):
        Exchange(request, None, None, Tally()).run(Pool(), buffers, Tls(), None, 5.0)
    server.join(10)
    listener.close()
