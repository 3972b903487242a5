"""Google Cloud Storage.

Where the credentials can sign (a service account's key, or IAM's signBlob), large
objects go in parts, by signed URLs of the XML API that anybody can be given;
where they cannot, in one resumable upload. Which of the two is known before
anything is opened. Control calls are those of the JSON API. A version is a
generation: it pins reads, and makes writes conditional.
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.gcs.bucket import GcsBucket
from backends.gcs.copies import GcsCopies
from backends.gcs.credentials import find_credentials, find_signer
from backends.gcs.errors import BUCKET_HINT
from backends.gcs.headers import checksum_of_headers, info_of_resource
from backends.gcs.json_api import JsonApi
from backends.gcs.parts import LIFETIME, GcsParts
from backends.gcs.presigner import GcsPresigner, TokenGranter, UrlGranter, check_gcs_key
from backends.gcs.resumable import Sessions
from backends.marks import MARK
from backends.presigned import RemoteObject, bind, send_signed, version_in
from backends.server_copies import origin_place
from transfer.checksums import Algorithm, differ
from transfer.errors import (
    DamagedInTransitError,
    ExistsError,
    NotFoundError,
    PreconditionError,
    TemporaryError,
    UsageError,
)
from transfer.model import ObjectInfo, Page, Traits
from transfer.mover.threads import open_mover
from transfer.sizes import MIB, TIB
from transfer.store import Tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from backends.gcs.presigner import Granter
    from transfer.checksums import Checksum
    from transfer.errors import TransferError
    from transfer.model import Intent
    from transfer.settings import Settings
    from transfer.store import Context, Mover, OpenObject, Response, Source, Store
    from transfer.tally import Tally

_ENDPOINT = "https://storage.googleapis.com"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
# Up to here one request is as good as a session, and one less.
_ONE_REQUEST = 8 * MIB


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `gs://BUCKET`, with Google's default credentials; an emulator needs none."""
    bucket = root.partition("://")[2]
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{bucket!r} is no name that a bucket of Cloud Storage can have")
    settings = context.settings
    async with AsyncExitStack() as stack:
        mover = context.mover
        if settings.gcs_timeout is not None:
            own = replace(settings, stall_timeout=settings.gcs_timeout)
            mover = await stack.enter_async_context(open_mover(own))
        if settings.gcs_emulator:
            store = _emulated(bucket, settings, mover)
        else:
            store = await _opened(bucket, settings, mover)
        stack.push_async_callback(store.sessions.close)
        yield store


def _emulated(bucket: str, settings: Settings, mover: Mover) -> GcsStore:
    """Open a bucket of an emulator; of the XML API those know GET at most."""
    api = JsonApi(bucket, _endpoint(settings.gcs_emulator or ""), None, mover)
    return GcsStore(api, mover, TokenGranter(api.authorization), settings, one_request=-1)


async def _opened(bucket: str, settings: Settings, mover: Mover) -> GcsStore:
    endpoint = _endpoint(settings.gcs_endpoint_url or _ENDPOINT)
    file = Path(settings.gcs_credentials) if settings.gcs_credentials else None
    bearer = await find_credentials(mover, file)
    signer = await find_signer(bearer, mover)
    api = JsonApi(bucket, endpoint, bearer, mover)
    if signer is None:
        return GcsStore(api, mover, TokenGranter(api.authorization), settings)
    granter = UrlGranter(signer)
    public = _endpoint(settings.public_endpoint_url or endpoint)
    presigner = GcsPresigner(granter, f"{public}/{bucket}")
    return GcsStore(api, mover, granter, settings, public=presigner)


