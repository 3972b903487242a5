"""CreateMultipartUpload, UploadPart, ListParts, AbortMultipartUpload."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.faults.harness.answers import Answer
from tests.faults.harness.digests import ALGORITHMS, COMPOSITE, FULL_OBJECT, checksum_of
from tests.faults.harness.documents import document, element, fields
from tests.faults.harness.listing import count_of, iso
from tests.faults.harness.objects import checksum_header, encryption, kept_headers, metadata_of
from tests.faults.harness.refusals import Refusal, invalid_header, invalid_request, no_such_upload
from tests.faults.harness.shelf import StoredPart, Upload

if TYPE_CHECKING:
    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.http1 import Request
    from tests.faults.harness.integrity import Received


async def create_multipart_upload(exchange: Exchange) -> Answer:
    """Open an upload; the checksum's algorithm and type are fixed here."""
    request, shelf = exchange.request, exchange.shelf
    algorithm = kind = None
    if exchange.store.personality.checksums:
        algorithm, kind = checksum_wanted(request)
    upload = Upload(
        shelf.new_id(),
        exchange.bucket,
        exchange.key,
        exchange.now,
        shelf.tick(),
        kept_headers(request),
        metadata_of(request),
        algorithm,
        kind,
    )
    shelf.uploads[upload.id] = upload
    exchange.entry.upload_id = upload.id
    values = {"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.id}
    headers = {"Content-Type": "application/xml", **encryption(upload.headers)}
    if algorithm is not None:
        headers["x-amz-checksum-algorithm"] = algorithm.upper()
        headers["x-amz-checksum-type"] = kind or ""
    return Answer(200, headers, document("InitiateMultipartUploadResult", *fields(values)))


def checksum_wanted(request: Request) -> tuple[str | None, str | None]:
    """Return the algorithm and the type that an upload is created with; raises Refusal."""
    named = request.header("x-amz-checksum-algorithm")
    kind = request.header("x-amz-checksum-type")
    if kind is not None and kind not in {"COMPOSITE", "FULL_OBJECT"}:
        raise invalid_header("x-amz-checksum-type")
    if named is None:
        if kind is not None:
            raise invalid_request(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm"
                " header."
            )
        return None, None
    algorithm = named.lower()
    if algorithm not in ALGORITHMS:
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid"
            " types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    kind = kind or ("COMPOSITE" if algorithm in COMPOSITE else "FULL_OBJECT")
    if algorithm not in (COMPOSITE if kind == "COMPOSITE" else FULL_OBJECT):
        raise invalid_request(
            f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm."
        )
    return algorithm, kind


async def upload_part(exchange: Exchange) -> Answer:
    """Keep a part, whole or not at all; the same number again replaces it."""
    shelf, personality = exchange.shelf, exchange.store.personality
    number = _part_number(exchange)
    upload = exchange.upload()
    began = shelf.tick()
    upload.in_flight += 1
    try:
        received = await exchange.receive(personality.max_part)
    finally:
        upload.in_flight -= 1
    if upload.id not in shelf.uploads:
        raise no_such_upload(upload.id)
    kept = None
    if personality.checksums:
        _check_algorithm(upload, received)
        kept = _kept_checksum(upload, received)
    etag = shelf.etag_of(received.data, upload.headers)
    part = StoredPart(number, received.data, received.data, etag, exchange.now, began, kept)
    earlier = upload.parts.get(number)
    if personality.late_parts_win or earlier is None or earlier.began < began:
        upload.parts[number] = part
    echo = {"ETag": f'"{etag}"', **encryption(upload.headers)}
    if received.checksum is not None:
        echo |= checksum_header(*received.checksum)
    return Answer(200, echo)


def _part_number(exchange: Exchange) -> int:
    text = exchange.request.param("partNumber") or ""
    most = exchange.store.personality.max_parts
    if exchange.entry.part is None or not 1 <= exchange.entry.part <= most:
        raise Refusal(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {most}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return exchange.entry.part


def _check_algorithm(upload: Upload, received: Received) -> None:
    if upload.algorithm is None:
        return
    actual = received.checksum[0] if received.checksum is not None else None
    if actual == upload.algorithm or (actual is None and upload.checksum_type == "FULL_OBJECT"):
        return
    raise invalid_request(
        f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm},"
        f" actual checksum Type: {actual or 'null'}"
    )


def _kept_checksum(upload: Upload, received: Received) -> tuple[str, str] | None:
    """A checksum that the upload does not speak of is checked and forgotten."""
    if upload.algorithm is None:
        return None
    return received.checksum or (
        upload.algorithm,
        checksum_of(upload.algorithm, received.data),
    )


async def list_parts(exchange: Exchange) -> Answer:
    """List the parts of an upload, a page at a time."""
    upload = exchange.upload()
    request = exchange.request
    most = count_of(request, "max-parts", exchange.store.personality.page)
    marker = count_of(request, "part-number-marker", math.inf, default=0)
    later = [upload.parts[number] for number in sorted(upload.parts) if number > marker]
    page = later[:most]
    values = {
        "Bucket": upload.bucket,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": most,
        "IsTruncated": len(later) > len(page),
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": upload.algorithm and upload.algorithm.upper(),
        "ChecksumType": upload.checksum_type,
    }
    body = document("ListPartsResult", *fields(values), *map(_part_element, page))
    return Answer(200, {"Content-Type": "application/xml"}, body)


def _part_element(part: StoredPart) -> str:
    values: dict[str, object] = {
        "PartNumber": part.number,
        "LastModified": iso(part.modified),
        "ETag": f'"{part.etag}"',
        "Size": len(part.received),
    }
    if part.checksum is not None:
        values[f"Checksum{part.checksum[0].upper()}"] = part.checksum[1]
    return element("Part", *fields(values))


async def abort_multipart_upload(exchange: Exchange) -> Answer:
    """Give an upload up; parts that are still being sent may survive, by personality."""
    upload = exchange.upload()
    upload.parts.clear()
    if not (exchange.store.personality.abort_misses_parts_in_flight and upload.in_flight):
        del exchange.shelf.uploads[upload.id]
    return Answer(204)
