"""Buffers for what arrives: few, used again at once, so that they stay in the processor's caches.

A thread holds one only while there is something to do for a processor: taking
what has arrived, hashing it, writing it away. It waits for its socket without.
With a buffer for each connection, as many threads would fight for Python's lock
as there are connections, each with a buffer that the others have pushed out of
the caches.
"""

from __future__ import annotations

from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

from transfer.processors import usable_processors
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Generator

_SIZE = 2 * MIB
# More would wait for Python's lock; and they count in the memory that is used.
_MOST = 8


class Buffers:
    """As many buffers as there are processors, but two at least: one may wait for a disk."""

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(min(max(2, usable_processors()), _MOST)):
            # Its memory is the kernel's until it is used.
            self._free.put(memoryview(bytearray(_SIZE)))

    @contextmanager
    def one(self) -> Generator[memoryview]:
        """Hold a buffer; waits for one."""
        buffer = self._free.get()
        try:
            yield buffer
        finally:
            self._free.put(buffer)
