"""Multipart uploads to S3.

Sources: Amazon S3 API reference (CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, ListParts), "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.error_documents import refused_overwrite
from backends.marks import MARK, MARK_LENGTH, upload_id
from backends.presigned import bind, send_signed
from backends.s3 import checksums as s3_checksums
from backends.s3.control import COMPLETE_PATIENCE
from backends.s3.documents import Document, parts_document
from backends.s3.requests import LIFETIME
from backends.spool import at_hand
from transfer.errors import (
    ExistsError,
    IntegrityError,
    NotFoundError,
    RejectedError,
    TemporaryError,
    TransferError,
    UnsettledError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.model import ObjectInfo, PartLimits, Receipt, Upload
from transfer.review import review
from transfer.sizes import GIB, MIB, TIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.s3.bucket import S3Bucket
    from transfer.checksums import Algorithm
    from transfer.model import Expected, Intent, Part
    from transfer.store import Source
    from transfer.tally import Tally

LIMITS = PartLimits(
    min_size=5 * MIB,
    max_size=5 * GIB,
    max_count=10_000,
    max_object=int(48.8 * TIB),
)
_ABORTS = 3


class S3Parts:
    """Multipart uploads; the id of an `Upload` is our mark and the store's own id."""

    limits = LIMITS
    resumable = True

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    async def create(self, key: str, intent: Intent) -> Upload:
        """CreateMultipartUpload, with our mark in the metadata."""
        algorithm = self._bucket.checksumming(intent)
        try:
            return await self._create(key, intent, algorithm)
        except (RejectedError, UnsupportedError):
            if not s3_checksums.create_headers(algorithm) or self._bucket.confirmed:
                raise
        # Perhaps it was the checksum that it would not have.
        upload = await self._create(key, intent, None)
        self._bucket.refuses_checksums = True
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """UploadPart, presigned; bound to its content where the store checks that."""
        bucket = self._bucket
        copied = await bucket.copies.part(upload, part, source, tally)
        if copied is not None:
            return copied
        if upload.algorithm is None:
            return await self._send(upload, part, source, tally)
        async with at_hand(source) as near:
            return await self._send(upload, part, near, tally)

    async def _send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        bucket = self._bucket
        what = f"write part {part.number} of {bucket.url}/{upload.key}"
        checksum = await bind(source, upload.algorithm, tally)
        signed = await bucket.presigner.sign_part(upload, part, checksum, LIFETIME)
        answer = await send_signed(
            bucket.mover,
            signed,
            source,
            tally,
            tls=bucket.signing.tls,
            error_of=lambda answer: bucket.error(what, answer),
        )
        etag = answer.headers.get("etag", "")
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given: S3 keeps it until it is aborted."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """ListParts, all pages."""
        del reread
        receipts: list[Receipt] = []
        marker = ""
        while True:
            page = await self._list(upload, marker)
            receipts += [_receipt(item) for item in page.items("Part")]
            marker = page.fields.get("NextPartNumberMarker", "")
            if page.fields.get("IsTruncated") != "true" or not marker:
                return receipts

    async def _list(self, upload: Upload, marker: str) -> Document:
        bucket = self._bucket
        what = f"list the parts of {bucket.url}/{upload.key}"
        query = {"uploadId": upload_id(upload)}
        if marker:
            query["part-number-marker"] = marker
        try:
            answer = await bucket.control.ask(what, "GET", upload.key, query=query)
        except UploadGoneError:
            raise
        except NotFoundError as error:
            # Ceph says that the key does not exist when it is the upload that does not.
            raise UploadGoneError(error.message) from None
        return Document(what, answer.body, "List")

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Review, CompleteMultipartUpload, and a look at the object where that was unclear."""
        try:
            await self._complete(upload, receipts, expected)
        except (ExistsError, UploadGoneError, TemporaryError) as error:
            mark = upload.id[:MARK_LENGTH]
            info = await self._bucket.find_own(upload.key, mark, error)
        else:
            info = await self._bucket.stat(upload.key)
        if expected.size is not None and info.size != expected.size:
            raise IntegrityError(
                f"{self._bucket.url}/{upload.key} has {info.size} bytes, {expected.size} were sent"
            )
        return info

    async def abort(self, upload: Upload) -> None:
        """AbortMultipartUpload until nothing is listed; one that is gone is fine.

        A part that was under way may arrive after it: "it might be necessary to
        abort a given multipart upload multiple times" (API reference).
        """
        for _ in range(_ABORTS):
            try:
                await self._abort(upload)
                await self.sent(upload)
            except NotFoundError:
                return
        raise UnsettledError(
            f"the upload to {self._bucket.url}/{upload.key} is still there after {_ABORTS} aborts"
        )

    async def _abort(self, upload: Upload) -> None:
        bucket = self._bucket
        what = f"give up the upload to {bucket.url}/{upload.key}"
        query = {"uploadId": upload_id(upload)}
        await bucket.control.ask(what, "DELETE", upload.key, query=query)

    async def _create(self, key: str, intent: Intent, algorithm: Algorithm | None) -> Upload:
        bucket = self._bucket
        what = f"open an upload to {bucket.url}/{key}"
        headers = bucket.presigner.requests.object_headers(key, intent)
        headers |= {f"x-amz-meta-{MARK}": intent.nonce, **s3_checksums.create_headers(algorithm)}
        answer = await bucket.control.ask(what, "POST", key, query={"uploads": ""}, headers=headers)
        opened = Document(what, answer.body, "InitiateMultipartUpload")
        checked = s3_checksums.confirmed(algorithm, answer.headers)
        bucket.confirmed = bucket.confirmed or checked in s3_checksums.FULL_OBJECT
        upload = f"{intent.nonce}{opened.fields['UploadId']}"
        return Upload(key, upload, intent.size, intent.part_size, checked)

    async def _complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> None:
        bucket = self._bucket
        checksum = review(upload, receipts, await self.sent(upload), expected)
        headers = {"If-None-Match": "*"} if expected.no_clobber else {}
        if upload.algorithm in s3_checksums.FULL_OBJECT and checksum is not None:
            headers |= {"x-amz-checksum-type": "FULL_OBJECT", **s3_checksums.header(checksum)}
            headers["x-amz-mp-object-size"] = str(sum(receipt.size for receipt in receipts))
        what = f"complete {bucket.url}/{upload.key}"
        try:
            answer = await bucket.control.ask(
                what,
                "POST",
                upload.key,
                query={"uploadId": upload_id(upload)},
                headers=headers,
                body=parts_document(_part(upload, receipt) for receipt in receipts),
                patience=COMPLETE_PATIENCE,
            )
            Document(what, answer.body, "CompleteMultipartUpload")
        except TransferError as error:
            raise refused_overwrite(error) if expected.no_clobber else error from None


def _part(upload: Upload, receipt: Receipt) -> dict[str, str | int]:
    part: dict[str, str | int] = {"PartNumber": receipt.number, "ETag": receipt.etag}
    if upload.algorithm in s3_checksums.FULL_OBJECT:
        part |= s3_checksums.fields(receipt.checksum)
    return part


def _receipt(item: Mapping[str, str]) -> Receipt:
    return Receipt(
        int(item["PartNumber"]), int(item["Size"]), item["ETag"], s3_checksums.of_fields(item)
    )
