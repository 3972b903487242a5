"""Threads for exchanges: as many as there is work for at once, and none waited for at exit.

The standard library's executor joins its threads when the interpreter ends, so
that a name server that does not answer would hold up a program that was told to
stop. These threads are daemons: whoever needs one to end waits for it by name.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from transfer.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def begin(work: Callable[[], None], name: str) -> threading.Thread:
    """Begin a thread that nobody waits for at exit; LocalError if there are no more."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        hint = "raise the limit of processes (`ulimit -u`, pids of a container)"
        raise LocalError(f"cannot begin a thread: {error}", hint=hint) from None
    return thread


class Crew:
    """Runs functions in threads, each at once; idle threads wait for the next."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run a function; the future has its result, or what it raised.

        Raises LocalError where the system has no more threads.
        """
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                future.set_exception(error)

        with self._lock:
            if self._idle and not self._closed:
                self._idle -= 1
            else:
                begin(self._loop, f"transfer-{self._threads + 1}")
                self._threads += 1
            self._work.put(run)
            if self._closed:  # whoever is late has a thread for once
                self._work.put(None)
        return future

    def close(self) -> None:
        """Let the threads end, each when its work is done."""
        with self._lock:
            self._closed = True
            for _ in range(self._threads):
                self._work.put(None)

    def _loop(self) -> None:
        while (run := self._work.get()) is not None:
            run()
            with self._lock:
                self._idle += 1
