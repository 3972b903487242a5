"""Buffers for what arrives: few, used again at once, so that they stay in the processor's caches.

A thread holds one only while there is something to do for a processor: taking
what has arrived, hashing it, writing it away. It waits for its socket without.
With a buffer for each connection, as many threads would fight for Python's lock
as there are connections, each with a buffer that the others have pushed out of
the caches.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from transfer.processors import usable_processors
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Generator

_SIZE = 2 * MIB
# More would wait for Python's lock; and they count in the memory that is used.
_MOST = 8
# Those who have the buffers may be waiting for a disk that does not answer: once nobody has
# given one back for so many seconds, whoever waits gets along with a small one of his own.
_PATIENCE = 0.5
_SMALL = 256 * 1024


class Buffers:
    """As many buffers as there are processors, but two at least: one may wait for a disk."""

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(min(max(2, usable_processors()), _MOST)):
            # Its memory is the kernel's until it is used.
            self._free.put(memoryview(bytearray(_SIZE)))
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
