"""The head of a request, and what it means that a connection broke before that of its answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from transfer.errors import ConnectionLostError
from transfer.mover.http1 import request_head
from transfer.mover.ranges import range_header

if TYPE_CHECKING:
    from transfer.mover.connection import Connection
    from transfer.store import Extent, Request

_AGAIN = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class StaleError(Exception):
    """A connection of the pool had been closed by the peer."""


def whole_head(request: Request, source: Extent | None) -> bytes:
    """Return the head of a request, whose body is its own or a source."""
    length: int | None = source.span.size if source else len(request.body) or None
    if source is None and length is None and request.method in {"PUT", "POST"}:
        length = 0
    headers = {"Accept-Encoding": "identity", **request.headers}
    if request.span is not None:
        headers["Range"] = range_header(request.span)
    return request_head(request.method, request.url, headers, length)


def lost(
    request: Request, connection: Connection, error: OSError | None, *, begun: bool
) -> Exception:
    """Return what is to be raised for a connection that broke before the end of a head.

    StaleError if nothing of an answer had `begun` on one that was idle before.
    """
    if not connection.fresh and not begun and request.method in _AGAIN:
        return StaleError()
    reason = os.strerror(error.errno) if error is not None and error.errno else "hung up"
    return ConnectionLostError(f"the connection broke: {reason}")