class GcsStore(GcsBucket):
    """The objects of one bucket; make it with `open_store`.

    `public` are permissions for others, None where the credentials cannot sign.
    `one_request` is the largest object, in bytes, that goes without a session.
    """

    leftovers = None

    def __init__(
        self,
        api: JsonApi,
        mover: Mover,
        granter: Granter,
        settings: Settings,
        *,
        public: GcsPresigner | None = None,
        one_request: int = _ONE_REQUEST,
    ) -> None:
        super().__init__(api, mover, granter)
        self.copies = GcsCopies(api)
        self.sessions = Sessions(api, mover, settings.gcs_upload_chunk)
        self.signer = public
        self.parts = GcsParts(self) if public is not None else None
        self._range_size = settings.gcs_download_chunk
        self._one_request = one_request
        self._unsure: deque[str] = deque(maxlen=1024)

    @property
    def traits(self) -> Traits:
        """Copies are whole as long as they are made; what has to be moved goes in parts."""
        realm = "" if self.copies.refused else self.copies.realm
        return Traits(
            max_put=5 * TIB,
            range_size=self._range_size,
            copies_whole=realm,
            keeps_metadata=True,
        )

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object's resource."""
        return info_of_resource(await self._resource(key), key)

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List objects, a thousand at a time."""
        found = await self.api.page(prefix, token, folders=folders)
        objects = tuple(info_of_resource(item) for item in found.get("items") or ())
        names = tuple(str(name) for name in found.get("prefixes") or ())
        return Page(objects, names, found.get("nextPageToken"))

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an object; its ranges are GETs of one generation."""
        found = info if info is not None and info.version else await self.stat(key)
        what = f"read {self.url}/{key}"

        async def sign(renew: bool) -> Any:  # noqa: FBT001 - a callback
            del renew
            return await self.presigner.sign_read(found, LIFETIME)

        yield RemoteObject(
            found,
            self.mover,
            sign,
            tls_for=lambda _: Tls(),
            error_of=lambda answer: self.error(what, answer),
            checksum_of=checksum_of_headers,
            realm=self.copies.realm,
            place=origin_place(self.api.bucket, key),
            look=partial(self.stat, key),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Rewrite what the store has already, else one request, or one resumable upload.

        An attempt after one that went wrong looks first: what that one may have
        stored is found by our mark, and anything else is replaced only as it was seen.
        """
        check_gcs_key(key)
        copied = await self.copies.put(key, source, intent, tally)
        if copied is not None:
            return copied
        try:
            condition = "0" if intent.no_clobber else None
            if intent.nonce in self._unsure:
                found = await self._seen(key)
                if found.get("metadata", {}).get(MARK) == intent.nonce:
                    await self.sessions.forget(intent.nonce)
                    return info_of_resource(found, key)
                condition = condition or str(found.get("generation", "0"))
            info = await self._put(key, source, intent, tally, condition)
        except PreconditionError as error:
            info = await self._judged(key, intent, error)
        except TemporaryError:
            if intent.nonce not in self._unsure:
                self._unsure.append(intent.nonce)
            raise
        return info

    async def _put(
        self, key: str, source: Source, intent: Intent, tally: Tally, condition: str | None
    ) -> ObjectInfo:
        checksum = await _known(source, intent, tally)
        what = f"write {self.url}/{key}"

        def error_of(answer: Response) -> TransferError:
            return self.error(what, answer)

        if source.size > self._one_request:
            info = await self.sessions.put(
                key,
                source,
                intent,
                tally,
                checksum=checksum,
                condition=condition,
                error_of=error_of,
            )
        else:
            bound = replace(intent, checksum=checksum, size=source.size)
            signed = await self.presigner.sign_put(key, bound, LIFETIME, condition=condition)
            answer = await send_signed(
                self.mover, signed, source, tally, tls=None, error_of=error_of
            )
            said = checksum_of_headers(answer.headers)
            info = ObjectInfo(key, source.size, version_in(answer.headers), checksum=said)
        if info.size != source.size or differ(info.checksum, tally.checksum):
            await self._take_back(info)
            raise DamagedInTransitError(f"{what}: the store got other bytes than were sent")
        return info

    async def _take_back(self, info: ObjectInfo) -> None:
        """Remove an object that is not what was sent: this generation only."""
        if info.version is None:
            return
        try:
            await self.api.delete(info.key, generation=info.version)
        except (NotFoundError, PreconditionError):
            return

    async def _judged(self, key: str, intent: Intent, error: PreconditionError) -> ObjectInfo:
        """Tell our own object, of an attempt whose answer was lost, from somebody else's."""
        found = await self._seen(key)
        if found.get("metadata", {}).get(MARK) == intent.nonce:
            return info_of_resource(found, key)
        raise ExistsError(error.message) if intent.no_clobber else error

    async def _seen(self, key: str) -> Mapping[str, Any]:
        try:
            return await self._resource(key)
        except NotFoundError:
            return {}

    async def _resource(self, key: str) -> Mapping[str, Any]:
        check_gcs_key(key)
        return await self.api.stat(key)

    async def delete(self, key: str) -> None:
        """Remove an object: a key that is not there is fine."""
        check_gcs_key(key)
        try:
            await self.api.delete(key)
        except NotFoundError as error:
            if error.hint == BUCKET_HINT:
                raise


async def _known(source: Source, intent: Intent, tally: Tally) -> Checksum | None:
    """Return the CRC-32C of what will be sent, if it can be had without reading it twice afar."""
    if source.extent is not None:
        return await bind(source, Algorithm.CRC32C, tally)
    said = intent.checksum
    return said if said is not None and said.algorithm is Algorithm.CRC32C else None


def _endpoint(text: str) -> str:
    """Return an address without a slash behind; emulators are often named without a scheme."""
    url = text if "://" in text else f"http://{text}"
    return url.rstrip("/")


if TYPE_CHECKING:

    def _conforms(store: GcsStore) -> Store:
        return store
