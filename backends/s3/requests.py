"""Signed requests for the objects of one bucket, by keys that are at hand: values only."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.marks import MARK
from backends.s3 import checksums as s3_checksums
from transfer.content_types import content_type_of
from transfer.errors import BadKeyError
from transfer.keys import MAX_KEY_BYTES
from transfer.signing import presign, quote_key
from transfer.store import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo
    from transfer.signing import Credentials

# Between signing and sending lies nothing but a free slot.
LIFETIME = 3600.0
# What would have to be sent with every part, by whoever holds its URL.
CHECKSUM_MODE = {"x-amz-checksum-mode": "ENABLED"}


@dataclass(frozen=True, slots=True)
class S3Requests:
    """How a bucket is asked at one of its addresses.

    `always` goes with every request, `put_headers` with every object that is written.
    """

    base: str
    region: str
    always: Mapping[str, str]
    put_headers: Mapping[str, str]

    def put(
        self,
        credentials: Credentials,
        key: str,
        intent: Intent,
        *,
        size: int | None,
        checksum: Checksum | None,
        lifetime: float,
    ) -> SignedRequest:
        """Permit PutObject for one length, whatever size was intended."""
        headers = self.object_headers(key, intent)
        headers |= self.always
        if size is not None:
            headers["Content-Length"] = str(size)
        if intent.no_clobber:
            headers |= {"If-None-Match": "*", f"x-amz-meta-{MARK}": intent.nonce}
        headers |= s3_checksums.header(checksum)
        return self.sign(credentials, "PUT", key, {}, headers, lifetime=lifetime)

    def read(self, credentials: Credentials, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit GetObject; the answer says the object's checksum, if the store keeps one."""
        headers = {**self.always, **CHECKSUM_MODE}
        return self.sign(credentials, "GET", info.key, {}, headers, lifetime=lifetime)

    def sign(
        self,
        credentials: Credentials,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        lifetime: float,
    ) -> SignedRequest:
        """Permit a request, which has to have these headers."""
        check_s3_key(key)
        url = presign(
            method,
            f"{self.base}/{quote_key(key)}",
            credentials=credentials,
            region=self.region,
            now=time.time(),
            lifetime=lifetime,
            query=query,
            headers=headers,
        )
        return SignedRequest(method, url, headers, lifetime)

    def object_headers(self, key: str, intent: Intent) -> dict[str, str]:
        """Return what an object is to be written with, in one go or in parts."""
        headers = dict(self.put_headers)
        headers |= {f"x-amz-meta-{name}": value for name, value in intent.metadata.items()}
        content_type = intent.content_type or content_type_of(key)
        if content_type is not None:
            headers.setdefault("content-type", content_type)
        return headers


def check_s3_key(key: str) -> None:
    """Raise BadKeyError for what cannot be a key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise BadKeyError(f"{key!a} is not valid Unicode: S3 has no such key") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise BadKeyError(f"an S3 key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}")
