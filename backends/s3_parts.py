"""Multipart uploads to S3.

Sources: Amazon S3 API reference (CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, ListParts), "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any, cast

from backends.presigned import send_signed
from backends.s3_client import COMPLETE_PATIENCE, sdk_errors
from backends.s3_errors import refused_overwrite
from backends.s3_presigner import MARK, MARK_LENGTH, upload_id
from transfer.errors import (
    IntegrityError,
    NotFoundError,
    TemporaryError,
    TransferError,
    UploadGoneError,
)
from transfer.model import ObjectInfo, PartLimits, Receipt, Upload
from transfer.review import review
from transfer.sizes import GIB, MIB, TIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.s3 import S3Store
    from transfer.model import Expected, Intent, Part
    from transfer.store import Source
    from transfer.tally import Tally

LIMITS = PartLimits(
    min_size=5 * MIB,
    max_size=5 * GIB,
    max_count=10_000,
    max_object=int(48.8 * TIB),
)
# Between signing and sending lies nothing but a free slot.
LIFETIME = 3600.0


class S3Parts:
    """Multipart uploads; the id of an `Upload` is our mark and the store's own id."""

    limits = LIMITS

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def create(self, key: str, intent: Intent) -> Upload:
        """CreateMultipartUpload, with our mark in the metadata."""
        store = self._store
        mark = intent.nonce
        arguments = dict(store.signing.settings.s3_extra_args)
        extra = cast("Mapping[str, str]", arguments.pop("Metadata", {}))
        arguments["Metadata"] = {**extra, **intent.metadata, MARK: mark}
        content_type = intent.content_type or mimetypes.guess_type(key)[0]
        if content_type is not None:
            arguments.setdefault("ContentType", content_type)
        with sdk_errors(f"open an upload to {store.url}/{key}"):
            opened = await store.client.create_multipart_upload(
                **store.names(key), **cast("dict[str, Any]", arguments)
            )
        return Upload(key, f"{mark}{opened['UploadId']}", intent.size, intent.part_size)

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """UploadPart, presigned."""
        store = self._store
        what = f"write part {part.number} of {store.url}/{upload.key}"
        signed = await store.presigner.sign_part(upload, part, None, LIFETIME)
        answer = await send_signed(
            store.mover,
            signed,
            source,
            tally,
            tls=store.signing.tls,
            error_of=lambda answer: store.error(what, answer),
        )
        etag = answer.headers.get("etag", "")
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def sent(self, upload: Upload) -> Sequence[Receipt]:
        """ListParts, all pages."""
        store = self._store
        receipts: list[Receipt] = []
        more: dict[str, Any] = {}
        while True:
            with sdk_errors(f"list the parts of {store.url}/{upload.key}"):
                page = await store.client.list_parts(
                    **store.names(upload.key), UploadId=upload_id(upload), **more
                )
            receipts += [
                Receipt(item["PartNumber"], item["Size"], item["ETag"])
                for item in page.get("Parts", [])
            ]
            if not page.get("IsTruncated"):
                return receipts
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Review, CompleteMultipartUpload, and a look at the object where that was unclear."""
        try:
            await self._complete(upload, receipts, expected)
        except (UploadGoneError, TemporaryError) as error:
            info = await self._find_own(upload, error)
        else:
            info = await self._store.stat(upload.key)
        if expected.size is not None and info.size != expected.size:
            raise IntegrityError(
                f"{self._store.url}/{upload.key} has {info.size} bytes, {expected.size} were sent"
            )
        return info

    async def abort(self, upload: Upload) -> None:
        """AbortMultipartUpload; one that is gone is fine."""
        store = self._store
        try:
            with sdk_errors(f"give up the upload to {store.url}/{upload.key}"):
                await store.client.abort_multipart_upload(
                    **store.names(upload.key), UploadId=upload_id(upload)
                )
        except NotFoundError:
            return

    async def _complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> None:
        store = self._store
        review(upload, receipts, await self.sent(upload), expected)
        more: dict[str, Any] = {"IfNoneMatch": "*"} if expected.no_clobber else {}
        try:
            with sdk_errors(f"complete {store.url}/{upload.key}", COMPLETE_PATIENCE):
                await store.client.complete_multipart_upload(
                    **store.names(upload.key),
                    UploadId=upload_id(upload),
                    MultipartUpload={
                        "Parts": [{"PartNumber": r.number, "ETag": r.etag} for r in receipts]
                    },
                    **more,
                )
        except TransferError as error:
            raise refused_overwrite(error) if expected.no_clobber else error from None

    async def _find_own(self, upload: Upload, error: TransferError) -> ObjectInfo:
        """Return the object if this very upload made it, else raise the error there was."""
        try:
            info, metadata = await self._store.head(upload.key)
        except TransferError:
            raise error from None
        if metadata.get(MARK) != upload.id[:MARK_LENGTH]:
            raise error
        return info
