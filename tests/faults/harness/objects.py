"""PutObject, GetObject, HeadObject, DeleteObject."""

from __future__ import annotations

import re
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.faults.harness.answers import Answer
from tests.faults.harness.conditions import check_read, check_write
from tests.faults.harness.refusals import Refusal, invalid_header
from tests.faults.harness.shelf import Stored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.http1 import Request
    from tests.faults.harness.personality import Personality

# What is kept with an object and given back with it.
_KEPT = (
    *("content-type", "cache-control", "content-disposition", "content-encoding"),
    *("content-language", "expires", "x-amz-storage-class"),
    *("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"),
)
_META = "x-amz-meta-"
_SSE = "x-amz-server-side-encryption"


async def put_object(exchange: Exchange) -> Answer:
    """Keep an object, whole or not at all."""
    request, shelf, store = exchange.request, exchange.shelf, exchange.store
    began = shelf.tick()
    if store.personality.conditional:
        check_write(request, shelf, exchange.bucket, exchange.key, began)
    metadata = metadata_of(request)
    received = await exchange.receive(store.personality.max_part)
    if store.personality.conditional:
        check_write(request, shelf, exchange.bucket, exchange.key, began)
    headers = kept_headers(request)
    etag = shelf.etag_of(received.data, headers)
    stored = Stored(
        exchange.key,
        received.data,
        received.data,
        etag,
        exchange.now,
        headers,
        metadata,
        received.checksum,
    )
    shelf.keep(exchange.bucket, stored)
    echo = {"ETag": object_etag(store.personality, etag), **encryption(headers)}
    if received.checksum is not None:
        echo |= checksum_header(*received.checksum) | {"x-amz-checksum-type": "FULL_OBJECT"}
    return Answer(200, echo)


async def get_object(exchange: Exchange) -> Answer:
    """Give an object, or one range of it, out."""
    request = exchange.request
    stored = find(exchange)
    personality = exchange.store.personality
    if not personality.no_version and not check_read(request, stored):
        return Answer(304, _headers(stored, personality))
    headers = _headers(stored, personality) | _overrides(request)
    span = range_of(exchange.range, len(stored.data))
    if span is None:
        headers |= _stored_checksum(request, stored, personality)
        return Answer(200, headers, stored.data)
    start, stop = span
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(stored.data)}"
    return Answer(personality.ranged_status, headers, stored.data[start:stop])


async def head_object(exchange: Exchange) -> Answer:
    """Say what there is."""
    request = exchange.request
    stored = find(exchange)
    personality = exchange.store.personality
    if not personality.no_version and not check_read(request, stored):
        return Answer(304, _headers(stored, personality))
    headers = _headers(stored, personality) | _stored_checksum(request, stored, personality)
    headers["Content-Length"] = str(len(stored.data))
    return Answer(200, headers)


async def delete_object(exchange: Exchange) -> Answer:
    """Remove an object; none there is fine."""
    exchange.shelf.remove(exchange.bucket, exchange.key)
    return Answer(204)


def find(exchange: Exchange) -> Stored:
    """Return the object that is asked for; raises Refusal."""
    stored = exchange.shelf.buckets[exchange.bucket].get(exchange.key)
    if stored is None:
        raise Refusal("NoSuchKey", "The specified key does not exist.", Key=exchange.key)
    return stored


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and stop of the range asked for; None is everything. Raises Refusal."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        start, stop = max(0, size - int(match[2])), size
    else:
        start = int(match[1])
        stop = min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= stop:
        raise Refusal(
            "InvalidRange",
            "The requested range is not satisfiable",
            RangeRequested=header,
            ActualObjectSize=size,
        )
    return start, stop


def kept_headers(request: Request) -> dict[str, str]:
    """Return the headers of a write that belong to the object."""
    kept = {name: value for name in _KEPT if (value := request.header(name)) is not None}
    codings = [one.strip() for one in kept.pop("content-encoding", "").split(",")]
    left = ",".join(one for one in codings if one and one != "aws-chunked")
    return kept | ({"content-encoding": left} if left else {})


def metadata_of(request: Request) -> dict[str, str]:
    """Return a write's own metadata; raises Refusal where it is too much."""
    metadata = {
        name.removeprefix(_META): value for name, value in request.headers if name.startswith(_META)
    }
    if sum(len(name) + len(value) for name, value in metadata.items()) > 2048:
        raise Refusal(
            "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size"
        )
    return metadata


def encryption(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what every answer says of encryption."""
    kms = "x-amz-server-side-encryption-aws-kms-key-id"
    return {_SSE: headers.get(_SSE, "AES256"), **({kms: headers[kms]} if kms in headers else {})}


def checksum_header(algorithm: str, value: str) -> dict[str, str]:
    """Return a checksum as a header."""
    return {f"x-amz-checksum-{algorithm}": value}


def object_etag(personality: Personality, etag: str) -> str:
    """Return an object's ETag as it is shown."""
    return f'"{etag}"' if personality.object_etags else '""'


def _headers(stored: Stored, personality: Personality) -> dict[str, str]:
    names = {name: name for name in stored.metadata}
    if personality.capital_metadata:
        names = {name: name.title() for name in names}
    kept = {name: value for name, value in stored.headers.items() if name != _SSE}
    return {
        "Content-Type": "binary/octet-stream",
        **{name.title(): value for name, value in kept.items()},
        **encryption(stored.headers),
        "ETag": object_etag(personality, stored.etag),
        "Last-Modified": formatdate(stored.modified, usegmt=True),
        "Accept-Ranges": "bytes",
        **{_META + shown: stored.metadata[name] for name, shown in names.items()},
    }


def _overrides(request: Request) -> dict[str, str]:
    found = {}
    for name, _ in request.query:
        if name.startswith("response-"):
            found[name.removeprefix("response-").title()] = request.param(name) or ""
    return found


def _stored_checksum(request: Request, stored: Stored, personality: Personality) -> dict[str, str]:
    mode = request.header("x-amz-checksum-mode")
    if mode is None or not personality.checksums:
        return {}
    if mode.upper() != "ENABLED":
        raise invalid_header("x-amz-checksum-mode")
    algorithm, value = stored.known_checksum()
    return checksum_header(algorithm, value) | {"x-amz-checksum-type": stored.checksum_type}
