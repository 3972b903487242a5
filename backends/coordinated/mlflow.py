"""A plain MLflow server as a store: its proxied-artifact protocol, and nothing more.

That protocol signs all parts when an upload begins, cannot list parts or sign
again, and says neither versions nor checksums; so an upload through it cannot be
resumed, and a download is compared by size. What a server offers is read from
`server-info`, and tried out where an older one has no such page.

The server undoes percent-encoding until nothing of it is left, so that `a%20b` is
`a b` to it: such names are refused here, before they reach another object.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from pydantic import BaseModel

from backends.azure.blocks import raw_id
from backends.coordinated.client import quoted
from backends.presigned import RemoteObject, send_signed
from transfer.content_types import UNKNOWN, content_type_of
from transfer.errors import (
    BadKeyError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    TransferError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.keys import check_text
from transfer.model import ObjectInfo, Page, PartLimits, Receipt, Span, Traits, Upload
from transfer.redaction import redact
from transfer.sizes import GIB, MIB, TIB
from transfer.store import Request, SignedRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence

    from backends.coordinated.client import Server
    from transfer.model import Expected, Intent, Part
    from transfer.settings import Settings
    from transfer.store import OpenObject, Source, Store
    from transfer.tally import Tally

_API = "/api/2.0/mlflow-artifacts"
_UNSUPPORTED = "Multipart upload is not supported for the current artifact repository"
# Behind the server may be S3, Google or Azure: these hold for all of them.
_LIMITS = PartLimits(min_size=5 * MIB, max_size=4000 * MIB, max_count=10_000, max_object=5 * TIB)
_COMPLETE_PATIENCE = 900.0
_LIFETIME = 240.0
# Each part of a path is once read as a URL by itself.
_LOST_END = re.compile(r"[?;](/|$)")
_REFUSED = re.compile(r"[#\x00-\x1f\x7f]")
# A request more is little beside so many bytes, and reading them again is not.
_WORTH_PINNING = 16 * MIB
_RENAME = "rename it, or write to the store behind the server"


class _Credential(BaseModel):
    url: str
    part_number: int
    headers: dict[str, str] = {}


class _Created(BaseModel):
    upload_id: str | None = None
    credentials: list[_Credential] = []


class _File(BaseModel):
    path: str
    is_dir: bool = False
    file_size: int = 0


class _Listing(BaseModel):
    files: list[_File] = []


class _Presigned(BaseModel):
    url: str
    headers: dict[str, str] = {}
    file_size: int


class _Anything(BaseModel):
    pass


@dataclass(frozen=True, slots=True)
class _OpenUpload:
    """What this protocol makes a client keep: the URLs, which are secrets, in memory only."""

    upload_id: str | None
    credentials: Mapping[int, _Credential]


class MlflowStore:
    """Artifacts behind a server that speaks MLflow's protocol."""

    signer = None
    leftovers = None

    def __init__(
        self, url: str, server: Server, settings: Settings, info: Mapping[str, object]
    ) -> None:
        self.url = redact(url)
        self.server = server
        uploads = info.get("multipart_uploads_enabled")
        asked = settings.enable_upload
        # Servers before 3.15 do not say; asking costs one request.
        can_upload = asked if asked is not None else uploads is not False
        self.presigned = settings.enable_download is True or (
            settings.enable_download is None and info.get("multipart_downloads_enabled") is True
        )
        self.parts: MlflowParts | None = MlflowParts(self) if can_upload else None
        self.traits = Traits(
            max_put=5 * GIB if can_upload else TIB, concurrent_reads=self.presigned
        )

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an artifact: by the listing of its folder, which is all there is."""
        check_text(key)
        folder, _, name = key.rpartition("/")
        for file in await self._list(folder):
            if file.path == name and not file.is_dir:
                return ObjectInfo(key, file.file_size)
        raise NotFoundError(f"{self.url}/{key} does not exist")

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List one folder; the token holds the folders that are still to be listed."""
        waiting = [prefix] if token is None else _folders_of(token, prefix)
        folder = waiting.pop()
        objects: list[ObjectInfo] = []
        inner: list[str] = []
        for file in await self._list(folder.rstrip("/")):
            if file.is_dir:
                inner.append(f"{folder}{file.path}/")
            else:
                objects.append(ObjectInfo(f"{folder}{file.path}", file.file_size))
        if folders:
            return Page(tuple(objects), tuple(inner))
        waiting += sorted(inner, reverse=True)
        return Page(tuple(objects), token=json.dumps(waiting) if waiting else None)

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an artifact: presigned where the server can, else through the server."""
        check_key(key)
        found = info or await self.stat(key)
        sign = self._presign if self.presigned else self._proxied

        async def permit(renew: bool) -> SignedRequest:  # noqa: FBT001 - a callback
            del renew
            return await sign(key)

        if self.presigned and found.version is None and found.size >= _WORTH_PINNING:
            found = replace(found, version=await self._version(permit))
        yield RemoteObject(
            found,
            self.server.mover,
            permit,
            tls_for=self.server.tls_for,
            error_of=lambda answer: self.server.error(f"read {self.url}/{key}", answer),
            ranged=self.presigned,
            version_in=_etag_of,
        )

    async def _version(self, permit: Callable[[bool], Awaitable[SignedRequest]]) -> str | None:
        """Read a byte: only an answer of the store behind the server says of which version it is.

        Without one, a later run could not go on with what this one has read.
        """
        signed = await permit(False)
        tls = self.server.tls_for(signed.url)
        request = Request("GET", signed.url, signed.headers, span=Span(0, 1), most=1, tls=tls)
        try:
            answer = await self.server.mover.exchange(request)
        except TransferError:
            return None  # what is wrong will be told when it is read
        return _etag_of(answer.headers) if answer.ok else None

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Send an artifact through the server."""
        check_key(key)
        kind = intent.content_type or content_type_of(key) or UNKNOWN
        headers = {**self.server.headers, "Content-Type": kind}
        url = f"{self.server.base}{_API}/artifacts/{quoted(key)}"
        request = Request("PUT", url, headers, patience=_COMPLETE_PATIENCE, tls=self.server.tls)
        answer = await self.server.mover.exchange(request, source=source, tally=tally)
        if not answer.ok:
            raise self.server.error(f"write {self.url}/{key}", answer)
        return ObjectInfo(key, source.size)

    async def delete(self, key: str) -> None:
        """Remove an artifact."""
        check_key(key)
        await self.server.ask("DELETE", f"{_API}/artifacts/{quoted(key)}", _Anything)

    async def _list(self, folder: str) -> list[_File]:
        check_key(folder)
        query = urlencode({"path": folder}) if folder else ""
        listing = await self.server.ask("GET", f"{_API}/artifacts?{query}", _Listing)
        for file in listing.files:
            if "/" in file.path or file.path in {"", ".", ".."}:
                raise ProtocolError(f"{self.url} lists a file that cannot be one: {file.path!r}")
        return listing.files

    async def _presign(self, key: str) -> SignedRequest:
        found = await self.server.ask("GET", f"{_API}/presigned/{quoted(key)}", _Presigned)
        return SignedRequest("GET", found.url, found.headers, _LIFETIME)

    async def _proxied(self, key: str) -> SignedRequest:
        url = f"{self.server.base}{_API}/artifacts/{quoted(key)}"
        return SignedRequest("GET", url, self.server.headers, _LIFETIME)


