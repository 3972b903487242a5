"""Parts whose bytes are on their way to this coordinator: of each, one attempt may write.

A client that lost a connection sends the part again, while what it sent before
may still lie in a buffer on the way: two writers of one range, of which the late
one could change what the other has proved. So a later attempt ends an earlier
one, and while an upload is completed or aborted nothing of it is written.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from transfer.errors import ConnectionLostError, UnsettledError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class _Attempt:
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    over: anyio.Event = field(default_factory=anyio.Event)

    async def end(self) -> None:
        self.scope.cancel()
        await self.over.wait()


class Arrivals:
    """Attempts by upload and part number, as far as they come to this process."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, int], _Attempt] = {}
        self._closed: set[str] = set()

    @asynccontextmanager
    async def writing(self, upload_id: str, number: int) -> AsyncIterator[None]:
        """Be the one attempt that writes a part; ConnectionLostError if a later request ends it."""
        place = upload_id, number
        while (earlier := self._attempts.get(place)) is not None:
            await earlier.end()
        if upload_id in self._closed:
            raise UnsettledError(f"the upload {upload_id} is being completed or aborted")
        attempt = self._attempts[place] = _Attempt()
        try:
            with attempt.scope:
                yield
        finally:
            del self._attempts[place]
            attempt.over.set()
        if attempt.scope.cancelled_caught:
            raise ConnectionLostError(f"this attempt of part {number} was ended by a later request")

    @asynccontextmanager
    async def closed(self, upload_id: str) -> AsyncIterator[None]:
        """Let nothing of an upload be written while the block lasts."""
        self._closed.add(upload_id)
        try:
            for (upload, _), attempt in list(self._attempts.items()):
                if upload == upload_id:
                    await attempt.end()
            yield
        finally:
            self._closed.discard(upload_id)
