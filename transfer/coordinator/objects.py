"""Whole objects behind the coordinator: reading, writing, listing, and their checksums.

The coordinator remembers the checksum that was proved when an object was
written, with the version it had then. Whoever reads that version later can
compare, although most stores cannot say what the content should be.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import anyio.to_thread
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError as DuplicateError

from transfer.checksums import Algorithm, Checksum
from transfer.coordinator.database import OBJECTS
from transfer.errors import (
    BadKeyError,
    IntegrityError,
    NotFoundError,
    PlanError,
    ProtocolError,
    UnsupportedError,
)
from transfer.files import FileSource, local_errors, write_fully
from transfer.keys import check_text
from transfer.model import Expected, Intent, ObjectInfo, Page, Part, Span
from transfer.review import whole_checksum
from transfer.sizes import MIB
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from transfer.coordinator.database import Database
    from transfer.coordinator.relay import RequestBody
    from transfer.model import Receipt
    from transfer.store import OpenObject, Source, Store

_LOG = logging.getLogger(__name__)
# Parts of a body that is too large for one PUT: 10,000 of them hold 625 GiB.
_RELAY_PART = 64 * MIB
# A folder may be full of names that are not text.
_MOST_TOLD = 1000


@dataclass(frozen=True, slots=True)
class Destination:
    """A store, and the prefix below which the coordinator's keys are."""

    store: Store
    prefix: str = ""

    @property
    def shown(self) -> str:
        """Where that is, as people write it."""
        return f"{self.store.url}/{self.prefix}".rstrip("/")

    @property
    def digest(self) -> str:
        """What tells it from others in the database."""
        return hashlib.sha256(self.shown.encode()).hexdigest()

    def inner(self, key: str) -> str:
        """Return the store's key for one of ours."""
        return self.prefix + key

    def outer(self, info: ObjectInfo) -> ObjectInfo:
        """Return an object under our key."""
        return replace(info, key=info.key.removeprefix(self.prefix))

    def without_root(self, text: str) -> str:
        """Return a message without the place of a folder: clients know keys only."""
        url = self.store.url
        root = unquote(urlsplit(url).path).rstrip("/") if url.startswith("file:///") else ""
        return text.replace(f"{root}/", "").replace(root, "the destination") if root else text


