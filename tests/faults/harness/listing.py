"""ListObjectsV2, ListMultipartUploads, and the small questions about a bucket."""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING

from tests.faults.harness.answers import Answer
from tests.faults.harness.documents import document, element, fields, url_encoded
from tests.faults.harness.objects import object_etag
from tests.faults.harness.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.http1 import Request
    from tests.faults.harness.shelf import Stored, Upload


async def head_bucket(exchange: Exchange) -> Answer:
    """Say that it is there, and where."""
    return Answer(200, {"x-amz-bucket-region": exchange.store.personality.region})


async def get_bucket_location(exchange: Exchange) -> Answer:
    """Say where it is: nothing means us-east-1."""
    region = exchange.store.personality.region
    body = document("LocationConstraint", "" if region == "us-east-1" else region)
    return Answer(200, {"Content-Type": "application/xml"}, body)


async def list_objects_v2(exchange: Exchange) -> Answer:
    """List keys in the order of their UTF-8 bytes, a page at a time."""
    request = exchange.request
    prefix, delimiter = request.param("prefix") or "", request.param("delimiter")
    encoding = _encoding(request)
    most = count_of(request, "max-keys", exchange.store.personality.page)
    token = request.param("continuation-token")
    after = _from_token(token) if token is not None else request.param("start-after") or ""
    found = exchange.shelf.buckets[exchange.bucket]
    names = _summed_up(found, prefix, delimiter, after)
    page = names[:most]
    more = len(names) > len(page) and most > 0
    values = {
        "Name": exchange.bucket,
        "Prefix": url_encoded(prefix, encoding),
        "StartAfter": request.param("start-after"),
        "ContinuationToken": token,
        "NextContinuationToken": _to_token(page[-1]) if more else None,
        "KeyCount": len(page),
        "MaxKeys": most,
        "Delimiter": delimiter,
        "EncodingType": encoding,
        "IsTruncated": more,
    }
    items = [
        _object_element(exchange, found[name], encoding)
        if name in found and not _is_folder(name, prefix, delimiter)
        else element("CommonPrefixes", element("Prefix", url_encoded(name, encoding)))
        for name in page
    ]
    body = document("ListBucketResult", *fields(values), *items)
    return Answer(200, {"Content-Type": "application/xml"}, body)


def _summed_up(keys: Iterable[str], prefix: str, delimiter: str | None, after: str) -> list[str]:
    """Return keys and common prefixes behind `after`, each once, in order."""
    found = set()
    for key in keys:
        if key.startswith(prefix) and key > after:
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            name = key if end < 0 or delimiter is None else key[: end + len(delimiter)]
            if name != after:
                found.add(name)
    return sorted(found)


def _is_folder(name: str, prefix: str, delimiter: str | None) -> bool:
    return bool(delimiter) and delimiter in name[len(prefix) :]


def _object_element(exchange: Exchange, stored: Stored, encoding: str | None) -> str:
    values: dict[str, object] = {
        "Key": url_encoded(stored.key, encoding),
        "LastModified": iso(stored.modified),
        "ETag": object_etag(exchange.store.personality, stored.etag),
        "Size": len(stored.data),
        "StorageClass": "STANDARD",
    }
    if stored.checksum is not None:
        values["ChecksumAlgorithm"] = stored.checksum[0].upper()
        values["ChecksumType"] = stored.checksum_type
    return element("Contents", *fields(values))


async def list_multipart_uploads(exchange: Exchange) -> Answer:
    """List open uploads by key, and within one key by their beginning."""
    request = exchange.request
    prefix, delimiter = request.param("prefix") or "", request.param("delimiter")
    encoding = _encoding(request)
    most = count_of(request, "max-uploads", exchange.store.personality.page)
    key_marker = request.param("key-marker") or ""
    id_marker = request.param("upload-id-marker") or ""
    mine = [one for one in exchange.shelf.uploads.values() if one.bucket == exchange.bucket]
    mine.sort(key=lambda one: (one.key, one.born))
    uploads = [one for one in _behind(mine, key_marker, id_marker) if one.key.startswith(prefix)]
    folders = _summed_up([one.key for one in uploads], prefix, delimiter, "") if delimiter else []
    folders = [name for name in folders if _is_folder(name, prefix, delimiter)]
    uploads = [one for one in uploads if not _is_folder(one.key, prefix, delimiter)]
    page = uploads[:most]
    values = {
        "Bucket": exchange.bucket,
        "KeyMarker": url_encoded(key_marker, encoding),
        "UploadIdMarker": id_marker,
        "NextKeyMarker": url_encoded(page[-1].key, encoding) if page else "",
        "NextUploadIdMarker": page[-1].id if page else "",
        "Prefix": url_encoded(prefix, encoding),
        "Delimiter": delimiter,
        "MaxUploads": most,
        "EncodingType": encoding,
        "IsTruncated": len(uploads) > len(page),
    }
    items = [_upload_element(one, encoding) for one in page]
    items += [
        element("CommonPrefixes", element("Prefix", url_encoded(name, encoding)))
        for name in folders
    ]
    body = document("ListMultipartUploadsResult", *fields(values), *items)
    return Answer(200, {"Content-Type": "application/xml"}, body)


def _behind(uploads: list[Upload], key_marker: str, id_marker: str) -> list[Upload]:
    if not key_marker:
        return uploads
    if not id_marker:
        return [one for one in uploads if one.key > key_marker]
    for place, one in enumerate(uploads):
        if (one.key, one.id) == (key_marker, id_marker):
            return uploads[place + 1 :]
    raise Refusal("InvalidArgument", "Invalid uploadId marker", ArgumentName="upload-id-marker")


def _upload_element(upload: Upload, encoding: str | None) -> str:
    values = {
        "Key": url_encoded(upload.key, encoding),
        "UploadId": upload.id,
        "Initiated": iso(upload.initiated),
        "StorageClass": "STANDARD",
        "ChecksumAlgorithm": upload.algorithm and upload.algorithm.upper(),
        "ChecksumType": upload.checksum_type,
    }
    return element("Upload", *fields(values))


def count_of(request: Request, name: str, most: float, *, default: int | None = None) -> int:
    """Return a number in the query, at most `most`; raises Refusal for what is none."""
    text = request.param(name)
    if not text:
        return int(most) if default is None else default
    if not text.isdecimal() or int(text) >= 2**31:
        sentence = f"Provided {name} not an integer or within integer range"
        raise Refusal("InvalidArgument", sentence, ArgumentName=name, ArgumentValue=text)
    return int(min(int(text), most))


def iso(seconds: float) -> str:
    """Return a time as XML has it, with milliseconds."""
    millis = int(seconds * 1000) % 1000
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03}Z"


def _encoding(request: Request) -> str | None:
    encoding = request.param("encoding-type")
    if encoding not in {None, "url"}:
        raise Refusal(
            "InvalidArgument",
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=encoding,
        )
    return encoding


def _to_token(name: str) -> str:
    return base64.b64encode(b"after:" + name.encode("utf-8", "surrogateescape")).decode()


def _from_token(token: str) -> str:
    try:
        text = base64.b64decode(token, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith("after:"):
        raise Refusal(
            "InvalidArgument",
            "The continuation token provided is incorrect",
            ArgumentName="continuation-token",
        )
    return text.removeprefix("after:")
