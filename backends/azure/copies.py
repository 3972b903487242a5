"""Server-side copies to a container, from any container of the same account.

The service reads the source by a URL that lets it in: with the account's key, a SAS
for that blob alone; with an identity, its token; a SAS that somebody gave may be for
more than one container. Source: "Copy Blob From URL", "Put Block From URL" of the
Azure Storage REST reference.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends.azure.blocks import Ticket
from backends.azure.requests import blob_path, block_path
from backends.server_copies import ServerCopies
from transfer.model import Receipt
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.azure.container import AzureContainer
    from transfer.model import Intent, ObjectInfo, Part, Upload
    from transfer.store import Origin, Source
    from transfer.tally import Tally

# What Copy Blob From URL takes; larger ones go in blocks.
_AT_ONCE = 256 * MIB
_PATIENCE = 600.0


class AzureCopies(ServerCopies):
    """Copies to one container."""

    def __init__(self, container: AzureContainer) -> None:
        super().__init__(f"az {container.endpoint}", "az://", proved=False)
        self._container = container

    async def part(
        self, upload: Upload, part: Part, source: Source, tally: Tally
    ) -> Receipt | None:
        """Put Block From URL; None if the bytes have to be moved, or are to be compared."""
        origin = self.usable(source)
        if origin is None or upload.algorithm is not None:
            return None
        block = Ticket.parse(upload.id).block(part.number)
        path = block_path(self._container.container, upload.key, block)
        headers = {"x-ms-source-range": f"bytes={origin.span.start}-{origin.span.stop - 1}"}
        what = f"copy part {part.number} of {self._container.url}/{upload.key}"
        if not await self._made(what, path, origin, headers):
            return None
        tally.skip(part.span.size)
        return Receipt(part.number, part.span.size, block)

    async def put(
        self, key: str, source: Source, intent: Intent, tally: Tally
    ) -> ObjectInfo | None:
        """Copy Blob From URL, and a look at it; None if the bytes have to be moved.

        Its MD5 is a property that was copied with it, which proves nothing.
        """
        origin = self.whole(source, intent)
        if origin is None or origin.span.size > _AT_ONCE:
            return None
        what = f"copy to {self._container.url}/{key}"
        path = blob_path(self._container.container, key)
        if not await self._made(what, path, origin, {"x-ms-requires-sync": "true"}):
            return None
        tally.skip(origin.span.size)
        return replace(self.check_size(origin, await self._container.stat(key)), checksum=None)

    async def _made(self, what: str, path: str, origin: Origin, headers: Mapping[str, str]) -> bool:
        container = self._container
        where, _, key = origin.place.partition("/")
        url = container.endpoint + blob_path(where, key)
        url, own = await container.access.admit_to_read(url, where, key)
        more = {
            "x-ms-copy-source": url,
            "x-ms-source-if-match": origin.version or "",
            **headers,
        }
        if "Authorization" in own:
            more["x-ms-copy-source-authorization"] = own["Authorization"]
        copy = container.ask(what, "PUT", path, more, patience=_PATIENCE)
        return await self.made(origin, copy) is not None
