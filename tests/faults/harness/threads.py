"""A server of the harness on an event loop of its own: for tests that are not async."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio.from_thread import start_blocking_portal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


@contextmanager
def in_thread(server: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Serve while the block lasts: `with in_thread(StrictStore()) as store:`.

    Its log and its objects can be read from here; rules are added before the
    requests that they are about.
    """
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server) as running:
        yield running
