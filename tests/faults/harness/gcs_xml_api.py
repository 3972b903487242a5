"""Objects and multipart uploads of Cloud Storage's XML API.

Multipart is the S3 side of this harness, as it is S3's protocol in Google's own
documentation; around it stands what is Google's: x-goog-hash, lengths that a URL
permits, generations, metadata, and no precondition of any request of an upload.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING

from tests.faults.harness import completing, multipart
from tests.faults.harness.answers import Answer
from tests.faults.harness.digests import checksum_of, md5_base64
from tests.faults.harness.objects import find, range_of
from tests.faults.harness.refusals import Refusal, invalid_request
from tests.faults.harness.shelf import Stored

if TYPE_CHECKING:
    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.http1 import Request

IF_GENERATION = "x-goog-if-generation-match"
_META = "x-goog-meta-"
_LARGEST = 5 * 1024**4


def generation_of(exchange: Exchange, key: str) -> int:
    """Return the generation of what is under a key, 0 for nothing."""
    moment = exchange.shelf.touched.get((exchange.bucket, key))
    there = key in exchange.shelf.buckets[exchange.bucket]
    return 1_700_000_000_000_000 + (moment or 0) if there else 0


def check_generation(exchange: Exchange, wanted: str | None) -> None:
    """Raise Refusal unless the object is of the generation that is asked for."""
    if wanted is None:
        return
    if not wanted.isdecimal():
        raise invalid_request("The generation is not a number.")
    if int(wanted) != generation_of(exchange, exchange.key):
        raise Refusal("PreconditionFailed", "At least one of the pre-conditions did not hold.")


def check_hash(header: str | None, data: bytes) -> None:
    """Raise Refusal unless x-goog-hash, if there is one, is that of the bytes."""
    for item in (header or "").split(","):
        name, _, value = item.strip().partition("=")
        known = {"crc32c": lambda: checksum_of("crc32c", data), "md5": lambda: md5_base64(data)}
        if not name:
            continue
        if name not in known:
            raise invalid_request(f"x-goog-hash: {name} is not known.")
        if known[name]() != value:
            raise Refusal("BadDigest", f"The {name} you specified did not match what we received.")


@lru_cache(maxsize=8)
def hashes_of(data: bytes, *, whole: bool = True) -> str:
    """Return x-goog-hash: objects that were put together have no MD5."""
    crc = f"crc32c={checksum_of('crc32c', data)}"
    return f"{crc},md5={md5_base64(data)}" if whole else crc


def check_length(request: Request) -> None:
    """Raise Refusal if the body is not as long as the URL permits."""
    header = request.header("x-goog-content-length-range")
    if header is None:
        return
    least, _, most = header.partition(",")
    length = int(request.header("content-length") or "-1")
    if not int(least) <= length <= int(most):
        code = "EntityTooSmall" if length < int(least) else "EntityTooLarge"
        raise Refusal(code, "The length of the body is outside of x-goog-content-length-range.")


def _nothing_conditional(exchange: Exchange) -> None:
    for name, _ in exchange.request.headers:
        if name == IF_GENERATION or name.startswith("if-"):
            raise invalid_request("Preconditions are not supported in multipart uploads.")


async def put_object(exchange: Exchange) -> Answer:
    """Keep an object, whole or not at all."""
    request = exchange.request
    check_length(request)
    check_generation(exchange, request.header(IF_GENERATION))
    received = await exchange.receive(_LARGEST)
    check_hash(request.header("x-goog-hash"), received.data)
    check_generation(exchange, request.header(IF_GENERATION))
    keep(exchange, received.data, _metadata(request), request.header("content-type"))
    return Answer(200, _headers(exchange))


def keep(
    exchange: Exchange, data: bytes, metadata: dict[str, str], content_type: str | None
) -> Stored:
    """Put an object under the key of the exchange."""
    headers = {"content-type": content_type or "application/octet-stream"}
    etag = exchange.shelf.etag_of(data, {})
    stored = Stored(exchange.key, data, data, etag, exchange.now, headers, metadata)
    exchange.shelf.keep(exchange.bucket, stored)
    return stored


async def get_object(exchange: Exchange) -> Answer:
    """Give an object, or one range of it, out."""
    stored = _found(exchange)
    headers = _headers(exchange)
    span = range_of(exchange.range, len(stored.data))
    if span is None:
        return Answer(200, headers, stored.data)
    start, stop = span
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(stored.data)}"
    return Answer(206, headers, stored.data[start:stop])


async def head_object(exchange: Exchange) -> Answer:
    """Say what there is."""
    stored = _found(exchange)
    return Answer(200, {**_headers(exchange), "Content-Length": str(len(stored.data))})


def _found(exchange: Exchange) -> Stored:
    request = exchange.request
    if request.header("if-match") is not None:
        raise invalid_request("No ETag of this store was ever given as a version.")
    stored = find(exchange)
    check_generation(exchange, request.header(IF_GENERATION))
    return stored


def _headers(exchange: Exchange) -> dict[str, str]:
    stored = find(exchange)
    return {
        "Content-Type": stored.headers.get("content-type", "application/octet-stream"),
        "ETag": f'"{stored.etag}"',
        "Last-Modified": formatdate(stored.modified, usegmt=True),
        "x-goog-generation": str(generation_of(exchange, exchange.key)),
        "x-goog-metageneration": "1",
        "x-goog-hash": hashes_of(stored.received, whole=not stored.part_sizes),
        "x-goog-stored-content-length": str(len(stored.data)),
        **{_META + name: value for name, value in stored.metadata.items()},
    }


async def create_multipart_upload(exchange: Exchange) -> Answer:
    """Open an upload."""
    _nothing_conditional(exchange)
    answer = await multipart.create_multipart_upload(exchange)
    upload = exchange.shelf.uploads[exchange.entry.upload_id or ""]
    upload.metadata = _metadata(exchange.request)
    return answer


async def upload_part(exchange: Exchange) -> Answer:
    """Keep a part, if it is what its headers say."""
    request = exchange.request
    _nothing_conditional(exchange)
    check_length(request)
    exchange.upload()
    check_hash(request.header("x-goog-hash"), await exchange.body.read())
    answer = await multipart.upload_part(exchange)
    answer.headers["x-goog-hash"] = hashes_of(exchange.body.data)
    return answer


async def complete_multipart_upload(exchange: Exchange) -> Answer:
    """Put an object together; it takes no precondition and replaces what is there."""
    _nothing_conditional(exchange)
    return await completing.complete_multipart_upload(exchange)


def _metadata(request: Request) -> dict[str, str]:
    return {n.removeprefix(_META): v for n, v in request.headers if n.startswith(_META)}


HANDLERS = {
    "PutObject": put_object,
    "GetObject": get_object,
    "HeadObject": head_object,
    "CreateMultipartUpload": create_multipart_upload,
    "UploadPart": upload_part,
    "ListParts": multipart.list_parts,
    "CompleteMultipartUpload": complete_multipart_upload,
    "AbortMultipartUpload": multipart.abort_multipart_upload,
}
