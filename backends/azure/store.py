"""Azure Blob Storage, and Data Lake Storage by the same address.

Every request is ours and goes through the mover: the calls are few and plain (a
query, some headers, small XML), the parts have to be such requests anyway, and so
there is one way to errors, time-outs, proxies and certificates. The SDK would be a
second of each, with retries to be switched off; only identities come from its kin.

`abfss://` names a Data Lake (an account with a hierarchical namespace), whose own API
creates a file first and appends to it: an upload would be seen while it grows. The
same account's blob address takes Put Block and Put Block List, which show a file
whole or not at all, and makes the folders above it. Folders are listed there as
blobs without content, and so are Hadoop's in a flat account; we leave them out.

MLflow gives each call to Azure 600 s in all, which a part of 100 MB on a slow line
outlasts. Here a request fails when nothing moves; only Put Block List, which may
think over thousands of blocks, has 600 s before its first byte.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from backends.azure.access import open_access
from backends.azure.account import account_of, place_of
from backends.azure.container import AzureContainer
from backends.azure.copies import AzureCopies
from backends.azure.documents import listing, md5_of, modified_at
from backends.azure.errors import error_of
from backends.azure.parts import AzureParts
from backends.azure.requests import blob_path, container_path, put_headers
from backends.azure.signer import AzureSigner
from backends.error_documents import refused_overwrite
from backends.presigned import RemoteObject, arrived_before
from backends.server_copies import origin_place
from backends.spool import at_hand
from transfer.checksums import Algorithm
from transfer.errors import (
    AccessError,
    ExistsError,
    NotFoundError,
    TransferError,
)
from transfer.model import ObjectInfo, Page, Traits
from transfer.sizes import MIB
from transfer.sources import checksum_of_source
from transfer.store import SignedRequest, Tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from backends.azure.access import Access, KeyRing
    from transfer.model import Intent
    from transfer.store import Context, Mover, OpenObject, Signer, Source, Store
    from transfer.tally import Tally

# Put Blob since version 2019-12-12 of the service.
_TRAITS = Traits(max_put=5000 * MIB, keeps_metadata=True)
_PAGE = "1000"


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open a container, as `wasbs://`, `wasb://`, `abfss://` or `az://` names it."""
    settings, mover = context.settings, context.mover
    place = place_of(root)
    account = account_of(place, settings)
    # As MLflow, which has no settings of its own for this.
    tls = Tls(verify=not settings.tracking_insecure_tls, ca_file=settings.tracking_server_cert)
    async with open_access(account, place.container, mover, tls) as (access, keys):
        signer: Signer | None = None
        if keys is not None and context.confined and await _signs(keys, context):
            endpoint = settings.public_endpoint_url or account.endpoint
            signer = AzureSigner(keys, endpoint, place.container)
        yield AzureStore(
            root,
            account.endpoint,
            place.container,
            mover=mover,
            access=access,
            tls=tls,
            signer=signer,
            algorithm=Algorithm.MD5 if settings.azure_checksum == "md5" else None,
        )


async def _signs(keys: KeyRing, context: Context) -> bool:
    """Whether there is a key to sign with; an identity may not be permitted to get one."""
    try:
        await keys.current(context.settings.url_lifetime)
    except AccessError as error:
        context.notify(f"no presigned URLs, bytes go through this process: {error}")
        return False
    return True


class AzureStore(AzureContainer):
    """The blobs of one container; make it with `open_store`."""

    leftovers = None

    def __init__(
        self,
        url: str,
        endpoint: str,
        container: str,
        *,
        mover: Mover,
        access: Access,
        tls: Tls,
        signer: Signer | None,
        algorithm: Algorithm | None,
    ) -> None:
        super().__init__(
            url, endpoint, container, mover=mover, access=access, tls=tls, algorithm=algorithm
        )
        self.traits = _TRAITS
        self.copies = AzureCopies(self)
        self.parts = AzureParts(self, self.copies)
        self.signer = signer

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List Blobs, a thousand at a time."""
        path = container_path(
            self.container,
            restype="container",
            comp="list",
            # Hadoop's folders in a flat account are known by their metadata.
            include="metadata",
            maxresults=_PAGE,
            prefix=prefix or None,
            delimiter="/" if folders else None,
            marker=token,
        )
        return listing(await self.read(f"list {self.url}/{prefix}", path))

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open a blob, pinned to its ETag; a listing has said all that a look would."""
        found = info if info is not None and info.version else await self.stat(key)
        path = blob_path(self.container, key)

        async def sign(renew: bool) -> SignedRequest:  # noqa: FBT001 - a callback
            del renew
            url, headers = await self.access.admit(self.endpoint + path)
            return SignedRequest("GET", url, headers, 0.0)

        yield RemoteObject(
            found,
            self.mover,
            sign,
            tls_for=lambda _: self.tls,
            error_of=lambda answer: error_of(f"read {self.url}/{key}", answer),
            checksum_of=lambda headers: md5_of(headers.get("x-ms-blob-content-md5")),
            realm=self.copies.realm,
            place=origin_place(self.container, key),
            look=partial(self.stat, key),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Put Blob; the answer says the MD5 of what the service has got. Or a copy.

        Where it has compared that, what was counted on the way is proved too.
        """
        copied = await self.copies.put(key, source, intent, tally)
        if copied is not None:
            return copied
        if self.algorithm is None:
            return await self._put(key, source, intent, tally)
        async with at_hand(source) as near:
            intent = replace(intent, checksum=await checksum_of_source(near, self.algorithm))
            info = await self._put(key, near, intent, tally)
        return replace(info, checksum=tally.checksum or info.checksum)

    async def _put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        what = f"write {self.url}/{key}"
        headers = put_headers(key, intent)
        path = blob_path(self.container, key)
        try:
            answer = await self.ask(what, "PUT", path, headers, source=source, tally=tally)
        except TransferError as error:
            if not intent.no_clobber:
                raise
            refused = refused_overwrite(error)
            if not isinstance(refused, ExistsError):
                raise
            found = await self.find_own(key, intent.nonce, refused)
            return await arrived_before(found, source, tally, refused)
        said = answer.headers
        modified, checksum = modified_at(said.get("last-modified")), md5_of(said.get("content-md5"))
        return ObjectInfo(key, source.size, said.get("etag"), modified, checksum)

    async def delete(self, key: str) -> None:
        """Delete Blob; none there is fine."""
        path = blob_path(self.container, key)
        try:
            await self.ask(f"delete {self.url}/{key}", "DELETE", path)
        except NotFoundError:
            return


if TYPE_CHECKING:

    def _conforms(store: AzureStore) -> Store:
        return store
