"""CompleteMultipartUpload: everything that has to agree before parts become an object.

The order of the checks, and the sentences, are those of answers recorded from
Amazon. Among them two traps: a checksum of a FULL_OBJECT upload is taken for a
composite one unless x-amz-checksum-type says what it is, and a checksum for an
upload that was created without an algorithm is not looked at.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.faults.harness.answers import Answer
from tests.faults.harness.conditions import check_write
from tests.faults.harness.digests import checksum_of, composite_of, is_valid
from tests.faults.harness.documents import document, fields, parts_named
from tests.faults.harness.objects import encryption, object_etag
from tests.faults.harness.refusals import (
    INVALID_PART,
    Refusal,
    invalid_header,
    invalid_request,
    no_such_upload,
)
from tests.faults.harness.shelf import Finished, Stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.harness.documents import NamedPart
    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.http1 import Request
    from tests.faults.harness.shelf import StoredPart, Upload

_LARGEST_BODY = 8 * 1024**2


async def complete_multipart_upload(exchange: Exchange) -> Answer:
    """Put an object together from the parts that are named."""
    shelf, personality = exchange.shelf, exchange.store.personality
    received = await exchange.receive(_LARGEST_BODY, checksums=False)
    named = parts_named(received.data)
    again = _completed_before(exchange, named)
    if again is not None:
        return again
    upload = exchange.upload()
    _check_order(upload, named)
    parts = [_find(exchange, upload, part) for part in named]
    _check_sizes(exchange, upload, parts)
    checksum = None
    if personality.checksums:
        _check_part_checksums(upload, named)
        checksum = _checksum(exchange.request, upload, parts)
        _check_object_size(exchange.request, parts)
    if personality.conditional and personality.conditional_complete:
        check_write(exchange.request, shelf, upload.bucket, upload.key, upload.born)
    stored = _assembled(exchange, upload, parts, checksum)
    shelf.keep(upload.bucket, stored)
    del shelf.uploads[upload.id]
    body = _result(exchange, stored)
    names = tuple((part.number, part.etag) for part in named)
    shelf.finished[upload.id] = Finished(upload.bucket, upload.key, names, body)
    return Answer(200, {"Content-Type": "application/xml", **encryption(upload.headers)}, body)


def _completed_before(exchange: Exchange, named: Sequence[NamedPart]) -> Answer | None:
    finished = exchange.shelf.finished.get(exchange.entry.upload_id or "")
    if finished is None or exchange.store.personality.complete_twice == "404":
        return None
    same = (finished.bucket, finished.key) == (exchange.bucket, exchange.key)
    if not same or finished.parts != tuple((part.number, part.etag) for part in named):
        return None
    return Answer(200, {"Content-Type": "application/xml"}, finished.body)


def _check_order(upload: Upload, named: Sequence[NamedPart]) -> None:
    numbers = [part.number for part in named]
    ascending = all(one < other for one, other in pairwise(numbers))
    gapless = numbers == list(range(1, len(numbers) + 1))
    if not ascending or (upload.checksum_type == "COMPOSITE" and not gapless):
        raise Refusal(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
            UploadId=upload.id,
        )


def _find(exchange: Exchange, upload: Upload, named: NamedPart) -> StoredPart:
    part = upload.parts.get(named.number)
    if part is not None and part.etag == named.etag:
        if not exchange.store.personality.checksums or not named.checksums:
            return part
        algorithm, value = next(iter(named.checksums.items()))
        if upload.algorithm is not None and algorithm != upload.algorithm:
            raise Refusal(
                "BadDigest",
                f"The {algorithm} you specified for part {named.number} did not match what we"
                " received.",
            )
        if (algorithm, value) == part.checksum:
            return part
    raise Refusal(
        "InvalidPart",
        INVALID_PART,
        UploadId=upload.id,
        PartNumber=named.number,
        ETag=named.etag,
    )


def _check_sizes(exchange: Exchange, upload: Upload, parts: Sequence[StoredPart]) -> None:
    personality = exchange.store.personality
    for part in parts[:-1]:
        if len(part.received) < personality.min_part:
            raise Refusal(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                ETag=part.etag,
                MinSizeAllowed=personality.min_part,
                PartNumber=part.number,
                ProposedSize=len(part.received),
            )
    sizes = [len(part.received) for part in parts]
    if personality.equal_parts and (len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]):
        sentence = "All non-trailing parts must have the same length."
        raise Refusal("InvalidPart", sentence, UploadId=upload.id)


def _check_part_checksums(upload: Upload, named: Sequence[NamedPart]) -> None:
    if upload.checksum_type != "COMPOSITE":
        return
    for part in named:
        if not part.checksums:
            raise invalid_request(
                f"The upload was created using a {upload.algorithm} checksum. The complete request"
                " must include the checksum for each part. It was missing for part"
                f" {part.number} in the request."
            )


def _checksum(
    request: Request, upload: Upload, parts: Sequence[StoredPart]
) -> tuple[str, str] | None:
    """Return the object's checksum, having compared it with the one in the request."""
    said = request.header("x-amz-checksum-type")
    if said is not None and said != upload.checksum_type:
        raise invalid_request(
            f"The upload was created using the {upload.checksum_type or 'null'} checksum mode. The"
            " complete request must use the same checksum mode."
        )
    claimed = _claimed(request)
    if upload.algorithm is None:
        return None
    whole = b"".join(part.received for part in parts)
    value = checksum_of(upload.algorithm, whole)
    if upload.checksum_type == "COMPOSITE":
        texts = [part.checksum[1] for part in parts if part.checksum is not None]
        value = f"{composite_of(upload.algorithm, texts)}-{len(parts)}"
    allowed = {(upload.algorithm, value)}
    if upload.checksum_type == "COMPOSITE":
        allowed.add((upload.algorithm, value.partition("-")[0]))
    untyped = upload.checksum_type == "FULL_OBJECT" and said is None
    if claimed is not None and (untyped or claimed not in allowed):
        sentence = f"The {upload.algorithm} you specified did not match the calculated checksum."
        raise Refusal("BadDigest", sentence)
    return upload.algorithm, value


