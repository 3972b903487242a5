"""A store behind a coordinator: the contract, by way of somebody who has the credentials.

`mlflow-artifacts://host:port/path`, `transfer+http://` and `transfer+https://`
open here. What `server-info` says decides who is spoken to: a coordinator of
ours in its own API, anybody else in plain MLflow.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from backends.coordinated.client import Server, quoted, server_of
from backends.coordinated.mlflow import MlflowStore
from backends.coordinated.url_book import UrlBook
from backends.error_documents import refused_overwrite
from backends.presigned import (
    RemoteObject,
    arrived_before,
    bind,
    check_echo,
    send_signed,
    version_in,
)
from backends.spool import at_hand
from transfer.errors import (
    ExistsError,
    NotFoundError,
    PreconditionError,
    ProtocolError,
    RejectedError,
    SourceChangedError,
    TransferError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.keys import check_key, check_text
from transfer.model import ObjectInfo, Page, Part, PartLimits, Receipt, Traits, Upload
from transfer.redaction import host_of, redact
from transfer.sources import checksum_of_source
from transfer.store import SignedRequest
from transfer.wire import (
    API_PATH,
    API_VERSION,
    CHECKSUM_HEADER,
    MAX_BATCH,
    SERVER_INFO_PATH,
    AbortUpload,
    Capabilities,
    CompleteUpload,
    NewPut,
    NewRead,
    NewUpload,
    Nothing,
    ObjectPage,
    OpenRead,
    OpenUpload,
    PartList,
    PutDone,
    ReportParts,
    Signed,
    SignedParts,
    SignParts,
    WireObject,
    WireReceipt,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from transfer.checksums import Checksum
    from transfer.model import Expected, Intent
    from transfer.store import Context, OpenObject, Response, Source, Store
    from transfer.tally import Tally

# The coordinator may review thousands of parts, and its store may think for minutes.
_COMPLETE_PATIENCE = 900.0
# A permission this close to its end, in seconds, is not used for a new request.
_MARGIN = 15.0


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Ask who is there, and open the store that speaks their language."""
    server = server_of(root, context.settings, context.mover)
    info = await _server_info(server)
    if info.get("transfer_api") == API_VERSION:
        found = await server.ask("GET", f"{API_PATH}/capabilities", Capabilities)
        yield CoordinatedStore(redact(root), server, found)
    else:
        yield MlflowStore(root, server, context.settings, info)


async def _server_info(server: Server) -> Mapping[str, object]:
    """Return what the server says of itself; old MLflow servers have no such page."""
    answer = await server.call("GET", SERVER_INFO_PATH)
    if answer.status in {404, 405}:
        return {}
    if answer.status in {401, 403, 429} or answer.status >= 500:
        raise server.error(f"ask {host_of(server.base)} what it can do", answer)
    try:
        content = json.loads(answer.body) if answer.ok else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ProtocolError(
            f"{host_of(server.base)} is no coordinator and no MLflow server",
            hint="check the address and the port",
        )
    return content


