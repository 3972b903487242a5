"""The part URLs of one upload: fetched in small batches, just before they are needed.

Signing everything at the start is how uploads die after an hour: the last URLs
have expired before their turn comes. A URL is used once; a retry takes a new one.
Receipts of parts that have arrived travel along with the next request. A URL that
is bound to a content cannot be fetched ahead of it: then those that are wanted at
the same time share a request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

import anyio

from transfer.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from transfer.checksums import Checksum
    from transfer.model import Receipt
    from transfer.wire import Signed, SignedParts

    Fetch: TypeAlias = Callable[
        [Sequence[int], Sequence[Checksum], Sequence[Receipt]], Awaitable[SignedParts]
    ]

BATCH = 16
# A URL this close to its end, in seconds, is not used any more.
_MARGIN = 15.0


class UrlBook:
    """URLs by part number; `fetch` asks for some and reports receipts."""

    def __init__(self, count: int, fetch: Fetch) -> None:
        self._count = count
        self._fetch = fetch
        self._urls: dict[int, tuple[float, Signed]] = {}
        self._asked = 0
        self._waiting: dict[int, Receipt] = {}
        self._reported: dict[int, Receipt] = {}
        self._wanted: dict[int, Checksum] = {}
        self._lock = anyio.Lock()

    async def take(self, number: int, checksum: Checksum | None = None) -> Signed:
        """Return a URL for a part, good for long enough to begin with it.

        With a checksum, it is good for that content only.
        """
        if checksum is not None:
            self._urls.pop(number, None)
            self._wanted[number] = checksum
        try:
            async with self._lock:
                found = self._urls.pop(number, None)
                if found is None or found[0] < time.monotonic():
                    await self._fill(number)
                    found = self._urls.pop(number)
        finally:
            self._wanted.pop(number, None)
        return found[1]

    def sent(self, receipt: Receipt) -> None:
        """Note that a part has arrived."""
        self._waiting[receipt.number] = receipt

    def unreported(self, receipts: Sequence[Receipt]) -> list[Receipt]:
        """Return those of the receipts that the coordinator does not have yet."""
        return [r for r in receipts if self._reported.get(r.number) != r]

    async def _fill(self, number: int) -> None:
        if self._wanted:
            numbers = [n for n in self._wanted if n not in self._urls]
        else:
            following = range(max(number, self._asked) + 1, self._count + 1)[: BATCH - 1]
            numbers = [number, *following]
        checksums = [self._wanted[n] for n in numbers if n in self._wanted]
        receipts = list(self._waiting.values())
        found = await self._fetch(numbers, checksums, receipts)
        for receipt in receipts:
            self._reported[receipt.number] = receipt
            if self._waiting.get(receipt.number) == receipt:
                del self._waiting[receipt.number]
        if [part.number for part in found.parts] != numbers:
            raise ProtocolError("the coordinator signed other parts than it was asked for")
        now = time.monotonic()
        for part in found.parts:
            until = now + part.request.expires_in - min(_MARGIN, part.request.expires_in / 2)
            self._urls[part.number] = until, part.request
        self._asked = max(self._asked, numbers[-1])
