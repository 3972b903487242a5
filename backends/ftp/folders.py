"""Folders on an FTP server: listed and made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aioftp

from backends.ftp.bytes import read_all
from backends.ftp.connections import ftp_errors
from backends.ftp.replies import Listed, is_denial, parse_facts, parse_line, seconds_of
from backends.remote_walk import Entry
from transfer.errors import AccessError
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.authority import Authority
    from backends.ftp.connections import Connection, Connections

# How many folders are known to be there without asking.
_REMEMBERED = 10_000
# What vsftpd says, with 226, after an empty listing of a folder that it may not read.
_UNREAD = "failed to open directory"


class FtpFolders:
    """The folders below a root."""

    def __init__(
        self, authority: Authority, connections: Connections, stall_timeout: float
    ) -> None:
        self._authority = authority
        self._connections = connections
        self._stall_timeout = stall_timeout
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

    async def is_gone(self, connection: Connection, folder: str) -> bool:
        """Look for a folder that was there; if it is gone, it and those above are made again."""
        if folder not in self._made or await connection.works(f"CWD {folder}"):
            return False
        self._made = {known for known in self._made if not f"{folder}/".startswith(f"{known}/")}
        return True

    async def entries(self, prefix: str) -> list[Entry]:
        """List one folder; nothing for one that is not there."""
        folder = self._authority.path_of(prefix).rstrip("/") or "/"
        with ftp_errors(f"list {self._authority.url}/{prefix}"):
            async with self._connections.connection() as connection:
                if not await self._enter(connection, folder):
                    return []
                found = await self._listed(connection)
                return [
                    entry
                    for listed in found
                    if (entry := await _entry(connection, folder, prefix, listed)) is not None
                ]

    async def _enter(self, connection: Connection, folder: str) -> bool:
        """Make a folder the current one; tell whether it is there.

        A path in the command that lists may be taken for a pattern, or for options.
        """
        if await self._entered(connection, folder):
            return True
        if not await self._is_there(connection, folder):
            return False
        # Somebody may have made it just now.
        if await self._entered(connection, folder):
            return True
        raise AccessError(
            f"cannot enter {folder}: the server says 550 to a folder that it lists",
            hint="check the permissions on the server",
        )

    async def _entered(self, connection: Connection, folder: str) -> bool:
        """Tell whether the server has entered a folder; raises what is no plain 550."""
        try:
            await connection.ask(f"CWD {folder}")
        except aioftp.StatusCodeError as error:
            if not error.received_codes[-1].matches("550") or is_denial(error.info, folder):
                raise
            return False
        return True

    async def _is_there(self, connection: Connection, folder: str) -> bool:
        """Tell whether a folder that cannot be entered is there: the one above it lists it."""
        above, _, name = folder.rpartition("/")
        if not name:
            return True
        if not await self._enter(connection, above or "/"):
            return False
        found = await self._listed(connection)
        return any(listed.name == name and listed.kind == "folder" for listed in found)

    async def _listed(self, connection: Connection) -> list[Listed]:
        if self._connections.features.machine_lists:
            return await self._lines(connection, "MLSD", parse_facts)
        try:
            # Without the flag, some servers keep names with a dot at the front to themselves.
            return await self._lines(connection, "LIST -a", parse_line)
        except aioftp.StatusCodeError as error:
            if error.received_codes[-1].matches("42"):
                raise  # it is the connection, not the flag
            return await self._lines(connection, "LIST", parse_line)

    async def _lines(
        self, connection: Connection, command: str, parse: Callable[[str], Listed | None]
    ) -> list[Listed]:
        async with connection.data(command) as stream:
            data = await read_all(stream, stall_timeout=self._stall_timeout)
            said = await connection.finish(stream)
        if not data and _UNREAD in " ".join(said):
            raise AccessError(
                f"the server says {_UNREAD!r}", hint="check the permissions on the server"
            )
        lines = data.decode("utf-8", "surrogateescape").split("\n")
        return [found for line in lines if line.strip() and (found := parse(line)) is not None]


async def _entry(connection: Connection, folder: str, prefix: str, listed: Listed) -> Entry | None:
    """Return an entry; a link counts as the file that it leads to, and not if that is a folder."""
    name = listed.name
    if name in {".", ".."}:
        return None
    if listed.kind == "folder":
        return Entry(name)
    size, key = listed.size, prefix + name
    if listed.kind == "link" or size is None:
        size = await _size(connection, f"{folder.rstrip('/')}/{name}")
    if size is None:
        # Opening a file without a size says why; the rest can be had.
        return Entry(name, ObjectInfo(key, 0)) if listed.kind == "file" else None
    modified = listed.modified
    version = f"{size:x}-{modified}" if modified else None
    return Entry(name, ObjectInfo(key, size, version, seconds_of(modified)))


async def _size(connection: Connection, path: str) -> int | None:
    """Return the size of a file; None if the server says that it has none."""
    try:
        return int((await connection.ask(f"SIZE {path}", "213"))[0])
    except aioftp.StatusCodeError as error:
        if error.received_codes[-1].matches("550"):
            return None
        raise
