"""What clients have left open, given up in time: it is paid for, and nobody can see it.

An upload is touched by everything that its client does about it. One that was
not touched for its whole lifetime has no owner any more, and is aborted; an
abort that failed is owed, and made again until the store confirms it. Any number
of replicas may reap at the same time: who changes the row is the one who aborts.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import delete, func, select

from transfer.coordinator.database import PARTS, UPLOADS
from transfer.coordinator.sessions import UNFINISHED, SessionState
from transfer.errors import TransferError
from transfer.sizes import format_size

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from transfer.coordinator.database import Database
    from transfer.coordinator.uploads import Uploads

_LOG = logging.getLogger(__name__)
# An abort under way is somebody's for so long, in seconds, before it counts as owed.
OWED_AFTER = 60.0
# Seconds between two looks, at most.
_EVERY = 3600.0


@dataclass(slots=True)
class Reaped:
    """What one look came to; `size` counts the bytes of parts that were reported."""

    aborted: int = 0
    size: int = 0
    failed: int = 0
    forgotten: int = 0
    errors: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        text = f"{self.aborted} abandoned uploads aborted, {format_size(self.size)} freed"
        return f"{text}; {self.failed} could not be: {self.errors[0]}" if self.failed else text


async def reap_forever(uploads: Uploads, database: Database, lifetime: float) -> None:
    """Look again and again; never returns."""
    while True:
        try:
            reaped = await reap(uploads, database, lifetime)
        except TransferError as error:
            _LOG.warning("cannot look for abandoned uploads: %s", error)
        else:
            if reaped.aborted or reaped.failed:
                _LOG.info("%s", reaped)
        await anyio.sleep(min(_EVERY, lifetime / 4))


async def reap(uploads: Uploads, database: Database, lifetime: float) -> Reaped:
    """Abort what is owed, and what nobody has touched for `lifetime` seconds.

    Rows of uploads that ended so long ago are forgotten.
    """
    now = time.time()
    reaped = Reaped()
    owed = (UPLOADS.c.state == SessionState.ABORTING) & (UPLOADS.c.touched <= now - OWED_AFTER)
    old = UPLOADS.c.state.in_(UNFINISHED) & (UPLOADS.c.touched <= now - lifetime)
    due = uploads.own & (owed | old)
    for upload_id, size in await _candidates(database, due):
        try:
            if await uploads.give_up(upload_id, due):
                reaped.aborted += 1
                reaped.size += size
        except TransferError as error:
            reaped.failed += 1
            reaped.errors.append(str(error))
    ended = UPLOADS.c.state.not_in(UNFINISHED) & (UPLOADS.c.touched <= now - lifetime)
    async with database.writing() as connection:
        forgotten = await connection.execute(delete(UPLOADS).where(ended, uploads.own))
        reaped.forgotten = forgotten.rowcount
    return reaped


async def _candidates(database: Database, due: ColumnElement[bool]) -> list[tuple[str, int]]:
    size = func.coalesce(func.sum(PARTS.c.size), 0)
    joined = UPLOADS.outerjoin(PARTS, PARTS.c.upload_id == UPLOADS.c.id)
    chosen = select(UPLOADS.c.id, size).select_from(joined).where(due).group_by(UPLOADS.c.id)
    async with database.reading() as connection:
        return [(str(row[0]), int(row[1])) for row in await connection.execute(chosen)]
