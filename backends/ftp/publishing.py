"""A file gets its name; where servers do not replace by a rename, the old one steps aside.

Between two renames the name leads to nothing. So what stepped aside is remembered until
it is put back or taken away, if need be over another connection, and it is no leftover
by its name: it may be the only copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aioftp

from backends.partial_file import aside_name, temporary_name
from transfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from backends.ftp.connections import Connection


@dataclass(frozen=True, slots=True)
class Names:
    """The keys of a file in the end and until then, and of the old one while they change."""

    key: str
    temporary: str
    aside: str


def names_of(key: str, nonce: str) -> Names:
    """Return the names for one upload, the same for each attempt at it."""
    above, slash, name = key.rpartition("/")
    folder = above + slash
    return Names(key, folder + temporary_name(nonce), folder + aside_name(name, nonce))


class Publisher:
    """Gives files their names; `is_there` tells whether there is a file with a key."""

    def __init__(
        self,
        path_of: Callable[[str], str],
        is_there: Callable[[Connection, str], Awaitable[bool]],
    ) -> None:
        self._path_of = path_of
        self._is_there = is_there
        self._aside: set[Names] = set()

    def has_aside(self, names: Names) -> bool:
        """Tell whether the old file may be where it stepped aside to."""
        return names in self._aside

    async def publish(self, connection: Connection, names: Names, *, no_clobber: bool) -> None:
        """Rename; the old file steps aside where it is in the way, and goes at the end."""
        path = self._path_of(names.key)
        await connection.ask(f"RNFR {self._path_of(names.temporary)}", "350")
        try:
            await connection.ask(f"RNTO {path}")
        except aioftp.StatusCodeError as error:
            if no_clobber or not error.received_codes[-1].matches("5"):
                raise
            await _refuse_folder(connection, path)
            if not await self._swap(connection, names):
                raise
        await self.settle(connection, names)

    async def _swap(self, connection: Connection, names: Names) -> bool:
        """Tell whether the new file has the name; if it cannot have it, the old one has it back."""
        await self.settle(connection, names)
        self._aside.add(names)
        if not await self._rename(connection, names.key, names.aside):
            self._aside.remove(names)
            return False
        if await self._rename(connection, names.temporary, names.key):
            return True
        await self.settle(connection, names)
        return False

    async def settle(self, connection: Connection, names: Names) -> None:
        """Put back what stepped aside if the name leads to nothing; take it away if it does."""
        if names not in self._aside:
            return
        if await self._is_there(connection, names.key):
            done = await connection.works(f"DELE {self._path_of(names.aside)}")
        else:
            done = await self._rename(connection, names.aside, names.key)
        if done or not await self._is_there(connection, names.aside):
            self._aside.remove(names)

    async def _rename(self, connection: Connection, old: str, new: str) -> bool:
        return await connection.works(f"RNFR {self._path_of(old)}", "350") and (
            await connection.works(f"RNTO {self._path_of(new)}")
        )


async def _refuse_folder(connection: Connection, path: str) -> None:
    if await connection.works(f"CWD {path}"):
        raise StoreError(f"cannot write {path}: it is a folder", hint="name a file in it")
