"""Amazon S3 and everything that speaks its protocol.

Control calls go through aiobotocore. Bytes never do: parts, objects and ranges
are presigned requests that the mover carries, exactly as a client behind a
coordinator would send them. So this store is the embedded coordinator, and its
`signer` is the whole of what a remote one adds.

Sources: Amazon S3 API reference (CreateMultipartUpload, UploadPart,
CompleteMultipartUpload, ListParts), "Amazon S3 multipart upload limits".
"""

from __future__ import annotations

import mimetypes
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from backends.presigned import RemoteObject, send_signed
from backends.s3_client import Keyring, open_client, sdk_errors
from backends.s3_errors import error_of_answer, refused_overwrite
from transfer.errors import (
    BadKeyError,
    IntegrityError,
    NotFoundError,
    TemporaryError,
    TransferError,
    UploadGoneError,
    UsageError,
)
from transfer.keys import MAX_KEY_BYTES
from transfer.model import ObjectInfo, Page, PartLimits, Receipt, Traits, Upload
from transfer.review import review
from transfer.signing import presign, quote_key
from transfer.sizes import GIB, MIB, TIB
from transfer.store import SignedRequest, Tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from types_aiobotocore_s3 import S3Client

    from transfer.checksums import Checksum
    from transfer.model import Expected, Intent, Part
    from transfer.settings import Settings
    from transfer.store import Context, Mover, OpenObject, Response, Source, Store
    from transfer.tally import Tally

