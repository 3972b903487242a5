"""Requests for one container that hold their own permission, for who has no credentials."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from backends.azure.access import with_sas
from backends.azure.blocks import Ticket
from backends.azure.requests import blob_path, block_path, md5_header, put_headers
from backends.azure.sas import sign
from transfer.store import SignedRequest

if TYPE_CHECKING:
    from backends.azure.access import KeyRing
    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo, Part, Upload


class AzureSigner:
    """Signs for the blobs of a container, at the address where clients reach the account."""

    def __init__(self, keys: KeyRing, endpoint: str, container: str) -> None:
        self._keys = keys
        self._endpoint = endpoint.rstrip("/")
        self._container = container

    async def sign_part(
        self, upload: Upload, part: Part, checksum: Checksum | None, lifetime: float
    ) -> SignedRequest:
        """Permit Put Block; Azure answers it with no ETag, so the block's id stands for one."""
        block = Ticket.parse(upload.id).block(part.number)
        path = block_path(self._container, upload.key, block)
        url = await self._signed(path, upload.key, "w", lifetime)
        return SignedRequest("PUT", url, md5_header(checksum), lifetime, etag=block)

    async def sign_put(self, key: str, intent: Intent, lifetime: float) -> SignedRequest:
        """Permit Put Blob; without the permission to write, it can only create."""
        path = blob_path(self._container, key)
        url = await self._signed(path, key, "c" if intent.no_clobber else "cw", lifetime)
        return SignedRequest("PUT", url, put_headers(key, intent), lifetime)

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit Get Blob."""
        path = blob_path(self._container, info.key)
        return SignedRequest("GET", await self._signed(path, info.key, "r", lifetime), {}, lifetime)

    async def _signed(self, path: str, key: str, permissions: str, lifetime: float) -> str:
        sas = sign(
            await self._keys.current(lifetime),
            self._container,
            key,
            permissions,
            expires=time.time() + lifetime,
            secure=self._endpoint.startswith("https:"),
        )
        return with_sas(self._endpoint + path, sas)