def _claimed(request: Request) -> tuple[str, str] | None:
    for name, value in request.headers:
        algorithm = name.removeprefix("x-amz-checksum-")
        if algorithm in {name, "type", "algorithm", "mode"}:
            continue
        text, dash, count = value.partition("-")
        if not is_valid(algorithm, text) or (dash and not count.isdecimal()):
            raise invalid_header(name)
        return algorithm, value
    return None


def _check_object_size(request: Request, parts: Sequence[StoredPart]) -> None:
    said = request.header("x-amz-mp-object-size")
    size = sum(len(part.received) for part in parts)
    if said is not None and said != str(size):
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {said} does not match what was"
            f" computed: {size}"
        )


def _assembled(
    exchange: Exchange,
    upload: Upload,
    parts: list[StoredPart],
    checksum: tuple[str, str] | None,
) -> Stored:
    if upload.id not in exchange.shelf.uploads:
        raise no_such_upload(upload.id)
    return Stored(
        upload.key,
        b"".join(part.received for part in parts),
        b"".join(part.data for part in parts),
        exchange.shelf.etag_of_parts(parts),
        exchange.now,
        upload.headers,
        upload.metadata,
        checksum,
        upload.checksum_type or "FULL_OBJECT",
        tuple(len(part.received) for part in parts),
        upload.id,
    )


def _result(exchange: Exchange, stored: Stored) -> bytes:
    values: dict[str, object] = {
        "Location": f"{exchange.store.url}/{exchange.bucket}/{stored.key}",
        "Bucket": exchange.bucket,
        "Key": stored.key,
        "ETag": object_etag(exchange.store.personality, stored.etag),
    }
    if stored.checksum is not None:
        values[f"Checksum{stored.checksum[0].upper()}"] = stored.checksum[1]
        values["ChecksumType"] = stored.checksum_type
    return document("CompleteMultipartUploadResult", *fields(values))
