"""Server-side copies to a bucket of S3, from any bucket at the same endpoint.

Source: UploadPartCopy, CopyObject in the Amazon S3 API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.presigned import upload_id
from backends.s3 import checksums as s3_checksums
from backends.s3.control import COMPLETE_PATIENCE
from backends.s3.documents import Document
from backends.server_copies import ServerCopies
from transfer.model import Receipt
from transfer.signing import quote_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backends.s3.access import Signing
    from backends.s3.control import S3Control
    from transfer.model import Intent, ObjectInfo, Part, Upload
    from transfer.store import Origin, Source
    from transfer.tally import Tally


class S3Copies(ServerCopies):
    """Copies to one bucket."""

    def __init__(self, control: S3Control, signing: Signing) -> None:
        super().__init__(f"s3 {signing.settings.s3_endpoint_url or 'aws'}", "s3://", proved=True)
        self._control = control
        self._has_extra_args = bool(signing.put_headers)

    async def part(
        self, upload: Upload, part: Part, source: Source, tally: Tally
    ) -> Receipt | None:
        """UploadPartCopy; None if the bytes have to be moved."""
        origin = self.usable(source)
        if origin is None:
            return None
        what = f"copy part {part.number} of {upload.key}"
        headers = {"x-amz-copy-source-range": f"bytes={origin.span.start}-{origin.span.stop - 1}"}
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        fields = await self.made(origin, self._ask(what, upload.key, origin, query, headers))
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
        if origin is None or self._has_extra_args:
            return None
        if await self.made(origin, self._ask(f"copy to {key}", key, origin, {}, {})) is None:
            return None
        tally.skip(origin.span.size)
        return self.check_size(origin, await look(key))

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
        return Document(what, answer.body, "Copy").fields
