"""Copies that S3 makes by itself, from one of its objects to another: no byte comes here.

Tried where both ends are at one endpoint with one set of credentials. A store
that has no copies, or does not let these credentials read the source from where
the target is, is not asked again: then the bytes are moved.

Source: UploadPartCopy, CopyObject in the Amazon S3 API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.presigned import upload_id
from backends.s3 import checksums as s3_checksums
from backends.s3.control import COMPLETE_PATIENCE
from backends.s3.documents import Document
from transfer.errors import (
    AccessError,
    PreconditionError,
    RejectedError,
    SourceChangedError,
    UnsupportedError,
)
from transfer.model import Receipt
from transfer.signing import quote_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.s3.access import Signing
    from backends.s3.control import S3Control
    from transfer.model import Intent, Part, Upload
    from transfer.store import Origin, Source
    from transfer.tally import Tally


class ServerCopies:
    """Server-side copies to one bucket; `realm` is what a source must be in."""

    def __init__(self, control: S3Control, signing: Signing) -> None:
        self._control = control
        self._has_extra_args = bool(signing.put_headers)
        self.realm = f"s3 {signing.settings.s3_endpoint_url or 'aws'}"
        self._refused = False

    async def part(
        self, upload: Upload, part: Part, source: Source, tally: Tally
    ) -> Receipt | None:
        """UploadPartCopy; None if the bytes have to be moved."""
        origin = self._usable(source)
        if origin is None:
            return None
        what = f"copy part {part.number} of {upload.key}"
        headers = {"x-amz-copy-source-range": f"bytes={origin.span.start}-{origin.span.stop - 1}"}
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        fields = await self._ask(what, upload.key, origin, query, headers)
        if fields is None:
            return None
        tally.skip(part.span.size)
        checksum = s3_checksums.of_fields(fields)
        return Receipt(part.number, part.span.size, fields.get("ETag", ""), checksum)

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> bool:
        """CopyObject; tell whether it could be done.

        It keeps the metadata of the source, and replaces what is there: where
        other metadata or a condition are asked for, the bytes are moved.
        """
        origin = self._usable(source)
        if origin is None or origin.span.start or intent.no_clobber or intent.metadata:
            return False
        if self._has_extra_args or origin.span.size != intent.size:
            return False
        if await self._ask(f"copy to {key}", key, origin, {}, {}) is None:
            return False
        tally.skip(origin.span.size)
        return True

    def _usable(self, source: Source) -> Origin | None:
        origin = source.origin
        if origin is None or origin.realm != self.realm or self._refused or not origin.span.size:
            return None
        # Without a version, parts of two objects could come together.
        return origin if origin.version else None

    async def _ask(
        self,
        what: str,
        key: str,
        origin: Origin,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Mapping[str, str] | None:
        """Return what the copy says of itself; None if this server makes none."""
        more = {
            "x-amz-copy-source": f"/{quote_key(origin.place)}",
            "x-amz-copy-source-if-match": origin.version or "",
            **headers,
        }
        try:
            answer = await self._control.ask(
                what, "PUT", key, query=query, headers=more, patience=COMPLETE_PATIENCE
            )
        except PreconditionError:
            raise _replaced(origin) from None
        except (AccessError, RejectedError, UnsupportedError):
            self._refused = True
            return None
        if origin.check is not None:
            await origin.check()  # some compatibles ignore the condition
        return Document(what, answer.body, "Copy").fields


def _replaced(origin: Origin) -> SourceChangedError:
    return SourceChangedError(f"s3://{origin.place} was replaced while it was copied")


def place_of(bucket: str, key: str) -> str:
    """Return how S3 calls an object in a copy."""
    return f"{bucket}/{key}"
