"""Presigned requests for one bucket: what `S3Store` sends itself, and what others may be given."""

from __future__ import annotations

import mimetypes
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from backends.presigned import upload_id
from backends.s3 import checksums as s3_checksums
from transfer.errors import BadKeyError, UsageError
from transfer.keys import MAX_KEY_BYTES
from transfer.signing import presign, quote_key
from transfer.store import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.s3.access import Signing
    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo, Part, Upload
    from transfer.signing import Credentials

# What would have to be sent with every part, by whoever holds its URL.
CHECKSUM_MODE = {"x-amz-checksum-mode": "ENABLED"}
_REFUSED_ARGS = ("SSECustomer", "ChecksumAlgorithm", "Checksum")


class S3Presigner:
    """Presigned requests for one bucket, at one address of it."""

    def __init__(self, signing: Signing, base: str) -> None:
        self._signing = signing
        self.base = base

    async def sign_part(
        self, upload: Upload, part: Part, checksum: Checksum | None, lifetime: float
    ) -> SignedRequest:
        """Permit UploadPart for one number and length, and content if its checksum is known."""
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        headers = self._signing.owner_header | s3_checksums.header(checksum)
        if upload.size is not None:
            headers["Content-Length"] = str(part.span.size)
        credentials = await self._signing.keyring.current()
        return self._sign(credentials, "PUT", upload.key, query, headers, lifetime=lifetime)

    async def sign_put(self, key: str, intent: Intent, lifetime: float) -> SignedRequest:
        """Permit PutObject for one length."""
        credentials = await self._signing.keyring.current()
        return self.put_by(
            credentials, key, intent, size=intent.size, checksum=intent.checksum, lifetime=lifetime
        )

    def put_by(
        self,
        credentials: Credentials,
        key: str,
        intent: Intent,
        *,
        size: int | None,
        checksum: Checksum | None,
        lifetime: float,
    ) -> SignedRequest:
        """Do as `sign_put` does, with keys at hand, for an intent with another size."""
        headers = self.object_headers(key, intent) | self._signing.owner_header
        if size is not None:
            headers["Content-Length"] = str(size)
        if intent.no_clobber:
            headers["If-None-Match"] = "*"
        headers |= s3_checksums.header(checksum)
        return self._sign(credentials, "PUT", key, {}, headers, lifetime=lifetime)

    def object_headers(self, key: str, intent: Intent) -> dict[str, str]:
        """Return what an object is to be written with, in one go or in parts."""
        headers = dict(self._signing.put_headers)
        headers |= {f"x-amz-meta-{name}": value for name, value in intent.metadata.items()}
        content_type = intent.content_type or content_type_of(key)
        if content_type is not None:
            headers.setdefault("content-type", content_type)
        return headers

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit GetObject; the answer says the object's checksum, if the store keeps one."""
        return self.read_by(await self._signing.keyring.current(), info, lifetime)

    def read_by(self, credentials: Credentials, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Do as `sign_read` does, with keys at hand."""
        headers = self._signing.owner_header | CHECKSUM_MODE
        return self._sign(credentials, "GET", info.key, {}, headers, lifetime=lifetime)

    def _sign(
        self,
        credentials: Credentials,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        *,
        lifetime: float,
    ) -> SignedRequest:
        check_s3_key(key)
        url = presign(
            method,
            f"{self.base}/{quote_key(key)}",
            credentials=credentials,
            region=self._signing.region,
            now=time.time(),
            lifetime=lifetime,
            query=query,
            headers=headers,
        )
        return SignedRequest(method, url, headers, lifetime)


def content_type_of(key: str) -> str | None:
    """Guess the type of an object by the end of its name."""
    name = key.rpartition("/")[2]
    stem, dot, ends = name.partition(".")
    return _type_by_ends(f"x.{ends}" if stem else name) if dot else None


@lru_cache(maxsize=1024)
def _type_by_ends(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]


def check_s3_key(key: str) -> None:
    """Raise BadKeyError for what cannot be a key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise BadKeyError(f"{key!a} is not valid Unicode: S3 has no such key") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise BadKeyError(f"an S3 key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}")


def check_extra_args(arguments: Mapping[str, object]) -> None:
    """Raise UsageError for arguments that presigned requests cannot carry."""
    for name in arguments:
        if name.startswith(_REFUSED_ARGS):
            raise UsageError(
                f"MLFLOW_S3_UPLOAD_EXTRA_ARGS: {name} does not go together with presigned requests",
                hint="leave it out; parts are checked in other ways",
            )
