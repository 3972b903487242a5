"""Multipart uploads to Cloud Storage, by its XML API.

The protocol is Amazon's: the same verbs, paths and documents. What differs is
the permission (V4 signatures of Google's), the name of the checksum header, and
that a Complete takes no precondition: an upload that must not replace anything
is not opened in parts, and goes in one request, which can be conditional.

Source: "XML API multipart uploads" of the Cloud Storage documentation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.gcs.headers import checksum_of_headers, info_of_headers, metadata_of_headers
from backends.gcs.presigner import object_headers
from backends.marks import MARK, MARK_LENGTH, upload_id
from backends.presigned import bind, check_echo, send_signed
from backends.s3.documents import Document, is_error, parts_document
from backends.spool import at_hand
from transfer.checksums import Algorithm, differ
from transfer.errors import (
    IntegrityError,
    NotFoundError,
    ProtocolError,
    TemporaryError,
    TransferError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.model import PartLimits, Receipt, Upload
from transfer.review import review
from transfer.sizes import GIB, MIB, TIB
from transfer.store import Request, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from backends.gcs.bucket import GcsBucket
    from transfer.model import Expected, Intent, ObjectInfo, Part
    from transfer.store import Source
    from transfer.tally import Tally

# "Quotas and limits": parts of 5 MiB to 5 GiB, 10,000 of them, objects of 5 TiB.
LIMITS = PartLimits(min_size=5 * MIB, max_size=5 * GIB, max_count=10_000, max_object=5 * TIB)
# Between signing and sending lies nothing but a free slot.
LIFETIME = 3600.0
# A Complete may keep quiet for minutes on a large object.
_COMPLETE_PATIENCE = 900.0


class GcsParts:
    """Multipart uploads; the id of an `Upload` is our mark and the store's own id."""

    limits = LIMITS
    resumable = True

    def __init__(self, bucket: GcsBucket) -> None:
        self._bucket = bucket

    async def create(self, key: str, intent: Intent) -> Upload:
        """Initiate, with our mark in the metadata."""
        if intent.no_clobber:
            raise UnsupportedError(
                f"{self._bucket.url}/{key}: uploads in parts cannot be told not to replace"
            )
        what = f"open an upload to {self._bucket.url}/{key}"
        headers = object_headers(key, intent)
        answer = await self._call(what, "POST", key, {"uploads": ""}, headers)
        opened = Document(what, answer.body, "InitiateMultipartUpload").fields.get("UploadId")
        if not opened:
            raise ProtocolError(f"{what}: the answer has no UploadId")
        checked = Algorithm.CRC32C if intent.algorithm is not None else None
        return Upload(key, f"{intent.nonce}{opened}", intent.size, intent.part_size, checked)

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Upload one part, bound to its content where that was hashed before."""
        if upload.algorithm is None:
            return await self._send(upload, part, source, tally)
        async with at_hand(source) as near:
            return await self._send(upload, part, near, tally)

    async def _send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        bucket = self._bucket
        what = f"write part {part.number} of {bucket.url}/{upload.key}"
        checksum = await bind(source, upload.algorithm, tally)
        signed = await bucket.presigner.sign_part(
            upload, part, checksum, LIFETIME, for_others=False
        )
        answer = await send_signed(
            bucket.mover,
            signed,
            source,
            tally,
            tls=None,
            error_of=lambda answer: bucket.error(what, answer),
        )
        echoed = checksum_of_headers(answer.headers)
        check_echo(what, str(echoed) if echoed else None, tally)
        etag = answer.headers.get("etag", "")
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given: it is kept until it is aborted."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """List the parts, all pages."""
        del reread
        what = f"list the parts of {self._bucket.url}/{upload.key}"
        receipts: list[Receipt] = []
        query = {"uploadId": upload_id(upload), "max-parts": "1000"}
        while True:
            answer = await self._call(what, "GET", upload.key, query)
            page = Document(what, answer.body, "ListParts")
            receipts += [_receipt(what, item) for item in page.items("Part")]
            marker = page.fields.get("NextPartNumberMarker", "")
            if page.fields.get("IsTruncated") != "true" or not marker:
                return receipts
            query["part-number-marker"] = marker

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Review, Complete, and look at the object: its size and CRC-32C must be ours."""
        checksum = None
        try:
            checksum = review(upload, receipts, await self.sent(upload), expected)
            await self._complete(upload, receipts)
        except (UploadGoneError, TemporaryError) as error:
            info = await self._find_own(upload, error)
        else:
            info = (await self._look(upload.key))[0]
        where = f"{self._bucket.url}/{upload.key}"
        if expected.size is not None and info.size != expected.size:
            raise IntegrityError(f"{where} has {info.size} bytes, {expected.size} were sent")
        for wanted in (checksum, expected.checksum):
            if wanted is not None and info.checksum is not None and differ(wanted, info.checksum):
                raise IntegrityError(
                    f"{where} has checksum {info.checksum.shown}, {wanted.shown} was sent"
                )
        return info

    async def abort(self, upload: Upload) -> None:
        """Abort; an upload that is gone is fine."""
        what = f"give up the upload to {self._bucket.url}/{upload.key}"
        try:
            await self._call(what, "DELETE", upload.key, {"uploadId": upload_id(upload)})
        except NotFoundError:
            return

    async def _complete(self, upload: Upload, receipts: Sequence[Receipt]) -> None:
        what = f"complete {self._bucket.url}/{upload.key}"
        answer = await self._call(
            what,
            "POST",
            upload.key,
            {"uploadId": upload_id(upload)},
            body=parts_document([{"PartNumber": r.number, "ETag": r.etag} for r in receipts]),
            patience=_COMPLETE_PATIENCE,
        )
        # It may say 200 before it knows.
        if is_error(answer.body):
            raise self._bucket.error(what, Response(500, answer.headers, answer.body))
        Document(what, answer.body, "CompleteMultipartUpload")

    async def _find_own(self, upload: Upload, error: TransferError) -> ObjectInfo:
        """Return the object if this very upload made it, else raise the error there was."""
        try:
            info, metadata = await self._look(upload.key)
        except TransferError:
            raise error from None
        if metadata.get(MARK) != upload.id[:MARK_LENGTH]:
            raise error
        return info

    async def _look(self, key: str) -> tuple[ObjectInfo, Mapping[str, str]]:
        answer = await self._call(f"look at {self._bucket.url}/{key}", "HEAD", key, {})
        return info_of_headers(key, answer.headers), metadata_of_headers(answer.headers)

    async def _call(
        self,
        what: str,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        patience: float | None = None,
    ) -> Response:
        """Ask, and return the answer; anything but 2xx is raised."""
        bucket = self._bucket
        signed = await bucket.presigner.sign(method, key, query, headers or {}, LIFETIME)
        sent = dict(signed.headers)
        if method == "POST":
            sent["Content-Length"] = str(len(body))
        request = Request(method, signed.url, sent, patience=patience, body=body)
        answer = await bucket.mover.exchange(request)
        if not answer.ok:
            raise bucket.error(what, answer)
        return answer


def _receipt(what: str, item: Mapping[str, str]) -> Receipt:
    try:
        return Receipt(int(item["PartNumber"]), int(item["Size"]), item["ETag"])
    except (KeyError, ValueError):
        raise ProtocolError(f"{what}: a part without number, size or ETag") from None
