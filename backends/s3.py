"""Amazon S3 and everything that speaks its protocol.

Control calls go through aiobotocore. Bytes never do: parts, objects and ranges
are presigned requests that the mover carries, exactly as a client behind a
coordinator would send them. So this store is the embedded coordinator, and its
`signer` is the whole of what a remote one adds.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backends import s3_checksums
from backends.presigned import RemoteObject, send_signed
from backends.s3_client import open_client, sdk_errors
from backends.s3_copies import ServerCopies, place_of
from backends.s3_errors import error_of_answer, refused_overwrite
from backends.s3_parts import LIFETIME, S3Parts, bind
from backends.s3_presigner import (
    S3Presigner,
    Signing,
    base_url,
    check_extra_args,
    check_s3_key,
    extra_headers,
)
from backends.spool import at_hand
from transfer.errors import RejectedError, SourceChangedError, UnsupportedError
from transfer.model import ObjectInfo, Page, Traits
from transfer.sizes import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from types_aiobotocore_s3 import S3Client

    from transfer.checksums import Algorithm
    from transfer.errors import TransferError
    from transfer.model import Intent
    from transfer.store import Context, Mover, OpenObject, Response, SignedRequest, Source, Store
    from transfer.tally import Tally

_TRAITS = Traits(max_put=5 * GIB)
# From this size on, one request more to learn the checksum costs nothing that shows.
_LOOKED_AT = 16 * MIB


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `s3://BUCKET`, with the credentials of the AWS chain."""
    settings = context.settings
    bucket = root.partition("://")[2]
    check_extra_args(settings.s3_extra_args)
    async with open_client(settings, endpoint_url=settings.s3_endpoint_url) as (client, keyring):
        base = await base_url(client, bucket)
        public = base
        if settings.public_endpoint_url:
            async with open_client(settings, endpoint_url=settings.public_endpoint_url) as (
                other,
                _,
            ):
                public = await base_url(other, bucket)
        region = client.meta.region_name or "us-east-1"
        signing = Signing(keyring, region, settings, extra_headers(client, settings))
        yield S3Store(bucket, client, context.mover, signing, base=base, public=public)


