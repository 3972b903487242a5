"""Connections that wait for their next exchange, shared by the threads."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from transfer.mover.connection import Connection
    from transfer.mover.http1 import Address
    from transfer.store import Tls

    Key: TypeAlias = tuple[Address, Tls]


class Pool:
    """The last one put back is the first one taken: the others may grow old and be closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: defaultdict[Key, list[Connection]] = defaultdict(list)
        self._closed = False

    def take(self, key: Key) -> Connection | None:
        """Return an idle connection that is still good, None if there is none."""
        while True:
            with self._lock:
                waiting = self._idle.get(key)
                connection = waiting.pop() if waiting else None
            if connection is None or connection.usable():
                return connection
            connection.close()

    def put(self, key: Key, connection: Connection) -> None:
        """Keep a connection for the next exchange."""
        connection.idle_since = time.monotonic()
        connection.fresh = False
        with self._lock:
            if not self._closed:
                self._idle[key].append(connection)
                return
        connection.close()

    def drop(self, key: Key) -> None:
        """Close those that are idle: the next exchange begins with a connection of its own.

        What was given up is done again on one whose windows no loss has narrowed.
        """
        with self._lock:
            idle = self._idle.pop(key, [])
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close all that are idle, and every one that comes back."""
        with self._lock:
            self._closed = True
            idle = [connection for waiting in self._idle.values() for connection in waiting]
            self._idle.clear()
        for connection in idle:
            connection.close()
