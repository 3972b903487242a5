"""One thread that carries many small things by turns, each until it has to wait.

As many threads as there is work for would take Python's lock from one another at
every system call, and be woken up one by one: that costs more than the work. Here
only what blocks and cannot be told to do otherwise has another thread (`Aside`).
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer.errors import ConnectionLostError
from transfer.mover.crew import begin
from transfer.quick import Aside, Ready

if TYPE_CHECKING:
    from transfer.mover.crew import Crew
    from transfer.quick import Steps

_EVENTS = {False: selectors.EVENT_READ, True: selectors.EVENT_WRITE}


@dataclass(slots=True, eq=False)
class Job:
    """Steps that are on their way; `future` is done when they are."""

    steps: Steps[None]
    driver: Driver
    future: Future[None] = field(default_factory=Future)
    waiting: int | None = None
    asked: bool = False
    steady: bool = False

    def interrupt(self) -> None:
        """Have ConnectionLostError raised where it waits; called from another thread."""
        self.driver.interrupt(self)


class Driver:
    """The thread, which begins with the first job; `close` lets it end with the last."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._ready: deque[Job] = deque()
        # What other threads have to say: who is new, who can go on, who is to stop.
        self._inbox: deque[tuple[Job, bool]] = deque()
        self._waiting: dict[int, Job] = {}
        self._known: dict[int, tuple[socket.socket, bool]] = {}
        self._selector = selectors.DefaultSelector()
        self._bell, self._heard = socket.socketpair()
        self._bell.setblocking(False)
        self._heard.setblocking(False)
        self._asleep = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._jobs = 0
        self._closed = False

    def submit(self, steps: Steps[None]) -> Job:
        """Begin something; called from any thread. LocalError where there are no more threads."""
        job = Job(steps, self)
        job.future.set_running_or_notify_cancel()  # from now on only it says how it ends
        with self._lock:
            if self._thread is None:
                self._thread = begin(self._loop, "transfer")
            self._jobs += 1
        self._tell(job, stop=False)
        return job

    def interrupt(self, job: Job) -> None:
        """Have a job stop where it waits; what is done aside is not broken off."""
        self._tell(job, stop=True)

    def forget(self, sock: socket.socket) -> None:
        """Do not look at a socket that is about to be closed; called from any thread.

        Once it is, only the kernel could tell it from others, and does not where a child
        of this process holds a copy: then it would be ready for ever.
        """
        known = self._known.get(sock.fileno())
        if known is not None and known[0] is sock:
            self._forget(sock.fileno())

    def close(self) -> None:
        """Take nothing more on: the thread ends when the last job has."""
        with self._lock:
            self._closed = True
            begun = self._thread is not None
        if begun:
            self._ring()
        else:
            self._end()

    # --- from other threads

    def _tell(self, job: Job, *, stop: bool) -> None:
        self._inbox.append((job, stop))
        self._ring()

    def _ring(self) -> None:
        if self._asleep:
            with suppress(OSError):  # full of rings, or closed: it is not asleep
                self._bell.send(b"\0")

    # --- in the thread

    def _loop(self) -> None:
        self._selector.register(self._heard, selectors.EVENT_READ)
        while self._jobs or not self._closed:
            self._listen()
            for _ in range(len(self._ready)):
                self._step(self._ready.popleft())
        self._end()

    def _end(self) -> None:
        self._selector.close()
        self._bell.close()
        self._heard.close()

    def _listen(self) -> None:
        """Find out who can go on; wait if nobody can."""
        self._asleep = True  # before looking: whoever comes later rings
        idle = not self._ready and not self._inbox and (self._jobs or not self._closed)
        events = self._selector.select(None if idle else 0)
        self._asleep = False
        for key, _ in events:
            if key.fd == self._heard.fileno():
                with suppress(BlockingIOError):
                    self._heard.recv(4096)
            else:
                self._wake(key.fd)
        while self._inbox:
            job, stop = self._inbox.popleft()
            if stop:
                self._stop(job)
            else:
                self._ready.append(job)

    def _wake(self, fd: int) -> None:
        job = self._waiting.pop(fd, None)
        if job is None:
            # The peer talks, or hangs up, while nobody waits: it would never be silent.
            self._forget(fd)
            return
        job.waiting = None
        self._ready.append(job)

    def _stop(self, job: Job) -> None:
        job.asked = True
        if job.waiting is not None:
            self._wake(job.waiting)

    def _step(self, job: Job) -> None:
        try:
            if job.asked and not job.steady:
                job.asked = False
                wait = job.steps.throw(ConnectionLostError("interrupted"))
            else:
                wait = next(job.steps)
            while True:
                try:
                    return self._await(job, wait)
                except Exception as error:  # noqa: BLE001 - whoever waits for it has to clean up
                    wait = job.steps.throw(error)
        except StopIteration:
            self._ended()
            job.future.set_result(None)
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            self._ended()
            job.future.set_exception(error)

    def _ended(self) -> None:
        with self._lock:
            self._jobs -= 1

    def _await(self, job: Job, wait: Ready | Aside[object]) -> None:
        if isinstance(wait, Ready):
            job.steady = False
            self._watch(wait)
            job.waiting = wait.sock.fileno()
            self._waiting[job.waiting] = job
            if job.asked:
                self._wake(job.waiting)
        else:
            job.steady = wait.steady
            done = self._crew.submit(wait.run)
            done.add_done_callback(lambda _: self._tell(job, stop=False))

    def _watch(self, wait: Ready) -> None:
        """Have the selector look at a socket: once for many waits, as most are alike."""
        sock, writing = wait.sock, wait.writing
        fd = sock.fileno()
        known = self._known.get(fd)
        if known is not None and known[0] is sock and known[1] is writing:
            return
        if known is not None:
            self._forget(fd)
        self._selector.register(fd, _EVENTS[writing])
        self._known[fd] = sock, writing

    def _forget(self, fd: int) -> None:
        """Have the selector not look at a socket, which may be closed by now."""
        self._known.pop(fd, None)
        with suppress(KeyError, ValueError):  # not there, or there is no selector any more
            self._selector.unregister(fd)
