"""A source that is dear to read, read once: into a file without a name, which the system frees.

A request that is bound to its content reads it twice, to hash and to send, and
again if it is repeated. From a store elsewhere that would be as many journeys.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio.to_thread

from transfer.files import FileSink, FileSource, local_errors
from transfer.model import Span
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.store import Source


@asynccontextmanager
async def at_hand(source: Source) -> AsyncIterator[Source]:
    """Return the source itself if it can be read again at no cost, else a copy on this disk.

    Raises what reading it raises, and LocalError, DiskFullError.
    """
    if source.origin is None or not source.size:
        yield source
        return
    span = Span(0, source.size)
    with ExitStack() as stack:
        with local_errors("buffer a part in", tempfile.gettempdir()):
            file = stack.enter_context(await anyio.to_thread.run_sync(tempfile.TemporaryFile))
            await source.pour(FileSink(file.fileno(), span), Tally())
        yield FileSource(file.fileno(), span)
