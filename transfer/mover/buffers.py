"""Buffers for what arrives: few, used again at once, so that they stay in the processor's caches.

A thread holds one only while there is something to do for a processor: taking
what has arrived, hashing it, writing it away, or the same in the other direction.
It waits for its socket without.
With a buffer for each connection, as many threads would fight for Python's lock
as there are connections, each with a buffer that the others have pushed out of
the caches. For what has to wait with a buffer in hand, a thread has one of its own.
"""

from __future__ import annotations

import mmap
import threading
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from transfer.processors import usable_processors
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Generator

# Whoever has a buffer goes on with it while there is more to do, for so many seconds at most:
# what fewer connections carry at a time is still in the caches.
HELD = 0.1
_SIZE = 2 * MIB
_OWN_SIZE = MIB
# More would wait for Python's lock; and they count in the memory that is used.
_MOST = 8
# Those who have the buffers may be waiting for a disk that does not answer: once nobody has
# given one back for so many seconds, whoever waits gets along with a small one of his own.
_PATIENCE = 0.5
_SMALL = 256 * 1024

_OWN = threading.local()


class Buffers:
    """As many buffers as there are processors, but two at least: one may wait for a disk."""

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(min(max(2, usable_processors()), _MOST)):
            self._free.put(_room(_SIZE))
        self._given_back = 0

    @contextmanager
    def one(self) -> Generator[memoryview]:
        """Hold a buffer; waits for one, but not for long."""
        buffer = self._wait()
        if buffer is None:
            yield memoryview(bytearray(_SMALL))
            return
        try:
            yield buffer
        finally:
            self._given_back += 1
            self._free.put(buffer)

    def _wait(self) -> memoryview | None:
        while True:
            before = self._given_back
            with suppress(Empty):
                return self._free.get(timeout=_PATIENCE)
            if self._given_back == before:
                return None


def own_buffer() -> memoryview:
    """Return this thread's buffer."""
    found: memoryview | None = getattr(_OWN, "view", None)
    if found is None:
        found = _OWN.view = _room(_OWN_SIZE)
    return found


def _room(size: int) -> memoryview:
    """Return memory that is the kernel's until it is used, in one page if there are such."""
    room = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    advice: int | None = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None:
        with suppress(OSError):  # the kernel was built without them
            room.madvise(advice)
    return memoryview(room)
