"""Unfinished files of transfers that died, which no journal here knows of: found and removed.

A process that is killed while it writes a file on a server leaves it there, under a
name that no listing shows. How long nobody has written to it, its time says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer.errors import TransferError, UnsupportedError

if TYPE_CHECKING:
    from transfer.model import ObjectInfo
    from transfer.store import Leftovers, Store


@dataclass(slots=True)
class Swept:
    """What was found below a place: removed (or to be), still young, and what failed."""

    removed: list[ObjectInfo] = field(default_factory=list["ObjectInfo"])
    young: int = 0
    failed: list[tuple[ObjectInfo, TransferError]] = field(
        default_factory=list[tuple["ObjectInfo", TransferError]]
    )

    @property
    def size(self) -> int:
        """Bytes of what was removed."""
        return sum(info.size for info in self.removed)


def is_left(info: ObjectInfo, now: float, older_than: float) -> bool:
    """Whether nobody has written to a file for so long; of an unknown time, nobody can say."""
    return info.modified is not None and now - info.modified >= older_than


async def sweep(store: Store, prefix: str, *, older_than: float, dry_run: bool = False) -> Swept:
    """Remove the unfinished files below a prefix that are older, in seconds.

    Raises UnsupportedError for a store in which nothing unfinished has a name.
    """
    if store.leftovers is None:
        raise UnsupportedError(
            f"{store.url} shows no unfinished files",
            hint="what was left in it, `transfer gc` without a URL knows, or the store itself",
        )
    swept, token, now = Swept(), None, time.time()
    while True:
        page = await store.leftovers.scan(prefix, token)
        for info in page.objects:
            if is_left(info, now, older_than):
                await _remove(store.leftovers, info, swept, dry_run=dry_run)
            else:
                swept.young += 1
        token = page.token
        if token is None:
            return swept


async def _remove(left: Leftovers, info: ObjectInfo, swept: Swept, *, dry_run: bool) -> None:
    try:
        if not dry_run:
            await left.remove(info.key)
        swept.removed.append(info)
    except TransferError as error:
        swept.failed.append((info, error))
