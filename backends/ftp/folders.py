"""Folders on an FTP server: listed and made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aioftp

from backends.ftp.connections import ftp_errors
from backends.ftp.replies import Listed, parse_facts, parse_line, seconds_of
from backends.remote_walk import Entry
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.authority import Authority
    from backends.ftp.connections import Connection, Connections

# How many folders are known to be there without asking.
_REMEMBERED = 10_000


class FtpFolders:
    """The folders below a root."""

    def __init__(self, authority: Authority, connections: Connections) -> None:
        self._authority = authority
        self._connections = connections
        self._made: set[str] = set()

    async def make(self, connection: Connection, folder: str) -> None:
        """Make a folder and those above it, where they are missing."""
        if not folder or folder in self._made:
            return
        if not await connection.works(f"CWD {folder}"):
            await self.make(connection, folder.rpartition("/")[0])
            # Somebody else may have made it at the same time.
            if not await connection.works(f"MKD {folder}"):
                await connection.ask(f"CWD {folder}")
        if len(self._made) < _REMEMBERED:
            self._made.add(folder)

    async def entries(self, prefix: str) -> list[Entry]:
        """List one folder; nothing for one that is not there."""
        folder = self._authority.path_of(prefix).rstrip("/") or "/"
        with ftp_errors(f"list {self._authority.url}/{prefix}"):
            async with self._connections.connection() as connection:
                # A path in the command may be taken for a pattern, or for options.
                if not await connection.works(f"CWD {folder}"):
                    return []
                found = await self._listed(connection)
                return [
                    entry
                    for listed in found
                    if (entry := await _entry(connection, folder, prefix, listed)) is not None
                ]

    async def _listed(self, connection: Connection) -> list[Listed]:
        if self._connections.features.machine_lists:
            return await _lines(connection, "MLSD", parse_facts)
        try:
            # Without the flag, some servers keep names with a dot at the front to themselves.
            return await _lines(connection, "LIST -a", parse_line)
        except aioftp.StatusCodeError:
            return await _lines(connection, "LIST", parse_line)


async def _lines(
    connection: Connection, command: str, parse: Callable[[str], Listed | None]
) -> list[Listed]:
    async with connection.data(command) as stream:
        data = await stream.reader.read()
        await connection.finish(stream)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    return [found for line in lines if (found := parse(line)) is not None]


async def _entry(connection: Connection, folder: str, prefix: str, listed: Listed) -> Entry | None:
    """Return an entry; a link counts as the file that it leads to, and not if that is a folder."""
    name = listed.name
    if name in {".", ".."}:
        return None
    if listed.kind == "folder":
        return Entry(name)
    size, key = listed.size, prefix + name
    if listed.kind == "link" or size is None:
        try:
            size = int((await connection.ask(f"SIZE {folder.rstrip('/')}/{name}", "213"))[0])
        except aioftp.StatusCodeError:
            return None
    modified = listed.modified
    version = f"{size:x}-{modified}" if modified else None
    return Entry(name, ObjectInfo(key, size, version, seconds_of(modified)))
