"""Threads that work in turn: one at a time, and nobody waits for one that is held up."""

from __future__ import annotations

import threading
import time

import pytest

from transfer.mover import turn
from transfer.mover.turn import Files, InTurn, OutOfTurn


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_one_works_at_a_time_and_gives_way_while_it_waits():
    order, go_on = [], threading.Event()

    def first():
        with InTurn():
            order.append("first works")
            with OutOfTurn():
                go_on.wait(10)
            order.append("first works again")

    def second():
        with InTurn():
            order.append("second works")
            go_on.set()
            time.sleep(0.01)
            order.append("second is done")

    threads = [in_thread(first)]
    while not order:
        time.sleep(0.001)
    threads.append(in_thread(second))
    for thread in threads:
        thread.join(10)
    assert order == ["first works", "second works", "second is done", "first works again"]


def test_one_that_is_held_up_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr(turn, "_PATIENCE", 0.05)
    worked = []

    def other():
        for _ in range(100):
            with InTurn():
                worked.append(turn._TURN.mine)
                with OutOfTurn():
                    pass

    with InTurn():
        began = time.monotonic()
        in_thread(other).join(10)
        # Only the first waits: then it is known.
        assert time.monotonic() - began < 2
        assert worked == [False] * 100
        with OutOfTurn():
            assert not turn._TURN.taken
    with InTurn():
        assert turn._TURN.mine


def test_an_error_gives_the_turn_back():
    with pytest.raises(ValueError, match="x"), InTurn(), OutOfTurn():
        raise ValueError("x")
    assert not turn._TURN.taken


def test_who_does_not_work_in_turn_has_nothing_to_give_way_with():
    with OutOfTurn():
        assert not turn._TURN.taken
    assert not turn._TURN.taken


def test_files_that_are_slow_are_read_at_once(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(turn.time, "perf_counter", lambda: next(clock) / 10_000)
    files = Files()
    for _ in range(20):
        files.run(lambda: None)
    assert not files.slow
    with InTurn():
        files.run(lambda: None)
        assert turn._TURN.taken
    monkeypatch.setattr(turn.time, "perf_counter", lambda: next(clock) / 100)
    for _ in range(20):
        files.run(lambda: None)
    assert files.slow
    with InTurn():
        assert not files.run(lambda: turn._TURN.taken)
        assert turn._TURN.taken
