"""Permissions to hand out: the store's own where it can sign, else URLs that point back here."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from transfer.store import SignedRequest
from transfer.wire import API_PATH

if TYPE_CHECKING:
    from transfer.checksums import Checksum
    from transfer.coordinator.counters import Counters
    from transfer.coordinator.objects import Destination
    from transfer.coordinator.permits import Permits
    from transfer.coordinator.sessions import Session
    from transfer.model import Intent, ObjectInfo, Part


@dataclass(frozen=True, slots=True)
class Links:
    """Signs for one destination."""

    destination: Destination
    permits: Permits
    counters: Counters

    async def part(
        self, session: Session, part: Part, checksum: Checksum | None, lifetime: float, base: str
    ) -> SignedRequest:
        """Permit one part, of this content if its checksum is given.

        `base` is this coordinator's address as the client reaches it.
        """
        self.counters.signed_parts += 1
        signer = self.destination.store.signer
        if signer is not None:
            return await signer.sign_part(session.upload, part, checksum, lifetime)
        path = f"{API_PATH}/data/uploads/{session.id}/parts/{part.number}"
        return self._own("PUT", path, lifetime, base, length=part.span.size)

    async def put(self, key: str, intent: Intent, lifetime: float, base: str) -> SignedRequest:
        """Permit one whole object."""
        self.counters.signed_puts += 1
        signer = self.destination.store.signer
        if signer is not None:
            return await signer.sign_put(self.destination.inner(key), intent, lifetime)
        path = f"{API_PATH}/data/objects/{quote(key)}"
        signed = self._own("PUT", path, lifetime, base, length=intent.size)
        return replace(signed, headers={"If-None-Match": "*"} if intent.no_clobber else {})

    async def read(self, info: ObjectInfo, lifetime: float, base: str) -> SignedRequest:
        """Permit reading an object that is known by our key."""
        self.counters.signed_reads += 1
        signer = self.destination.store.signer
        if signer is not None:
            inner = replace(info, key=self.destination.inner(info.key))
            return await signer.sign_read(inner, lifetime)
        path = f"{API_PATH}/data/objects/{quote(info.key)}"
        return self._own("GET", path, lifetime, base)

    def _own(
        self, method: str, path: str, lifetime: float, base: str, length: int | None = None
    ) -> SignedRequest:
        query = self.permits.sign(method, path, expires=time.time() + lifetime, length=length)
        return SignedRequest(method, f"{base}{path}?{query}", {}, lifetime)
