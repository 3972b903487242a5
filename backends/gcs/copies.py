"""Server-side copies to a bucket of Cloud Storage, from any bucket of the same service.

A rewrite copies an object of any size: those within one location and storage class
are done at once, others in as many calls as it takes.
Source: "Objects: rewrite" of the Cloud Storage JSON API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backends.gcs.headers import info_of_resource, resource_of
from backends.server_copies import ServerCopies
from transfer.errors import ProtocolError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.gcs.json_api import JsonApi
    from transfer.model import Intent, ObjectInfo
    from transfer.store import Origin, Source
    from transfer.tally import Tally


class GcsCopies(ServerCopies):
    """Copies to one bucket."""

    def __init__(self, api: JsonApi) -> None:
        super().__init__(f"gs {api.endpoint}", "gs://", proved=True)
        # Of rewrites that were begun and not finished, by what is copied to where.
        self._tokens: dict[tuple[str, str, str], str] = {}
        self._api = api

    async def put(
        self, key: str, source: Source, intent: Intent, tally: Tally
    ) -> ObjectInfo | None:
        """Rewrite, of one generation; None if the bytes have to be moved."""
        origin = self.whole(source, intent)
        if origin is None:
            return None
        resource = await self.made(origin, self._rewrite(origin, key))
        if resource is None:
            return None
        tally.skip(origin.span.size)
        return self.check_size(origin, info_of_resource(resource, key))

    async def _rewrite(self, origin: Origin, key: str) -> Mapping[str, Any]:
        """Ask until it is done; the next attempt goes on where this one was when it failed."""
        bucket, _, name = origin.place.partition("/")
        version = origin.version or ""
        job = origin.place, version, key
        token = self._tokens.pop(job, None)
        while True:
            try:
                said = await self._api.rewrite(bucket, name, key, generation=version, token=token)
            except TemporaryError:
                if token is not None:
                    self._tokens[job] = token
                raise
            if said.get("done"):
                return resource_of(said)
            token = str(said.get("rewriteToken") or "")
            if not token:
                raise ProtocolError(f"{key}: a rewrite is neither done nor to be gone on with")