def _etag_of(headers: Mapping[str, str]) -> str | None:
    """Return a version that ranges can be asked for by: no weak one (RFC 9110 section 8.8.1)."""
    etag = headers.get("etag", "")
    return etag if etag.startswith('"') else None


class MlflowParts:
    """`mpu/create`, `complete` and `abort`; the id of an `Upload` is ours, for this process."""

    limits = _LIMITS
    resumable = False

    def __init__(self, store: MlflowStore) -> None:
        self._store = store
        self._open: dict[str, _OpenUpload] = {}

    async def create(self, key: str, intent: Intent) -> Upload:
        """Open an upload; UnsupportedError where the server answers 501, or says so."""
        check_key(key)
        size, part_size = intent.size or 0, intent.part_size or 1
        count = max(1, -(-size // part_size))
        if "/" not in key:
            # MLflow's server has no route for a file directly in its root.
            raise UnsupportedError(f"{self._store.url} has multipart in folders only")
        content = {"path": key.rpartition("/")[2], "num_parts": count}
        answer = await self._store.server.call("POST", self._path("create", key), content)
        if not answer.ok:
            raise self._refused(
                key,
                answer.status,
                self._store.server.error(f"open an upload to {self._store.url}/{key}", answer),
            )
        created = self._store.server.read(_Created, answer)
        upload = Upload(key, secrets.token_hex(16), size, part_size)
        by_number = {credential.part_number: credential for credential in created.credentials}
        self._open[upload.id] = _OpenUpload(created.upload_id, by_number)
        if sorted(by_number) != list(range(1, count + 1)):
            await self.abort(upload)
            raise ProtocolError(
                f"{self._store.url} signed {len(by_number)} parts, {count} were asked for"
            )
        if not _blocks_fit(credential.url for credential in created.credentials):
            await self.abort(upload)
            raise UnsupportedError(f"{self._store.url} numbers parts as Azure does not take them")
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Send one part to the store behind the server."""
        server = self._store.server
        credential = self._upload(upload).credentials[part.number]
        # For Azure, the server leaves spaces as they are.
        url = credential.url.replace(" ", "%20")
        signed = SignedRequest("PUT", url, credential.headers, _LIFETIME)
        what = f"write part {part.number} of {self._store.url}/{upload.key}"
        answer = await send_signed(
            server.mover,
            signed,
            source,
            tally,
            tls=server.tls_for(url),
            error_of=lambda answer: server.error(what, answer),
        )
        etag = answer.headers.get("etag", "")
        return Receipt(part.number, part.span.size, etag, tally.checksum)

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """This protocol cannot go on: the URLs were in the memory of the former run."""
        del upload, key, intent
        return None

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """This protocol cannot say."""
        del reread
        raise UnsupportedError(f"{self._store.url} cannot list the parts of {upload.key}")

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Have the object put together; every part's URL goes back, as the protocol wants."""
        opened = self._upload(upload)
        parts = [
            {
                "part_number": receipt.number,
                "etag": receipt.etag,
                "url": opened.credentials[receipt.number].url,
            }
            for receipt in receipts
        ]
        await self._tell("complete", upload, opened, {"parts": parts})
        self._open.pop(upload.id, None)
        info = await self._store.stat(upload.key)
        if expected.size is not None and info.size != expected.size:
            raise ProtocolError(
                f"{self._store.url}/{upload.key} has {info.size} bytes, {expected.size} were sent"
            )
        return info

    async def abort(self, upload: Upload) -> None:
        """Give an upload up."""
        opened = self._open.get(upload.id)
        if opened is not None:
            await self._tell("abort", upload, opened, {})
            self._open.pop(upload.id, None)

    async def _tell(
        self, verb: str, upload: Upload, opened: _OpenUpload, more: Mapping[str, object]
    ) -> None:
        name = upload.key.rpartition("/")[2]
        content = {"path": name, "upload_id": opened.upload_id, **more}
        await self._store.server.ask(
            "POST",
            self._path(verb, upload.key),
            _Anything,
            content,
            patience=_COMPLETE_PATIENCE,
        )

    def _path(self, verb: str, key: str) -> str:
        return f"{_API}/mpu/{verb}/{quoted(key.rpartition('/')[0])}"

    def _refused(self, key: str, status: int, error: TransferError) -> TransferError:
        """Old servers say only by a sentence that they have no multipart."""
        if status == 501 or _UNSUPPORTED in error.message:
            self._store.parts = None
            return UnsupportedError(f"{self._store.url}/{key}: the server has no multipart")
        return error

    def _upload(self, upload: Upload) -> _OpenUpload:
        try:
            return self._open[upload.id]
        except KeyError:
            raise UploadGoneError(f"the upload of {upload.key} belongs to another run") from None


def check_key(key: str) -> None:
    """Raise BadKeyError for what the server takes for another name, or for none at all."""
    check_text(key)
    if unquote(key, errors="surrogateescape") != key:
        raise BadKeyError(
            f"{key!r}: an MLflow server would take this for {unquote(key)!r}", hint=_RENAME
        )
    if _LOST_END.search(key):
        raise BadKeyError(f"{key!r}: MLflow servers lose a ? or ; at the end", hint=_RENAME)
    if _REFUSED.search(key):
        raise BadKeyError(
            f"{key!r}: MLflow servers take no # and no control character", hint=_RENAME
        )


def _blocks_fit(urls: Iterable[str]) -> bool:
    """Whether all block ids for Azure have one length; before MLflow 3.18, ten parts have two."""
    queries = [parse_qs(urlsplit(url).query) for url in urls]
    ids = [query["blockid"][0] for query in queries if "blockid" in query]
    return len({len(raw_id(block_id)) for block_id in ids}) <= 1


def _folders_of(token: str, prefix: str) -> list[str]:
    """Read a token, which may have been in other hands: it leads below the prefix only."""
    try:
        folders = json.loads(token)
    except ValueError:
        folders = None
    if (
        not isinstance(folders, list)
        or not folders
        or not all(isinstance(name, str) and name.startswith(prefix) for name in folders)
        or any(".." in name.split("/") for name in folders)
    ):
        raise RejectedError("this page of a listing does not exist")
    return folders


if TYPE_CHECKING:

    def _conforms(store: MlflowStore) -> Store:
        return store