LIMITS = PartLimits(
    min_size=5 * MIB,
    max_size=5 * GIB,
    max_count=10_000,
    max_object=int(48.8 * TIB),
)
_TRAITS = Traits(max_put=5 * GIB)
# Our own name for an upload, in the object's metadata: after an ambiguous
# Complete it tells our object from anybody else's.
_MARK = "transfer-upload"
_MARK_LENGTH = 32
_READ_LIFETIME = 3600.0
_REFUSED_ARGS = ("SSECustomer", "ChecksumAlgorithm", "Checksum")


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `s3://BUCKET`, with the credentials of the AWS chain."""
    settings = context.settings
    bucket = root.partition("://")[2]
    _check_extra_args(settings.s3_extra_args)
    async with open_client(settings, endpoint_url=settings.s3_endpoint_url) as (client, keyring):
        base = await _base_url(client, bucket)
        public = base
        if settings.public_endpoint_url:
            async with open_client(settings, endpoint_url=settings.public_endpoint_url) as (
                other,
                _,
            ):
                public = await _base_url(other, bucket)
        region = client.meta.region_name or "us-east-1"
        signing = Signing(keyring, region, settings, _extra_headers(client, settings))
        yield S3Store(bucket, client, context.mover, signing, base=base, public=public)


@dataclass(frozen=True, slots=True)
class Signing:
    """What it takes to presign for a bucket, but for its address."""

    keyring: Keyring
    region: str
    settings: Settings
    put_headers: Mapping[str, str]

    @property
    def owner_header(self) -> dict[str, str]:
        """The account that must own the bucket, sent and signed with every request."""
        owner = self.settings.s3_bucket_owner
        return {"x-amz-expected-bucket-owner": owner} if owner else {}

    @property
    def owner_arg(self) -> dict[str, Any]:
        """The same for control calls."""
        owner = self.settings.s3_bucket_owner
        return {"ExpectedBucketOwner": owner} if owner else {}

    @property
    def tls(self) -> Tls:
        """How part and range requests trust the server."""
        return Tls(verify=not self.settings.s3_ignore_tls, ca_file=self.settings.aws_ca_bundle)


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

    async def stat(self, key: str) -> ObjectInfo:
        """HeadObject."""
        return (await self.head(key))[0]

    async def head(self, key: str) -> tuple[ObjectInfo, Mapping[str, str]]:
        """HeadObject, with the metadata."""
        with sdk_errors(f"look at {self.url}/{key}"):
            found = await self.client.head_object(**self.names(key))
        info = ObjectInfo(
            key,
            found["ContentLength"],
            version_of(found.get("ETag")),
            found["LastModified"].timestamp(),
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
        """Open an object; its ranges are presigned GETs."""
        found = info or await self.stat(key)

        async def sign(renew: bool) -> SignedRequest:  # noqa: FBT001 - a callback
            del renew
            return await self.presigner.sign_read(found, _READ_LIFETIME)

        yield RemoteObject(
            found,
            self.mover,
            sign,
            tls_for=lambda _: self.signing.tls,
            error_of=lambda answer: self.error(f"read {self.url}/{key}", answer),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """PutObject, presigned."""
        what = f"write {self.url}/{key}"
        signed = await self.presigner.sign_put(key, intent, _READ_LIFETIME)
        answer = await send_signed(
            self.mover,
            signed,
            source,
            tally,
            tls=self.signing.tls,
            error_of=lambda answer: refused_overwrite(self.error(what, answer)),
        )
        return ObjectInfo(key, source.size, version_of(answer.headers.get("etag")))

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


class S3Parts:
    """Multipart uploads; the id of an `Upload` is our mark and the store's own id."""

    limits = LIMITS

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def create(self, key: str, intent: Intent) -> Upload:
        """CreateMultipartUpload, with our mark in the metadata."""
        store = self._store
        mark = intent.nonce
        arguments = dict(store.signing.settings.s3_extra_args)
        extra = cast("Mapping[str, str]", arguments.pop("Metadata", {}))
        arguments["Metadata"] = {**extra, **intent.metadata, _MARK: mark}
        content_type = intent.content_type or mimetypes.guess_type(key)[0]
        if content_type is not None:
            arguments.setdefault("ContentType", content_type)
        with sdk_errors(f"open an upload to {store.url}/{key}"):
            opened = await store.client.create_multipart_upload(
                **store.names(key), **cast("dict[str, Any]", arguments)
            )
        return Upload(key, f"{mark}{opened['UploadId']}", intent.size, intent.part_size)

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """UploadPart, presigned."""
        store = self._store
        what = f"write part {part.number} of {store.url}/{upload.key}"
        signed = await store.presigner.sign_part(upload, part, None, _READ_LIFETIME)
        answer = await send_signed(
            store.mover,
            signed,
            source,
            tally,
            tls=store.signing.tls,
            error_of=lambda answer: store.error(what, answer),
        )
        etag = answer.headers.get("etag", "")
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def sent(self, upload: Upload) -> Sequence[Receipt]:
        """ListParts, all pages."""
        store = self._store
        receipts: list[Receipt] = []
        more: dict[str, Any] = {}
        while True:
            with sdk_errors(f"list the parts of {store.url}/{upload.key}"):
                page = await store.client.list_parts(
                    **store.names(upload.key), UploadId=upload_id(upload), **more
                )
            receipts += [
                Receipt(item["PartNumber"], item["Size"], item["ETag"])
                for item in page.get("Parts", [])
            ]
            if not page.get("IsTruncated"):
                return receipts
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Review, CompleteMultipartUpload, and a look at the object where that was unclear."""
        try:
            await self._complete(upload, receipts, expected)
        except (UploadGoneError, TemporaryError) as error:
            info = await self._find_own(upload, error)
        else:
            info = await self._store.stat(upload.key)
        if expected.size is not None and info.size != expected.size:
            raise IntegrityError(
                f"{self._store.url}/{upload.key} has {info.size} bytes, {expected.size} were sent"
            )
        return info

    async def abort(self, upload: Upload) -> None:
        """AbortMultipartUpload; one that is gone is fine."""
        store = self._store
        try:
            with sdk_errors(f"give up the upload to {store.url}/{upload.key}"):
                await store.client.abort_multipart_upload(
                    **store.names(upload.key), UploadId=upload_id(upload)
                )
        except NotFoundError:
            return

    async def _complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> None:
        store = self._store
        review(upload, receipts, await self.sent(upload), expected)
        more: dict[str, Any] = {"IfNoneMatch": "*"} if expected.no_clobber else {}
        try:
            with sdk_errors(f"complete {store.url}/{upload.key}"):
                await store.client.complete_multipart_upload(
                    **store.names(upload.key),
                    UploadId=upload_id(upload),
                    MultipartUpload={
                        "Parts": [{"PartNumber": r.number, "ETag": r.etag} for r in receipts]
                    },
                    **more,
                )
        except TransferError as error:
            raise refused_overwrite(error) if expected.no_clobber else error from None

    async def _find_own(self, upload: Upload, error: TransferError) -> ObjectInfo:
        """Return the object if this very upload made it, else raise the error there was."""
        try:
            info, metadata = await self._store.head(upload.key)
        except TransferError:
            raise error from None
        if metadata.get(_MARK) != upload.id[:_MARK_LENGTH]:
            raise error
        return info


class S3Presigner:
    """Presigned requests for one bucket, at one address of it."""

    def __init__(self, signing: Signing, base: str) -> None:
        self._signing = signing
        self._base = base

    async def sign_part(
        self, upload: Upload, part: Part, checksum: Checksum | None, lifetime: float
    ) -> SignedRequest:
        """Permit UploadPart for one number and length."""
        del checksum
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        headers = dict(self._signing.owner_header)
        if upload.size is not None:
            headers["Content-Length"] = str(part.span.size)
        return await self._sign("PUT", upload.key, query, headers, lifetime)

    async def sign_put(self, key: str, intent: Intent, lifetime: float) -> SignedRequest:
        """Permit PutObject for one length."""
        headers = {**self._signing.put_headers, **self._signing.owner_header}
        headers |= {f"x-amz-meta-{name}": value for name, value in intent.metadata.items()}
        content_type = intent.content_type or mimetypes.guess_type(key)[0]
        if content_type is not None:
            headers.setdefault("content-type", content_type)
        if intent.size is not None:
            headers["Content-Length"] = str(intent.size)
        if intent.no_clobber:
            headers["If-None-Match"] = "*"
        return await self._sign("PUT", key, {}, headers, lifetime)

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit GetObject."""
        return await self._sign("GET", info.key, {}, self._signing.owner_header, lifetime)

    async def _sign(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: float,
    ) -> SignedRequest:
        check_s3_key(key)
        url = presign(
            method,
            f"{self._base}/{quote_key(key)}",
            credentials=await self._signing.keyring.current(),
            region=self._signing.region,
            now=time.time(),
            lifetime=lifetime,
            query=query,
            headers=headers,
        )
        return SignedRequest(method, url, headers, lifetime)


