"""Server-side copies to a bucket of Cloud Storage, from any bucket of the same service.

A rewrite copies an object of any size: those within one location and storage class
are done at once, others in as many calls as it takes.
Source: "Objects: rewrite" of the Cloud Storage JSON API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.gcs.headers import info_of_resource
from backends.server_copies import ServerCopies

if TYPE_CHECKING:
    from backends.gcs.json_api import JsonApi
    from transfer.model import Intent, ObjectInfo
    from transfer.store import Source
    from transfer.tally import Tally


class GcsCopies(ServerCopies):
    """Copies to one bucket."""

    def __init__(self, api: JsonApi) -> None:
        super().__init__(f"gs {api.endpoint}", "gs://")
        self._api = api

    async def put(
        self, key: str, source: Source, intent: Intent, tally: Tally
    ) -> ObjectInfo | None:
        """Rewrite, of one generation; None if the bytes have to be moved."""
        origin = self.whole(source, intent)
        if origin is None:
            return None
        bucket, _, name = origin.place.partition("/")
        copy = self._api.rewrite(bucket, name, key, generation=origin.version or "")
        resource = await self.made(origin, copy)
        if resource is None:
            return None
        tally.skip(origin.span.size)
        return info_of_resource(resource, key)

    def place_of(self, key: str) -> str:
        """Return how an object of this bucket is called in a copy."""
        return f"{self._api.bucket}/{key}"