class Objects:
    """Objects by key; checksums are remembered in the database."""

    def __init__(self, destination: Destination, database: Database) -> None:
        self._to = destination
        self._database = database
        self._told: set[str] = set()

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object; with its checksum, if this version's is known."""
        return await self._known(self._to.outer(await self._to.store.stat(self._to.inner(key))))

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List a page of keys, but those that cannot be sent."""
        page = await self._page(prefix, token, folders=folders)
        while page.token is not None and not self._sendable(page.token):
            more = await self._page(prefix, page.token, folders=folders)
            page = Page(page.objects + more.objects, page.folders + more.folders, more.token)
        return page

    async def _page(self, prefix: str, token: str | None, *, folders: bool) -> Page:
        inner = self._to.inner(prefix)
        page = await self._to.store.scan(inner, token, folders=folders)
        # The token came from a client: a store that it leads elsewhere must not tell.
        for name in (*(info.key for info in page.objects), *page.folders):
            if not name.startswith(inner):
                raise ProtocolError(f"the destination lists what is not below {prefix!r}")
        outer = (self._to.outer(info) for info in page.objects)
        names = (name.removeprefix(self._to.prefix) for name in page.folders)
        return replace(
            page,
            objects=tuple(info for info in outer if self._sendable(info.key)),
            folders=tuple(name for name in names if self._sendable(name)),
        )

    def _sendable(self, name: str) -> bool:
        """Tell whether a name is text; of one that is not, the operator is told once."""
        try:
            check_text(name)
        except BadKeyError as error:
            if name not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(name)
                _LOG.warning("%s; it is left out of listings: rename it", error)
            return False
        return True

    def open(self, key: str, info: ObjectInfo) -> AbstractAsyncContextManager[OpenObject]:
        """Open an object for reading."""
        inner = self._to.inner(key)
        return self._to.store.open(inner, replace(info, key=inner))

    async def put(self, key: str, body: RequestBody, intent: Intent) -> ObjectInfo:
        """Store a relayed body whose length is known; remember its checksum."""
        return await self._put(key, lambda span: body.source(span.size), intent)

    async def put_spooled(self, key: str, body: RequestBody, intent: Intent) -> ObjectInfo:
        """Store a body of unknown length: it goes to a temporary file first."""
        with await anyio.to_thread.run_sync(tempfile.TemporaryFile) as file:
            size = 0
            with local_errors("keep a body in", tempfile.gettempdir()):
                async for piece in body.chunks():
                    await anyio.to_thread.run_sync(write_fully, file.fileno(), [piece], size)
                    size += len(memoryview(piece))
            intent = replace(intent, size=size)
            return await self._put(key, lambda span: FileSource(file.fileno(), span), intent)

    async def delete(self, key: str) -> None:
        """Remove an object; what lies below a folder of that name stays."""
        # Some stores take it ill when asked to delete what is no object.
        with suppress(NotFoundError):
            await self._to.store.stat(self._to.inner(key))
            await self._to.store.delete(self._to.inner(key))

    async def delete_tree(self, key: str) -> None:
        """Remove an object, and everything below a folder of that name."""
        await self.delete(key)
        with suppress(UnsupportedError):  # a store that cannot list has no folders
            await self._delete_below(self._to.inner(key) + "/")

    async def _delete_below(self, folder: str) -> None:
        token: str | None = None
        while True:
            page = await self._to.store.scan(folder, token)
            for info in page.objects:
                await self._to.store.delete(info.key)
            token = page.token
            if token is None:
                return

    async def is_folder(self, key: str) -> bool:
        """Tell whether there are objects below a name."""
        try:
            page = await self._to.store.scan(self._to.inner(key) + "/", folders=True)
        except UnsupportedError:
            return False
        return bool(page.objects or page.folders)

    async def remember(self, info: ObjectInfo, checksum: Checksum | None) -> ObjectInfo:
        """Keep the checksum of an object that was just written; return it with that."""
        if checksum is None:
            await self._forget(info.key)
            return info
        if info.version is None or info.modified is None:
            info = self._to.outer(await self._to.store.stat(self._to.inner(info.key)))
        row = {
            "key_hash": _hash(info.key),
            "key": info.key,
            "size": info.size,
            "version": _stamp(info),
            "checksum": str(checksum),
            "written": time.time(),
        }
        mine = update(OBJECTS).where(OBJECTS.c.key_hash == row["key_hash"]).values(row)
        async with self._database.writing() as connection:
            if not (await connection.execute(mine)).rowcount:
                try:
                    async with connection.begin_nested():
                        await connection.execute(insert(OBJECTS).values(row))
                except DuplicateError:
                    # Somebody else has just written the same key, for the first time too.
                    await connection.execute(mine)
        return replace(info, checksum=checksum)

    async def _forget(self, key: str) -> None:
        """Drop what was proved of a key: the store may show no difference between versions."""
        async with self._database.writing() as connection:
            await connection.execute(delete(OBJECTS).where(OBJECTS.c.key_hash == _hash(key)))

    async def confirm_put(
        self, key: str, size: int, etag: str | None, checksum: Checksum | None
    ) -> ObjectInfo:
        """Look at an object that a client says it stored, and remember its checksum."""
        info = self._to.outer(await self._to.store.stat(self._to.inner(key)))
        said, found = ((tag or "").strip('"') for tag in (etag, info.version))
        if info.size != size or (said and found and said != found):
            raise IntegrityError(f"{key} is not the object that was just stored")
        await self.remember(info, checksum)
        # What the client says itself proves nothing to the client.
        return info

    async def _known(self, info: ObjectInfo) -> ObjectInfo:
        if info.checksum is not None:
            return info
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(OBJECTS.c.size, OBJECTS.c.version, OBJECTS.c.checksum).where(
                    OBJECTS.c.key_hash == _hash(info.key)
                )
            )
            row = rows.first()
        if row is None or (row.size, row.version) != (info.size, _stamp(info)):
            return info
        return replace(info, checksum=Checksum.parse(row.checksum))

    async def _put(self, key: str, cut: Callable[[Span], Source], intent: Intent) -> ObjectInfo:
        size = intent.size or 0
        if size > self._to.store.traits.max_put:
            return await self._put_in_parts(key, cut, intent)
        tally = Tally(Algorithm.CRC32C)
        source = cut(Span(0, size))
        info = await self._to.store.put(self._to.inner(key), source, intent, tally)
        return await self._written(self._to.outer(info), tally.checksum)

    async def _put_in_parts(
        self, key: str, cut: Callable[[Span], Source], intent: Intent
    ) -> ObjectInfo:
        """Cut a body that is too large for one PUT; parts go one after the other."""
        parts = self._to.store.parts
        size = intent.size or 0
        if parts is None:
            raise PlanError(f"{key}: {size} bytes are too many for this destination")
        upload = await parts.create(self._to.inner(key), replace(intent, part_size=_RELAY_PART))
        receipts: list[Receipt] = []
        try:
            for start in range(0, size, _RELAY_PART):
                span = Span(start, min(start + _RELAY_PART, size))
                part = Part(len(receipts) + 1, span)
                tally = Tally(Algorithm.CRC32C)
                receipts.append(await parts.send(upload, part, cut(span), tally))
            expected = Expected(size, no_clobber=intent.no_clobber)
            info = await parts.complete(upload, receipts, expected)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await parts.abort(upload)
            raise
        return await self._written(self._to.outer(info), whole_checksum(receipts))

    async def _written(self, info: ObjectInfo, checksum: Checksum | None) -> ObjectInfo:
        """Remember what was written, and return what is proved of what is there.

        Bytes that leave this machine are proved only by what the store says itself.
        """
        known = await self.remember(info, checksum)
        return known if self._to.store.traits.local else replace(known, checksum=info.checksum)


def _stamp(info: ObjectInfo) -> str:
    """Return what tells one version from the next; some stores give all the same ETag."""
    return f"{info.version or ''}@{int(info.modified or 0)}"


def _hash(key: str) -> str:
    return hashlib.sha256(os.fsencode(key)).hexdigest()