def version_of(etag: str | None) -> str | None:
    """Return an ETag as a version; some compatibles give an empty one."""
    return etag if etag and etag.strip('"') else None


def upload_id(upload: Upload) -> str:
    """Return the store's own id of an upload; UploadGoneError for what cannot be one."""
    if len(upload.id) <= _MARK_LENGTH:
        raise UploadGoneError(f"{upload.id!r} is no upload of this store")
    return upload.id[_MARK_LENGTH:]


def check_s3_key(key: str) -> None:
    """Raise BadKeyError for what cannot be a key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise BadKeyError(f"{key!a} is not valid Unicode: S3 has no such key") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise BadKeyError(f"an S3 key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}")


async def _base_url(client: S3Client, bucket: str) -> str:
    """Return the address of a bucket without a slash behind; the SDK knows the rules for it."""
    with sdk_errors(f"find s3://{bucket}"):
        url = await client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60
        )
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/k')}"


def _check_extra_args(arguments: Mapping[str, object]) -> None:
    for name in arguments:
        if name.startswith(_REFUSED_ARGS):
            raise UsageError(
                f"MLFLOW_S3_UPLOAD_EXTRA_ARGS: {name} does not go together with presigned requests",
                hint="leave it out; parts are checked in other ways",
            )


def _extra_headers(client: S3Client, settings: Settings) -> dict[str, str]:
    """Return the extra arguments as headers of a PUT, by the SDK's own model of it."""
    shape = client.meta.service_model.operation_model("PutObject").input_shape
    members = shape.members if shape else {}
    headers: dict[str, str] = {}
    for name, value in settings.s3_extra_args.items():
        place = members[name].serialization if name in members else {}
        if place.get("location") == "header":
            headers[place["name"].lower()] = str(value)
        elif place.get("location") == "headers" and isinstance(value, dict):
            headers |= {f"{place['name']}{key}".lower(): str(v) for key, v in value.items()}
        else:
            raise UsageError(f"MLFLOW_S3_UPLOAD_EXTRA_ARGS: {name} is no argument of an upload")
    return headers


if TYPE_CHECKING:

    def _conforms(store: S3Store) -> Store:
        return store
