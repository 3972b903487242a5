"""WebDAV as far as a store needs it: looking, listing, making folders, renaming (RFC 4918).

A MOVE or a DELETE that meets a folder where a file was meant takes everything
in it along. So nothing here is done to a name before it was looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from backends.remote_walk import Entry
from backends.web.answers import is_dav, leads_to_folder
from backends.web.dav_xml import PROPFIND, DavEntry, read_multistatus
from backends.web.site import PATIENCE
from transfer.errors import (
    ConnectionLostError,
    ExistsError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    StalledError,
    UnavailableError,
)
from transfer.model import ObjectInfo
from transfer.sizes import MIB
from transfer.store import Response

if TYPE_CHECKING:
    from backends.web.site import Site
    from transfer.errors import TransferError

# A folder of a hundred thousand files is listed in about this many bytes.
_LARGEST_LISTING = 64 * MIB
_XML = {"Content-Type": 'application/xml; charset="utf-8"'}


class Dav:
    """The WebDAV methods of one server."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._folders = {""}
        self._making = anyio.Lock()

    async def look(self, key: str) -> DavEntry | None:
        """Return what is there under a name, None if nothing is."""
        entries = await self._propfind(key, "0")
        if entries is None:
            return None
        # A server may spell the name in its own way (another form of Unicode).
        fitting = [entry for entry in entries if entry.path == key] or entries
        if len(fitting) != 1:
            raise ProtocolError(f"{self._site.shown(key)}: the server tells of something else")
        self._check(key, fitting[0])
        return replace(fitting[0], path=key)

    async def entries(self, folder: str) -> list[Entry]:
        """Return what is in a folder; nothing if there is no such folder.

        What the server could not look at is listed as empty: opening it says why.
        """
        found: list[Entry] = []
        for entry in await self._propfind(folder, "1") or []:
            if entry.path == folder.removesuffix("/"):
                self._check(folder, entry)
                continue
            if entry.path != folder + entry.name:
                raise ProtocolError(
                    f"{self._site.shown(folder)}: the server lists what is not in it"
                )
            if entry.is_folder:
                found.append(Entry(entry.name))
            elif entry.failed is not None:
                found.append(Entry(entry.name, ObjectInfo(entry.path, 0)))
            else:
                found.append(Entry(entry.name, info_of(entry, self._site.shown(entry.path))))
        return found

    def _check(self, key: str, entry: DavEntry) -> None:
        if entry.failed is not None:
            raise self._site.error("look at", key, Response(entry.failed, {}))

    async def make_folder(self, folder: str) -> None:
        """Make a folder ("" or "a/b/") and those above it; what is there is fine."""
        async with self._making:
            await self._make_folder(folder)

    async def _make_folder(self, folder: str) -> None:
        if folder in self._folders:
            return
        answer = await self._site.ask("MKCOL", folder)
        if answer.status in {404, 409}:
            parent = _parent(folder)
            if not parent:
                raise self._site.error("make the folder", folder, answer)
            await self._make_folder(parent)
            answer = await self._site.ask("MKCOL", folder)
        # 405: it is there. 403: it may be there; whatever is written into it will tell.
        if not answer.ok and answer.status not in {403, 405}:
            raise self._site.error("make the folder", folder, answer)
        self._folders.add(folder)

    def believed(self, folder: str) -> bool:
        """Whether a folder is taken to be there because it once was."""
        return bool(folder) and folder in self._folders

    def doubt(self, folder: str) -> None:
        """Take a folder and all above it for gone until somebody looks."""
        self._folders = {known for known in self._folders if not folder.startswith(known)} | {""}

    async def publish(self, temporary: str, key: str, size: int, *, no_clobber: bool) -> None:
        """Give a file its name; what was there is replaced, or ExistsError."""
        there = await self.look(key)
        if there is not None and there.is_folder:
            raise self._is_folder(key)
        if there is not None and no_clobber:
            raise ExistsError(f"{self._site.shown(key)} exists")
        answer: Response | None
        try:
            answer = await self._move(temporary, key, no_clobber=no_clobber)
        except (ConnectionLostError, StalledError, UnavailableError) as error:
            answer = await self._after_silence(temporary, key, size, error, no_clobber=no_clobber)
        if answer is None or answer.status in {200, 201, 204}:
            return
        if answer.status == 412:
            raise ExistsError(f"{self._site.shown(key)} exists")
        raise self._site.error("write", key, answer)

    async def delete(self, key: str) -> None:
        """Remove a file; none there is fine, and a folder is none."""
        there = await self.look(key)
        if there is None or there.is_folder:
            return
        await self.remove(key)

    async def remove(self, key: str) -> bool:
        """Remove what nobody but us can have made: without a look. Tell whether it was there."""
        answer = await self._site.ask("DELETE", key)
        if not answer.ok and answer.status not in {404, 410}:
            raise self._site.error("delete", key, answer)
        return answer.ok

    async def _move(self, temporary: str, key: str, *, no_clobber: bool) -> Response:
        headers = {"Destination": self._site.url(key), "Overwrite": "F" if no_clobber else "T"}
        answer = await self._site.ask("MOVE", temporary, headers, patience=PATIENCE)
        if answer.status >= 500:
            raise self._site.error("write", key, answer)
        return answer

    async def _after_silence(
        self, temporary: str, key: str, size: int, error: TransferError, *, no_clobber: bool
    ) -> Response | None:
        """The answer was lost: whether it was done shows; None if it was."""
        if await self.look(temporary) is not None:
            return await self._move(temporary, key, no_clobber=no_clobber)
        there = await self.look(key)
        if there is None or there.size != size:
            raise error
        return None

    def _is_folder(self, key: str) -> TransferError:
        return RejectedError(
            f"cannot write {self._site.shown(key)}: it is a folder", hint="name a file in it"
        )

    async def _propfind(self, key: str, depth: str) -> list[DavEntry] | None:
        answer = await self._site.ask(
            "PROPFIND", key, {**_XML, "Depth": depth}, body=PROPFIND, most=_LARGEST_LISTING
        )
        if answer.status == 207:
            return await anyio.to_thread.run_sync(read_multistatus, answer.body)
        if answer.status in {404, 410} or (depth == "1" and answer.status == 409):
            return None
        if leads_to_folder(self._site.url(key), answer):
            return [DavEntry(key, is_folder=True)]
        if answer.ok:
            raise ProtocolError(
                f"{self._site.shown(key)}: the server answered {answer.status} to PROPFIND"
            )
        raise self._site.error("look at", key, answer)


