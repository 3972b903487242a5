"""Amazon S3 and everything that speaks its protocol.

Parts, objects and ranges are presigned requests that the mover carries, exactly
as a client behind a coordinator would send them. So this store is the embedded
coordinator, and its `signer` is the whole of what a remote one adds.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread

from backends.error_documents import refused_overwrite
from backends.presigned import RemoteObject, arrived_before, bind, send_signed
from backends.s3 import checksums as s3_checksums
from backends.s3.access import access_by_settings
from backends.s3.batches import S3Batches
from backends.s3.bucket import S3Bucket, version_of
from backends.s3.documents import Document, decoded
from backends.s3.parts import S3Parts
from backends.s3.presigner import S3Presigner, check_extra_args
from backends.s3.requests import LIFETIME
from backends.server_copies import origin_place
from backends.spool import at_hand
from transfer.errors import ExistsError, RejectedError, SourceChangedError, UnsupportedError
from transfer.keys import check_text
from transfer.model import ObjectInfo, Page, Traits
from transfer.sizes import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from backends.s3.access import Access
    from transfer.checksums import Algorithm
    from transfer.model import Intent
    from transfer.settings import Settings
    from transfer.store import Context, Mover, OpenObject, SignedRequest, Source, Store
    from transfer.tally import Tally

_TRAITS = Traits(max_put=5 * GIB, keeps_metadata=True)
# From this size on, one request more to learn the checksum costs nothing that shows.
_LOOKED_AT = 16 * MIB


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `s3://BUCKET`, with the credentials of the AWS chain."""
    bucket = root.partition("://")[2]
    check_extra_args(context.settings.s3_extra_args)
    access = access_by_settings(bucket, context.settings)
    if access is None:
        find_access = await anyio.to_thread.run_sync(_load_sdk)
        access = await find_access(bucket, context.settings)
    yield S3Store(bucket, access, context.mover)


def _load_sdk() -> Callable[[str, Settings], Awaitable[Access]]:
    """Load what asks the SDK; that takes a while."""
    from backends.s3.sdk import find_access  # noqa: PLC0415 - only where it is needed

    return find_access


class S3Store(S3Bucket):
    """The objects of one bucket; make it with `open_store`."""

    leftovers = None

    def __init__(self, bucket: str, access: Access, mover: Mover) -> None:
        super().__init__(bucket, access, mover)
        self.traits = _TRAITS
        self.parts = S3Parts(self)
        self.batches = S3Batches(self)
        self.signer = S3Presigner(access.signing, access.public)

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """ListObjectsV2, a thousand keys at a time."""
        query = {"list-type": "2", "prefix": check_text(prefix), "encoding-type": "url"}
        if token is not None:
            query["continuation-token"] = token
        if folders:
            query["delimiter"] = "/"
        what = f"list {self.url}/{prefix}"
        answer = await self.control.ask(what, "GET", None, query=query)
        found = Document(what, answer.body, "List")
        objects = tuple(_listed(item, found) for item in found.items("Contents"))
        names = tuple(decoded(item["Prefix"], found) for item in found.items("CommonPrefixes"))
        return Page(objects, names, found.fields.get("NextContinuationToken") or None)

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
            ranged=False,  # of a range, S3 does not say the checksum
            checksum_of=s3_checksums.of_headers,
            realm=self.copies.realm,
            place=origin_place(self.bucket, key),
            look=partial(self.stat, key),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """PutObject, presigned, and bound to its content; CopyObject of what S3 has already."""
        copied = await self.copies.put(key, source, intent, tally, self.stat)
        if copied is not None:
            return copied
        async with at_hand(source) as near:
            try:
                return await self._put_checked(key, near, intent, tally)
            except ExistsError as error:
                found = await self.find_own(key, intent.nonce, error)
                return await arrived_before(found, near, tally, error)

    async def _put_checked(
        self, key: str, source: Source, intent: Intent, tally: Tally
    ) -> ObjectInfo:
        algorithm = self.checksumming(intent)
        try:
            return await self._put(key, source, intent, tally, algorithm)
        except (RejectedError, UnsupportedError):
            if algorithm is None or self.confirmed:
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
        self.confirmed = self.confirmed or said is not None
        return ObjectInfo(key, source.size, version_of(answer.headers.get("etag")), checksum=said)

    async def delete(self, key: str) -> None:
        """DeleteObject: a key that is not there is fine."""
        await self.control.ask(f"delete {self.url}/{key}", "DELETE", key)


def _listed(item: Mapping[str, str], page: Document) -> ObjectInfo:
    when = item.get("LastModified")
    return ObjectInfo(
        decoded(item["Key"], page),
        int(item["Size"]),
        version_of(item.get("ETag")),
        datetime.fromisoformat(when).timestamp() if when else None,
    )


if TYPE_CHECKING:

    def _conforms(store: S3Store) -> Store:
        return store