class S3Store:
    """The objects of one bucket; make it with `open_store`."""

    def __init__(
        self,
        bucket: str,
        client: S3Client,
        mover: Mover,
        signing: Signing,
        *,
        base: str,
        public: str,
    ) -> None:
        self.bucket = bucket
        self.client = client
        self.mover = mover
        self.signing = signing
        self.url = f"s3://{bucket}"
        self.traits = _TRAITS
        self.presigner = S3Presigner(signing, base)
        self.parts = S3Parts(self)
        self.signer = S3Presigner(signing, public)
        self.copies = ServerCopies(client, signing)
        self.refuses_checksums = False
        self._confirmed = False

    async def stat(self, key: str) -> ObjectInfo:
        """HeadObject."""
        return (await self.head(key))[0]

    async def head(self, key: str) -> tuple[ObjectInfo, Mapping[str, str]]:
        """HeadObject, with the metadata."""
        with sdk_errors(f"look at {self.url}/{key}"):
            found = await self.client.head_object(**self.names(key), ChecksumMode="ENABLED")
        info = ObjectInfo(
            key,
            found["ContentLength"],
            version_of(found.get("ETag")),
            found["LastModified"].timestamp(),
            s3_checksums.of_fields(found),
            content_type=found.get("ContentType"),
        )
        # Some compatibles return the names of metadata capitalised.
        return info, {n.lower(): v for n, v in found.get("Metadata", {}).items()}

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """ListObjectsV2, a thousand keys at a time."""
        more: dict[str, Any] = {"ContinuationToken": token} if token is not None else {}
        if folders:
            more["Delimiter"] = "/"
        with sdk_errors(f"list {self.url}/{prefix}"):
            found = await self.client.list_objects_v2(
                Bucket=self.bucket, Prefix=prefix, **self.signing.owner_arg, **more
            )
        objects = tuple(
            ObjectInfo(
                item["Key"],
                item["Size"],
                version_of(item.get("ETag")),
                item["LastModified"].timestamp(),
            )
            for item in found.get("Contents", [])
        )
        names = tuple(item["Prefix"] for item in found.get("CommonPrefixes", []))
        return Page(objects, names, found.get("NextContinuationToken"))

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an object; its ranges are presigned GETs.

        A large one is looked at even if a listing has said all but its checksum;
        a small one comes in a single answer, which says that too.
        """
        if info is None or (info.checksum is None and info.size >= _LOOKED_AT):
            found = await self.stat(key)
        else:
            found = info
        if info is not None and info.version and found.version != info.version:
            raise SourceChangedError(f"{self.url}/{key} was replaced since it was listed")

        async def sign(renew: bool) -> SignedRequest:  # noqa: FBT001 - a callback
            del renew
            return await self.presigner.sign_read(found, LIFETIME)

        yield RemoteObject(
            found,
            self.mover,
            sign,
            tls_for=lambda _: self.signing.tls,
            error_of=lambda answer: self.error(f"read {self.url}/{key}", answer),
            checksum_of=s3_checksums.of_headers,
            realm=self.copies.realm,
            place=place_of(self.bucket, key),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """PutObject, presigned, and bound to its content; CopyObject of what S3 has already."""
        if await self.copies.put(self.names(key), source, intent, tally):
            return await self.stat(key)
        async with at_hand(source) as near:
            return await self._put_checked(key, near, intent, tally)

    async def _put_checked(
        self, key: str, source: Source, intent: Intent, tally: Tally
    ) -> ObjectInfo:
        algorithm = self.checksumming(intent)
        try:
            return await self._put(key, source, intent, tally, algorithm)
        except (RejectedError, UnsupportedError):
            if algorithm is None or self._confirmed:
                raise
        # Perhaps it was the checksum that it would not have.
        info = await self._put(key, source, intent, tally, None)
        self.refuses_checksums = True
        return info

    async def _put(
        self, key: str, source: Source, intent: Intent, tally: Tally, algorithm: Algorithm | None
    ) -> ObjectInfo:
        what = f"write {self.url}/{key}"
        checksum = await bind(source, algorithm, tally)
        bound = replace(intent, checksum=checksum)
        signed = await self.presigner.sign_put(key, bound, LIFETIME)
        answer = await send_signed(
            self.mover,
            signed,
            source,
            tally,
            tls=self.signing.tls,
            error_of=lambda answer: refused_overwrite(self.error(what, answer)),
        )
        said = s3_checksums.of_headers(answer.headers)
        self._confirmed = self._confirmed or said is not None
        return ObjectInfo(key, source.size, version_of(answer.headers.get("etag")), checksum=said)

    def checksumming(self, intent: Intent) -> Algorithm | None:
        """Return what the sender's parts should be checked by, if it can give that."""
        if self.refuses_checksums or intent.algorithm is None:
            return None
        return s3_checksums.chosen(self.signing.settings.s3_checksum)

    async def delete(self, key: str) -> None:
        """DeleteObject: a key that is not there is fine."""
        with sdk_errors(f"delete {self.url}/{key}"):
            await self.client.delete_object(**self.names(key))

    def names(self, key: str) -> dict[str, Any]:
        """Bucket, key and owner as arguments; BadKeyError for a key that S3 cannot have."""
        check_s3_key(key)
        return {"Bucket": self.bucket, "Key": key, **self.signing.owner_arg}

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error of an answer of the data path."""
        return error_of_answer(what, answer.status, answer.headers, answer.body)


def version_of(etag: str | None) -> str | None:
    """Return an ETag as a version; some compatibles give an empty one."""
    return etag if etag and etag.strip('"') else None


if TYPE_CHECKING:

    def _conforms(store: S3Store) -> Store:
        return store