class Kinds:
    """Which folders of a server are WebDAV; asked once for each tree."""

    def __init__(self, site: Site, *, known: bool | None = None) -> None:
        self._site = site
        self._known: dict[str, bool] = {} if known is None else {"": known}
        self._lock = anyio.Lock()

    async def is_dav(self, folder: str) -> bool:
        """Ask about a folder ("" or "a/b/"), or remember what was said of one above it."""
        async with self._lock:
            found = self._remembered(folder)
            if found is None:
                found = self._known[folder] = await self._ask(folder)
            return found

    def _remembered(self, folder: str) -> bool | None:
        if folder in self._known:
            return self._known[folder]
        above = folder
        while above:
            above = _parent(above)
            # WebDAV is often below a folder of a server that else has none.
            if above in self._known and (above or self._known[above]):
                return self._known[above]
        return None

    async def _ask(self, folder: str) -> bool:
        answer = await self._site.ask("OPTIONS", folder)
        if answer.status in {404, 410} and folder:
            return await self._ask(_parent(folder))
        # 501, 403 and their like: whoever does not take the question has no WebDAV.
        failed = answer.status in {401, 408, 429} or (answer.status >= 500 and answer.status != 501)
        if failed or 300 <= answer.status < 400:
            raise self._site.error("ask", folder, answer)
        return is_dav(answer)


def _parent(folder: str) -> str:
    return folder[: folder.rfind("/", 0, -1) + 1]


def info_of(entry: DavEntry, where: str) -> ObjectInfo:
    """Return an entry as an object; ProtocolError if its size is not known."""
    if entry.is_folder:
        raise NotFoundError(f"{where} is a folder")
    if entry.size is None:
        raise ProtocolError(f"{where}: the server does not say how long it is")
    return ObjectInfo(entry.path, entry.size, entry.version, entry.modified, entry.checksum)