class CoordinatedStore:
    """Objects behind a coordinator of ours; make it with `open_store`."""

    signer = None
    leftovers = None

    def __init__(self, url: str, server: Server, capabilities: Capabilities) -> None:
        self.url = url
        self.server = server
        self._unbound = False
        self.traits = Traits(max_put=capabilities.max_put, keeps_metadata=True)
        limits = capabilities.limits
        self.parts = CoordinatedParts(self, limits.to_limits()) if limits else None

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object."""
        path = f"{API_PATH}/objects/{quoted(check_key(key))}"
        return (await self.server.ask("GET", path, WireObject)).to_info()

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List a page of keys."""
        query = {"prefix": check_text(prefix)}
        if token is not None:
            query["token"] = token
        if folders:
            query["folders"] = "1"
        path = f"{API_PATH}/list?{urlencode(query)}"
        page = await self.server.ask("GET", path, ObjectPage)
        return Page(tuple(item.to_info() for item in page.objects), tuple(page.folders), page.token)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an object: its ranges are presigned, and signed again when they expire."""
        permit = _ReadPermit(self.server, check_key(key))
        found = await permit.renew()
        if info is not None and info.version and found.version != info.version:
            raise SourceChangedError(f"{self.url}/{key} was replaced since it was listed")
        yield RemoteObject(
            found,
            self.server.mover,
            permit.current,
            tls_for=self.server.tls_for,
            error_of=lambda answer: self.server.error(f"read {self.url}/{key}", answer),
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Store an object with a presigned PUT, then have the coordinator look at it."""
        check_key(key)
        async with at_hand(source) as near:
            try:
                answer = await self._put_bound(key, near, intent, tally)
            except (ExistsError, PreconditionError) as error:
                if not intent.no_clobber:
                    raise
                return await self._stored_before(key, near, tally, refused_overwrite(error))
        if answer.body:
            # It went to the coordinator itself, which has looked already.
            return self.server.read(WireObject, answer).to_info()
        done = PutDone(
            key=key, size=source.size, etag=version_in(answer.headers), checksum=tally.checksum
        )
        return (await self.server.ask("POST", f"{API_PATH}/puts/done", WireObject, done)).to_info()

    async def _stored_before(
        self, key: str, source: Source, tally: Tally, error: TransferError
    ) -> ObjectInfo:
        """Return the object if it is what is being sent, else raise that it exists.

        It was not there before: then an attempt has stored it whose answer was lost.
        """
        try:
            found = await self.stat(key)
        except NotFoundError:
            raise error from None
        said = found.checksum
        if said is None or await checksum_of_source(source, said.algorithm) != said:
            raise error
        return await arrived_before(found, source, tally, error)

    async def _put_bound(self, key: str, source: Source, intent: Intent, tally: Tally) -> Response:
        checksum = await bind(source, None if self._unbound else tally.algorithm, tally)
        try:
            return await self._put(key, source, intent, tally, checksum)
        except (RejectedError, UnsupportedError):
            if checksum is None:
                raise
        # Perhaps it was the checksum that the store would not have.
        answer = await self._put(key, source, intent, tally, None)
        self._unbound = True
        return answer

    async def _put(
        self, key: str, source: Source, intent: Intent, tally: Tally, checksum: Checksum | None
    ) -> Response:
        new = NewPut(
            key=key,
            size=source.size,
            content_type=intent.content_type,
            metadata=dict(intent.metadata),
            no_clobber=intent.no_clobber,
            checksum=checksum,
        )
        signed = await self.server.ask("POST", f"{API_PATH}/puts", Signed, new)
        return await self._send(f"write {self.url}/{key}", signed, source, tally)

    async def delete(self, key: str) -> None:
        """Remove an object."""
        await self.server.ask("DELETE", f"{API_PATH}/objects/{quoted(check_key(key))}", Nothing)

    async def send_part(
        self, upload: Upload, part: Part, signed: Signed, source: Source, tally: Tally
    ) -> Receipt:
        """Send one part to wherever its URL leads."""
        what = f"write part {part.number} of {self.url}/{upload.key}"
        answer = await self._send(what, signed, source, tally)
        etag = answer.headers.get("etag") or signed.etag
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def _send(self, what: str, signed: Signed, source: Source, tally: Tally) -> Response:
        answer = await send_signed(
            self.server.mover,
            SignedRequest(signed.method, signed.url, signed.headers, signed.expires_in),
            source,
            tally,
            tls=self.server.tls_for(signed.url),
            error_of=lambda answer: self.server.error(what, answer),
        )
        check_echo(what, answer.headers.get(CHECKSUM_HEADER), tally)
        return answer


