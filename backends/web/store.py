"""Web servers: whole objects by GET and PUT, and what WebDAV adds where it is spoken.

With WebDAV nothing is ever visible half: an object is written under a temporary
name beside it and renamed by MOVE. A server without it is trusted to do so
itself, and is asked afterwards what it has. Neither knows parts: one object is
one PUT, and ranges are for reading only, where the server says it has them.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import anyio

from backends.logins import password_seen
from backends.partial_file import is_ours
from backends.remote_walk import Leftovers, RemoteWalks
from backends.web.answers import (
    answered_version,
    gives_ranges,
    info_of_head,
    leads_to_folder,
    marks_of,
    versions_differ,
)
from backends.web.copies import DavCopies
from backends.web.dav import Dav, Kinds, info_of
from backends.web.opened import Opened
from backends.web.site import Site, site_of
from transfer.content_types import UNKNOWN, content_type_of
from transfer.errors import (
    BadKeyError,
    ConnectionLostError,
    DamagedInTransitError,
    ExistsError,
    NotFoundError,
    SourceChangedError,
    StalledError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)
from transfer.model import ObjectInfo, Page, Traits
from transfer.redaction import redact
from transfer.sizes import MIB, TIB

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from backends.remote_walk import Entry
    from transfer.model import Intent
    from transfer.store import Context, OpenObject, Response, Source, Store
    from transfer.tally import Tally

_LARGEST = 8 * 1024 * 1024 * TIB - 1
# How long the removal of what is not wanted any more may take, in seconds.
_TO_CLEAN_UP = 2.0
_PAUSE = 0.1
# Objects of this size are read in ranges: worth asking once whether there are any.
_LARGE = 16 * MIB
_NOTHING_SAID: Mapping[str, str] = MappingProxyType({})
_MLFLOW_PATH = "/mlflow-artifacts/artifacts/"


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `http://`, `https://`, or `webdav(s)://` where a server does not say what it is."""
    site = site_of(root, context.settings, context.mover)
    if ":" in root.partition("//")[2].rpartition("@")[0]:
        context.notify(password_seen(redact(root)))
    known = True if root.startswith("webdav") else None
    store = HttpStore(redact(root), site, Kinds(site, known=known))
    try:
        yield store
    finally:
        await store.clean_up()


