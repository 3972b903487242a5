"""One thread for many things: they go on when they can, stop when asked, and hold nobody up."""

from __future__ import annotations

import os
import socket
import threading
import time

import pytest

from transfer.errors import ConnectionLostError, LocalError
from transfer.mover.crew import Crew
from transfer.mover.driver import Driver
from transfer.quick import Ready, aside


@pytest.fixture
def driver():
    crew = Crew()
    driver = Driver(crew)
    yield driver
    driver.close()
    if driver._thread is not None:
        driver._thread.join(10)
        assert not driver._thread.is_alive()
    crew.close()


@pytest.fixture
def pair():
    opened = []

    def make():
        here, there = socket.socketpair()
        here.setblocking(False)
        opened.extend((here, there))
        return here, there

    yield make
    for sock in opened:
        sock.close()


def receiving(sock, seen, count=1):
    for _ in range(count):
        yield Ready(sock)
        seen.append((sock.recv(100), threading.current_thread().name))


def test_each_goes_on_when_its_socket_can_and_all_are_in_one_thread(driver, pair):
    ends = [pair() for _ in range(20)]
    seen = []
    jobs = [driver.submit(receiving(here, seen, count=3)) for here, _ in ends]
    for _ in range(3):
        wanted = len(seen) + 1
        for number, (_, there) in enumerate(ends):
            there.send(b"%d" % number)
        while len(seen) < wanted:
            time.sleep(0.001)
    for number, (_, there) in enumerate(ends):
        there.send(b"%d" % number)
        there.send(b"%d" % number)
        there.close()
        jobs[number].future.result(10)
    assert {name for _, name in seen} == {driver._thread.name}
    assert threading.current_thread().name != driver._thread.name


def test_what_blocks_is_done_aside_and_others_go_on(driver, pair):
    here, there = pair()
    leave = threading.Event()
    results = []

    def blocking():
        results.append((yield from aside(lambda: leave.wait(10))))
        with pytest.raises(ZeroDivisionError):
            yield from aside(lambda: 1 // 0)
        results.append("went on")

    slow = driver.submit(blocking())
    seen = []
    quick = driver.submit(receiving(here, seen))
    there.send(b"x")
    quick.future.result(10)
    assert results == []
    leave.set()
    slow.future.result(10)
    assert results == [True, "went on"]


def test_an_error_is_of_the_one_that_it_is_raised_in(driver, pair):
    here, there = pair()
    seen = []

    def failing():
        yield Ready(here)
        raise ZeroDivisionError

    there.send(b"x")
    with pytest.raises(ZeroDivisionError):
        driver.submit(failing()).future.result(10)
    driver.submit(receiving(here, seen)).future.result(10)
    assert len(seen) == 1
    here.close()
    with pytest.raises(ValueError, match="file descriptor"):
        driver.submit(receiving(here, seen)).future.result(10)


def test_one_that_is_asked_stops_where_it_waits(driver, pair):
    here, there = pair()
    other, _ = pair()
    seen = []
    job = driver.submit(receiving(here, []))
    stays = driver.submit(receiving(other, seen))
    job.interrupt()
    with pytest.raises(ConnectionLostError, match="interrupted"):
        job.future.result(10)
    assert not stays.future.done()
    # Its socket is free for the next one, and so is whoever has been asked too late.
    job.interrupt()
    again = driver.submit(receiving(here, seen))
    there.send(b"x")
    again.future.result(10)
    stays.interrupt()
    with pytest.raises(ConnectionLostError):
        stays.future.result(10)


@pytest.mark.parametrize("steady", [False, True])
def test_what_is_done_aside_is_not_broken_off(driver, pair, steady):
    here, _ = pair()
    begun, leave, passed = threading.Event(), threading.Event(), []

    def blocking():
        begun.set()
        leave.wait(10)
        passed.append("done")

    def steps():
        yield from aside(blocking, steady=steady)
        passed.append("after")
        yield Ready(here)
        passed.append("never")

    job = driver.submit(steps())
    begun.wait(10)
    job.interrupt()
    time.sleep(0.01)
    assert not job.future.done()
    leave.set()
    with pytest.raises(ConnectionLostError):
        job.future.result(10)
    assert passed == (["done", "after"] if steady else ["done"])


def test_a_peer_that_talks_while_nobody_waits_keeps_nobody_busy(driver, pair):
    here, there = pair()
    seen = []
    there.send(b"1")
    driver.submit(receiving(here, seen)).future.result(10)
    there.send(b"2")
    time.sleep(0.02)
    before = time.thread_time(), time.process_time()
    time.sleep(0.1)
    spent = (time.process_time() - before[1]) - (time.thread_time() - before[0])
    assert spent < 0.05
    driver.submit(receiving(here, seen)).future.result(10)
    assert [data for data, _ in seen] == [b"1", b"2"]


def test_a_descriptor_may_be_that_of_another_socket_by_now(driver, pair):
    seen = []
    for _ in range(20):
        here, there = pair()
        there.send(b"x")
        driver.submit(receiving(here, seen)).future.result(10)
        here.close()
        there.close()
    assert len(seen) == 20


def test_more_than_the_kernel_takes_is_sent_when_it_can(driver, pair):
    here, there = pair()
    data = bytes(5_000_000)

    def sending():
        view = memoryview(data)
        while view:
            try:
                view = view[here.send(view) :]
            except BlockingIOError:
                yield Ready(here, writing=True)
        yield Ready(here)

    job = driver.submit(sending())
    got = 0
    while got < len(data):
        got += len(there.recv(1 << 20))
    there.send(b"x")
    job.future.result(10)


def test_the_thread_ends_with_the_last_job(pair):
    driver = Driver(Crew())
    here, there = pair()
    job = driver.submit(receiving(here, []))
    driver.close()
    there.send(b"x")
    job.future.result(10)
    assert driver._thread is not None
    driver._thread.join(10)
    assert not driver._thread.is_alive()


def test_a_socket_that_a_child_still_holds_keeps_nobody_busy_once_it_is_closed(driver, pair):
    here, there = pair()
    seen = []
    job = driver.submit(receiving(here, seen))
    there.send(b"x")
    job.future.result(10)
    held = os.dup(here.fileno())  # as a fork of this process would
    driver.forget(here)
    here.close()
    there.send(b"more, which nobody takes")
    other, _ = pair()
    waiting = driver.submit(receiving(other, []))
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    waiting.interrupt()
    os.close(held)


def test_what_cannot_be_waited_for_is_cleaned_up(driver, monkeypatch):
    cleaned = []

    def steps():
        try:
            yield from aside(lambda: None)
        finally:
            cleaned.append(True)

    def no_more(work, name):
        raise LocalError("no more threads")

    monkeypatch.setattr("transfer.mover.crew.begin", no_more)
    with pytest.raises(LocalError):
        driver.submit(steps()).future.result(10)
    assert cleaned == [True]


def test_where_there_are_no_threads_the_next_one_may_find_one(monkeypatch):
    def no_more(self):
        raise RuntimeError("can't start new thread")

    crew = Crew()
    driver = Driver(crew)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        for submit in (driver.submit, crew.submit):
            with pytest.raises(LocalError, match="cannot begin a thread"):
                submit(lambda: None)
    assert crew.submit(lambda: 1).result(10) == 1
    crew.close()
    driver.close()
