"""Server-side copies to a bucket of S3, from any bucket at the same endpoint.

Some compatibles have no copies of parts: they take the request for an empty part,
say that all is well, and let no part be sent again. So the first copy of a part is
tried out in an upload of its own.

Source: UploadPartCopy, CopyObject in the Amazon S3 API reference.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from backends.marks import upload_id
from backends.s3 import checksums as s3_checksums
from backends.s3.control import COMPLETE_PATIENCE
from backends.s3.documents import Document
from backends.server_copies import ServerCopies
from transfer.errors import TransferError, UnsupportedError
from transfer.model import Receipt, Span
from transfer.signing import quote_key
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backends.s3.access import Access
    from backends.s3.control import S3Control
    from transfer.model import Intent, ObjectInfo, Part, Upload
    from transfer.store import Origin, Source
    from transfer.tally import Tally

# In the names of all its hosts; whoever else is there may have no copies of parts.
_AMAZON = ".amazonaws.com"
# What is tried out: the least that may be a part. The most that giving it up may take, in seconds.
_TRIAL = 5 * MIB
_TO_CLEAN_UP = 2.0


class S3Copies(ServerCopies):
    """Copies to one bucket."""

    def __init__(self, control: S3Control, access: Access) -> None:
        signing = access.signing
        super().__init__(f"s3 {signing.settings.s3_endpoint_url or 'aws'}", "s3://", proved=True)
        self._control = control
        self._put_headers = signing.put_headers
        self._copies_parts = _AMAZON in (urlsplit(access.base).hostname or "")
        self._trying = anyio.Lock()

    async def part(
        self, upload: Upload, part: Part, source: Source, tally: Tally
    ) -> Receipt | None:
        """UploadPartCopy; None if the bytes have to be moved."""
        origin = self.usable(source)
        if origin is None or not await self._tried(upload.key, origin):
            return None
        what = f"copy part {part.number} of {upload.key}"
        copy = self._ask_part(what, upload.key, origin, part.number, upload_id(upload))
        fields = await self.made(origin, copy)
        if fields is None:
            return None
        tally.skip(part.span.size)
        checksum = s3_checksums.of_fields(fields)
        return Receipt(part.number, part.span.size, fields.get("ETag", ""), checksum)

    async def put(
        self,
        key: str,
        source: Source,
        intent: Intent,
        tally: Tally,
        look: Callable[[str], Awaitable[ObjectInfo]],
    ) -> ObjectInfo | None:
        """CopyObject, and a look at it; None if the bytes have to be moved."""
        origin = self.whole(source, intent)
        if origin is None or self._put_headers:
            return None
        if await self.made(origin, self._ask(f"copy to {key}", key, origin, {}, {})) is None:
            return None
        tally.skip(origin.span.size)
        return self.check_size(origin, await look(key))

    async def _tried(self, key: str, origin: Origin) -> bool:
        """Tell whether parts can be copied: tried once, where that is not known."""
        async with self._trying:
            if not self._copies_parts and not self.refused:
                self._copies_parts = await self._try_out(key, origin)
        return not self.refused

    async def _try_out(self, key: str, origin: Origin) -> bool:
        """Copy a small part to an upload that is given up then."""
        what = f"try out a copy to {key}"
        answer = await self._control.ask(
            what, "POST", key, query={"uploads": ""}, headers=self._put_headers
        )
        trial = Document(what, answer.body, "InitiateMultipartUpload").fields["UploadId"]
        start, stop = origin.span.start, origin.span.stop
        some = replace(origin, span=Span(start, min(start + _TRIAL, stop)))
        try:
            return await self.made(some, self._ask_part(what, key, some, 1, trial)) is not None
        finally:
            # Who may not give uploads up is not kept from copying by that.
            with anyio.move_on_after(_TO_CLEAN_UP, shield=True), suppress(TransferError):
                await self._control.ask(what, "DELETE", key, query={"uploadId": trial})

    async def _ask_part(
        self, what: str, key: str, origin: Origin, number: int, upload: str
    ) -> Mapping[str, str]:
        headers = {"x-amz-copy-source-range": f"bytes={origin.span.start}-{origin.span.stop - 1}"}
        query = {"partNumber": str(number), "uploadId": upload}
        return await self._ask(what, key, origin, query, headers)

    async def _ask(
        self,
        what: str,
        key: str,
        origin: Origin,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Mapping[str, str]:
        """Return what the copy says of itself."""
        more = {
            "x-amz-copy-source": f"/{quote_key(origin.place)}",
            "x-amz-copy-source-if-match": origin.version or "",
            **headers,
        }
        answer = await self._control.ask(
            what, "PUT", key, query=query, headers=more, patience=COMPLETE_PATIENCE
        )
        if not answer.body:
            raise UnsupportedError(f"{what}: the server has stored nothing instead of a copy")
        return Document(what, answer.body, "Copy").fields
