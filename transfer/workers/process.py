"""A worker process: it carries what it is told to, until the other end hangs up.

One thread listens and tells how far things are, another carries (see `Carrier`). It has
no event loop, and imports nothing that takes its time: the first begins in less than a
tenth of a second, and is forked, while it has no threads, for all the others.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from concurrent.futures import wait
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from transfer.carrying import Load, Way
from transfer.checksums import Algorithm, new_digest
from transfer.errors import TransferError
from transfer.mover.carrier import Carrier
from transfer.mover.crew import Crew
from transfer.mover.trust import Trust
from transfer.workers import messages
from transfer.workers.messages import Carry, Know, Moving, Ready, Stop, Unpacker, packed

if TYPE_CHECKING:
    from transfer.mover.driver import Job
    from transfer.quick import Batcher, Steps
    from transfer.workers.messages import Message

# How often it tells how far loads are, in milliseconds.
_TICK = 100
_AT_ONCE = 256 * 1024
# How long loads may take to notice that they are stopped, in seconds.
_JOIN = 1.0
# What is made for a file is gone with it: a run makes no garbage in circles.
_COLLECTIONS = (50_000, 20, 100)


class WorkerProcess:
    """The loads of one process, and the line to whoever has given them.

    `parent` is a descriptor that can be read when that one has died: a fork of it may
    still hold the other end of the line.
    """

    def __init__(self, line: socket.socket, parent: int | None, connect_timeout: float) -> None:
        self._line = line
        self._parent = parent
        self._sending = threading.Lock()
        self._carrier = Carrier(Crew(), Trust(), connect_timeout=connect_timeout)
        self._known: dict[int, bytes] = {}
        self._batchers: dict[int, Batcher] = {}
        self._loads: dict[int, tuple[Load, Job]] = {}

    def run(self) -> None:
        """Do as told, until the other end hangs up; then bring everything to its end."""
        self._tell(Ready())
        arriving = Unpacker()
        poll = select.poll()
        poll.register(self._line, select.POLLIN)
        if self._parent is not None:
            poll.register(self._parent, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll(_TICK if self._loads else None)]
            data = self._receive() if self._line.fileno() in ready else None
            if data == b"" or self._parent in ready:
                break
            for message in arriving.feed(data or b""):
                self._do(message)
            self._tell_progress()
        self._stop_all()

    def _receive(self) -> bytes:
        try:
            return self._line.recv(_AT_ONCE)
        except ConnectionError:
            return b""

    def _do(self, message: Message) -> None:
        if isinstance(message, Know):
            self._known[message.number] = message.batcher
        elif isinstance(message, Carry):
            self._begin(message)
        elif isinstance(message, Stop) and message.number in self._loads:
            load, job = self._loads[message.number]
            if message.for_good:
                load.end()
            job.interrupt()

    def _begin(self, message: Carry) -> None:
        load = Load(messages.files_of(message), Way(*message.way))
        job = self._carrier.submit(self._carry(message, load))
        self._loads[message.number] = load, job
        job.future.add_done_callback(lambda _: self._end(message.number, load, job))

    def _carry(self, message: Carry, load: Load) -> Steps[None]:
        reader = self._batcher(message.source).reader(self._carrier)
        writer = self._batcher(message.target).writer(self._carrier, messages.intent_of(message))
        yield from load.run(reader, writer)

    def _batcher(self, number: int) -> Batcher:
        """Return the one of a number, which learns something with each load."""
        if number not in self._batchers:
            self._batchers[number] = pickle.loads(self._known[number])  # noqa: S301 - ours
        return self._batchers[number]

    def _end(self, number: int, load: Load, job: Job) -> None:
        error = job.future.exception()
        trouble = "" if error is None or isinstance(error, TransferError) else _trouble(error)
        arrived, left = load.end()
        self._loads.pop(number, None)
        self._tell(messages.ended(number, load.size, arrived, left, trouble))

    def _tell_progress(self) -> None:
        loads = [(number, load.size, load.pulse) for number, (load, _) in list(self._loads.items())]
        if loads:
            self._tell(Moving(loads))

    def _tell(self, message: Message) -> None:
        # Whoever has hung up does not listen; `run` finds that out.
        with self._sending, suppress(OSError):
            self._line.sendall(packed(message))

    def _stop_all(self) -> None:
        """Let nothing more arrive, and have clean-up done where that takes no time."""
        loads = list(self._loads.values())
        for load, job in loads:
            load.end()
            job.interrupt()
        wait([job.future for _, job in loads], _JOIN)


def _trouble(error: BaseException) -> str:
    """Say what went wrong where; what an unknown error says itself may hold a secret."""
    where = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join([type(error).__name__, *(f" in {f.filename}, line {f.lineno}" for f in where)])


def main() -> None:
    """Begin, as `fleet` has it: with a time-out, a line for each worker, and what to import."""
    connect_timeout, encoding = float(sys.argv[1]), sys.argv[2]
    lines, modules = (told.split(",") for told in sys.argv[3:5])
    if sys.getfilesystemencoding() != encoding:
        sys.exit(1)  # files would have other names here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever has started it decides
    new_digest(Algorithm.CRC32C)  # imports its library
    for module in filter(None, modules):
        import_module(module)
    gc.freeze()
    gc.set_threshold(*_COLLECTIONS)
    parent = _watched(os.getppid())
    own, *others = (socket.socket(fileno=int(line)) for line in lines)
    family = []
    for line in others:
        pid = os.fork()  # there are no threads yet
        if not pid:
            for other in (own, *others):
                if other is not line:
                    other.close()
            WorkerProcess(line, parent, connect_timeout).run()
            os._exit(0)
        family.append(pid)
    for line in others:
        line.close()
    WorkerProcess(own, parent, connect_timeout).run()
    for pid in family:
        os.waitpid(pid, 0)
    os._exit(0)  # the threads wait for work


def _watched(pid: int) -> int | None:
    """Return a descriptor that can be read once a process has died, where the system has such."""
    with suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return None