class CoordinatedParts:
    """Uploads of a coordinator; the id of an `Upload` is its session and epoch."""

    resumable = True

    def __init__(self, store: CoordinatedStore, limits: PartLimits) -> None:
        self._store = store
        self._books: dict[str, UrlBook] = {}
        self.limits = limits

    async def create(self, key: str, intent: Intent) -> Upload:
        """Open a session; asked twice, because an answer was lost, it is the same one."""
        if intent.size is None or intent.part_size is None:
            msg = "an upload has a size"
            raise AssertionError(msg)
        new = NewUpload(
            request_id=intent.nonce,
            key=check_key(key),
            size=intent.size,
            part_size=intent.part_size,
            content_type=intent.content_type,
            metadata=dict(intent.metadata),
            no_clobber=intent.no_clobber,
            algorithm=intent.algorithm,
        )
        opened = await self._store.server.ask("POST", f"{API_PATH}/uploads", OpenUpload, new)
        session = f"{opened.id}.{opened.epoch}"
        return Upload(key, session, opened.size, opened.part_size, opened.algorithm)

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Send a part by a URL for this part: for this content only, if the store checks that.

        Others are fetched in a batch with those that come next.
        """
        if upload.algorithm is None:
            return await self._send(upload, part, source, tally)
        async with at_hand(source) as near:
            return await self._send(upload, part, near, tally)

    async def _send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        book = self._book(upload)
        signed = await book.take(part.number, await bind(source, upload.algorithm, tally))
        receipt = await self._store.send_part(upload, part, signed, source, tally)
        book.sent(receipt)
        return receipt

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the session given."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """List the parts that the store has."""
        del reread
        session, _ = _session(upload)
        path = f"{API_PATH}/uploads/{session}/parts"
        found = await self._store.server.ask("GET", path, PartList)
        return [said.to_receipt() for said in found.parts]

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Report what is not yet reported, and have the object put together."""
        session, epoch = _session(upload)
        server = self._store.server
        rest = self._book(upload).unreported(receipts)
        while len(rest) > MAX_BATCH:
            said = [WireReceipt.from_receipt(receipt) for receipt in rest[:MAX_BATCH]]
            path = f"{API_PATH}/uploads/{session}/receipts"
            await server.ask("POST", path, OpenUpload, ReportParts(epoch=epoch, receipts=said))
            rest = rest[MAX_BATCH:]
        message = CompleteUpload(
            epoch=epoch,
            receipts=[WireReceipt.from_receipt(receipt) for receipt in rest],
            size=expected.size or 0,
            checksum=expected.checksum,
        )
        path = f"{API_PATH}/uploads/{session}/complete"
        done = await server.ask("POST", path, WireObject, message, patience=_COMPLETE_PATIENCE)
        self._books.pop(upload.id, None)
        return done.to_info()

    async def abort(self, upload: Upload) -> None:
        """Give the session up; one that is gone is fine."""
        session, epoch = _session(upload)
        path = f"{API_PATH}/uploads/{session}/abort"
        with suppress(UploadGoneError):
            await self._store.server.ask("POST", path, Nothing, AbortUpload(epoch=epoch))
        self._books.pop(upload.id, None)

    def _book(self, upload: Upload) -> UrlBook:
        if upload.id not in self._books:
            session, epoch = _session(upload)
            count = -(-(upload.size or 0) // (upload.part_size or 1))
            server = self._store.server

            async def fetch(
                numbers: Sequence[int], checksums: Sequence[Checksum], receipts: Sequence[Receipt]
            ) -> SignedParts:
                message = SignParts(
                    epoch=epoch,
                    numbers=list(numbers),
                    checksums=list(checksums),
                    receipts=[WireReceipt.from_receipt(receipt) for receipt in receipts],
                )
                path = f"{API_PATH}/uploads/{session}/urls"
                return await server.ask("POST", path, SignedParts, message)

            self._books[upload.id] = UrlBook(count, fetch)
        return self._books[upload.id]


class _ReadPermit:
    """The permission to read one version of an object, renewed before it runs out."""

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self._signed: SignedRequest | None = None
        self._until = 0.0
        self._version: str | None = None

    async def renew(self) -> ObjectInfo:
        opened = await self._server.ask(
            "POST", f"{API_PATH}/reads", OpenRead, NewRead(key=self._key)
        )
        request, info = opened.request, opened.object.to_info()
        if self._signed is not None and info.version != self._version:
            raise SourceChangedError(f"{self._key} was replaced while it was read")
        self._version = info.version
        self._signed = SignedRequest(
            request.method, request.url, request.headers, request.expires_in
        )
        self._until = time.monotonic() + request.expires_in - _MARGIN
        return info

    async def current(self, expired: bool) -> SignedRequest:  # noqa: FBT001 - a callback
        if expired or self._signed is None or time.monotonic() > self._until:
            await self.renew()
        if self._signed is None:
            raise AssertionError
        return self._signed


def _session(upload: Upload) -> tuple[str, int]:
    session, dot, epoch = upload.id.partition(".")
    if not dot or not epoch.isdecimal():
        raise UploadGoneError(f"{upload.id[:40]!r} is no upload of a coordinator")
    return session, int(epoch)


if TYPE_CHECKING:

    def _conforms(store: CoordinatedStore) -> Store:
        return store