class HttpStore:
    """The objects of one server; make it with `open_store`."""

    parts = None
    signer = None

    def __init__(self, url: str, site: Site, kinds: Kinds) -> None:
        self.url = url
        self._site = site
        self._kinds = kinds
        self._dav = Dav(site)
        self._copies = DavCopies(site)
        self._walks = RemoteWalks(self._entries)
        self.leftovers = Leftovers(self._entries, self._dav.remove)
        self._ranges: bool | None = None
        self._left: set[str] = set()
        # The intentions whose PUT has broken off, and may have left something.
        self._broken: set[str] = set()

    @property
    def traits(self) -> Traits:
        """Ranges in parallel only once the server has said that it has them."""
        return Traits(max_put=_LARGEST, concurrent_reads=self._ranges is True)

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object: by PROPFIND, which knows folders, then by HEAD, which knows ETags."""
        _check(key)
        if await self._is_dav(key):
            entry = await self._dav.look(key)
            if entry is None:
                raise NotFoundError(f"{self._site.shown(key)} does not exist")
            info = info_of(entry, self._site.shown(key))
            if info.version is not None and self._ranges is not None:
                return info
        return await self._head(key)

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List one folder a page, by PROPFIND; UnsupportedError without WebDAV."""
        page = await self._walks.scan(prefix, token, folders=folders)
        large = next((info for info in page.objects if info.size >= _LARGE), None)
        if self._ranges is None and large is not None:
            with suppress(NotFoundError):  # gone since it was listed
                await self._head(large.key)
        return page

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an object, pinned to its version if the server tells versions apart."""
        _check(key)
        found, headers = info, _NOTHING_SAID
        if found is None or found.version is None or self._ranges is None:
            answer = await self._looked_at(key)
            found, headers = self._told(key, answer), answer.headers
        if info is not None and versions_differ(info.version, found.version):
            raise SourceChangedError(f"{self._site.shown(key)} was replaced since it was listed")
        yield Opened(
            self._site,
            found,
            headers,
            partial(self._looked_at, key),
            realm=self._copies.realm,
            ranged=self._ranges is True,
        )

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Store an object: under a temporary name first, where the server can rename."""
        _check(key)
        kind = intent.content_type or content_type_of(key) or UNKNOWN
        headers = {"Content-Type": kind}
        if await self._is_dav(key):
            return await self._put_and_move(key, source, tally, headers, intent)
        try:
            return await self._put_directly(key, source, tally, headers, intent)
        except TransferError as error:
            if error.retryable:
                self._broken.add(intent.nonce)
            if isinstance(error, (ConnectionLostError, DamagedInTransitError, StalledError)):
                error.add_hint("without WebDAV, the server may show what arrived of it")
            raise

    async def delete(self, key: str) -> None:
        """Remove an object; a folder is none."""
        _check(key)
        await (self._dav.delete(key) if await self._is_dav(key) else self._dav.remove(key))

    async def clean_up(self) -> None:
        """Try once more to remove temporary files that an outage has left."""
        with anyio.move_on_after(_TO_CLEAN_UP, shield=True), suppress(TransferError):
            for temporary in tuple(self._left):
                await self._remove(temporary)

    async def _entries(self, folder: str) -> list[Entry]:
        if not await self._kinds.is_dav(folder):
            raise UnsupportedError(
                f"{self._site.shown(folder)} cannot be listed: plain HTTP has no listings",
                hint=self._listing_hint(folder),
            )
        return await self._dav.entries(folder)

    async def _put_and_move(
        self, key: str, source: Source, tally: Tally, headers: dict[str, str], intent: Intent
    ) -> ObjectInfo:
        folder = _folder_of(key)
        temporary = f"{folder}.transfer-{secrets.token_hex(16)}.partial"
        try:
            copied = await self._bring_into(temporary, source, tally, headers, intent)
            arrived = await self._dav.look(temporary)
            if arrived is None or arrived.size != source.size:
                raise self._cut(key, arrived.size if arrived else None, source.size)
            await self._dav.publish(temporary, key, source.size, no_clobber=intent.no_clobber)
        except BaseException as error:
            await self._discard(temporary)
            if temporary in self._left and isinstance(error, TransferError):
                error.add_hint(f"{self._site.shown(temporary)} may be left of it")
            raise
        # What a server says of a copy may be what it has said of the source.
        return ObjectInfo(key, source.size, checksum=None if copied else arrived.checksum)

    async def _bring_into(
        self, key: str, source: Source, tally: Tally, headers: dict[str, str], intent: Intent
    ) -> bool:
        """COPY what the server has, or PUT, into a folder, which is made if it is not there.

        Tell whether it was copied.
        """
        folder = _folder_of(key)
        believed = self._dav.believed(folder)
        await self._dav.make_folder(folder)
        try:
            copied = await self._copies.put(key, source, intent, tally)
            if not copied:
                await self._site.send(key, headers, source, tally)
        except TransferError as error:
            self._dav.doubt(folder)
            if believed and _is_missing(error):
                # The body may be spent: whoever sends it again has the folder made again.
                raise UnavailableError(f"{error.message}: its folder has been removed") from error
            raise
        return copied

    async def _put_directly(
        self, key: str, source: Source, tally: Tally, headers: dict[str, str], intent: Intent
    ) -> ObjectInfo:
        """PUT without a net: compared afterwards with what the server has then."""
        if intent.no_clobber:
            await self._refuse_existing(key, intent)
            headers["If-None-Match"] = "*"
        try:
            answer = await self._site.send(key, headers, source, tally)
        except TransferError as error:
            if intent.no_clobber and error.code == "precondition":
                raise self._exists(key, intent) from None
            raise
        info = await self._head(key)
        said = answered_version(None, answer.headers)
        if info.size != source.size or (said and info.version and said != info.version):
            raise self._cut(key, info.size, source.size)
        return info

    async def _refuse_existing(self, key: str, intent: Intent) -> None:
        """Many servers ignore If-None-Match: they are asked before, too."""
        with suppress(NotFoundError):
            await self._head(key)
            raise self._exists(key, intent)

    def _exists(self, key: str, intent: Intent) -> TransferError:
        """After an attempt that broke off it may be our own half, or somebody else's since.

        Nothing tells which, so it is not replaced: that costs a look, the other way a file.
        """
        error = ExistsError(f"{self._site.shown(key)} exists")
        if intent.nonce in self._broken:
            error.add_hint(
                "it may be what arrived of this file when the attempt before broke off:"
                " look at it, and remove it if it is, before you transfer it again"
            )
        return error

    async def _head(self, key: str) -> ObjectInfo:
        return self._told(key, await self._looked_at(key))

    def _told(self, key: str, answer: Response) -> ObjectInfo:
        return info_of_head(key, self._site.shown(key), answer)

    async def _looked_at(self, key: str) -> Response:
        answer = await self._site.ask("HEAD", key)
        if leads_to_folder(self._site.url(key), answer):
            raise NotFoundError(f"{self._site.shown(key)} is a folder")
        if not answer.ok:
            raise self._site.error("look at", key, answer)
        # Without a mark, nothing would tell ranges of one object from those of another.
        self._ranges = gives_ranges(answer.headers) and bool(marks_of(answer.headers))
        return answer

    async def _discard(self, temporary: str) -> None:
        """Remove a temporary file; what cannot be removed now is remembered."""
        self._left.add(temporary)
        with anyio.move_on_after(_TO_CLEAN_UP, shield=True), suppress(TransferError):
            while temporary in self._left:
                await self._remove(temporary)
            # A server that has not yet seen that the PUT broke off makes the file only now.
            await anyio.sleep(_PAUSE)
            await self._remove(temporary)

    async def _remove(self, temporary: str) -> None:
        """Remove what is left, or wait: the server may still be at the PUT that broke off."""
        with suppress(UnavailableError):
            if await self._dav.remove(temporary) or temporary not in self._copies.unanswered:
                self._left.discard(temporary)
                self._copies.unanswered.discard(temporary)
                return
        await anyio.sleep(_PAUSE)

    async def _is_dav(self, key: str) -> bool:
        return await self._kinds.is_dav(_folder_of(key))

    def _cut(self, key: str, found: int | None, sent: int) -> TransferError:
        has = "nothing" if found is None else f"{found} bytes"
        return DamagedInTransitError(
            f"{self._site.shown(key)}: {sent} bytes were sent, the server has {has}"
        )

    def _listing_hint(self, prefix: str) -> str:
        if _MLFLOW_PATH in f"/{prefix}":
            host = self._site.base.partition("://")[2]
            path = f"/{prefix}".partition(_MLFLOW_PATH)[2]
            return f"this looks like an MLflow server: write mlflow-artifacts://{host}/{path}"
        return "name each file, or use a server with WebDAV"


def _check(key: str) -> None:
    if is_ours(key.rpartition("/")[2]):
        raise BadKeyError(f"{key!r}: names like this are reserved for unfinished transfers")


def _folder_of(key: str) -> str:
    return key[: key.rfind("/") + 1]


def _is_missing(error: TransferError) -> bool:
    return error.code in {"not_found", "rejected"}


if TYPE_CHECKING:

    def _conforms(store: HttpStore) -> Store:
        return store
