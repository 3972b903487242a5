"""What former runs have left open: listed, gone on with, given up.

An abort is owed until it is done: a record says so until the store has confirmed
it. Uploads whose owner is alive are never touched.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio.to_thread

from transfer.engine.resumption import recalled
from transfer.errors import BusyError, NotFoundError, TransferError, UsageError
from transfer.locations import recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer.engine.stores import Stores
    from transfer.journal import Journal, Record


@dataclass(frozen=True, slots=True)
class Left:
    """An upload that a former run has left, or that another one is at."""

    record: Record
    alive: bool

    @property
    def state(self) -> str:
        """One word for a list."""
        if self.alive:
            return "running"
        return "abort owed" if self.record.pending_abort else "kept"


@dataclass(slots=True)
class Collected:
    """What a collection did, or would do: uploads given up, their bytes, and what failed."""

    given_up: list[Record] = field(default_factory=list["Record"])
    alive: int = 0
    young: int = 0
    failed: list[tuple[Record, TransferError]] = field(
        default_factory=list[tuple["Record", TransferError]]
    )

    @property
    def size(self) -> int:
        """Bytes that had arrived of what was given up."""
        return sum(record.arrived for record in self.given_up)


def left_uploads(journal: Journal) -> list[Left]:
    """List all records; blocks."""
    return [Left(record, alive) for record, alive in journal.records()]


def find(journal: Journal, record_id: str) -> Left:
    """Return the record with this id, or the only one if it is empty; blocks.

    Raises NotFoundError if there is none, UsageError if the choice is not clear.
    """
    return the_only(fitting(left_uploads(journal), record_id), record_id)


def fitting(left: Sequence[Left], record_id: str) -> list[Left]:
    """Return those whose id begins so; without an id, those that nobody is at, if there are any."""
    found = [item for item in left if item.record.id.startswith(record_id)]
    if record_id:
        return found
    return [item for item in found if item.state == "kept"] or found


def the_only(found: Sequence[Left], record_id: str) -> Left:
    """Return the one that there is; raises as `find`."""
    if not found:
        what = f"named {record_id}" if record_id else "left"
        raise NotFoundError(f"there is no unfinished transfer {what}", hint="see `transfer ps`")
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} unfinished transfers fit", hint="name one by its id, see `transfer ps`"
        )
    return found[0]


async def give_up(journal: Journal, stores: Stores, record: Record) -> None:
    """Abort the upload of a record; BusyError if its owner is alive.

    If the store does not confirm it, the record stays, and the abort is owed.
    """
    try:
        entry = await anyio.to_thread.run_sync(journal.claim, record.source, record.target)
    except BusyError:
        what = f"{record.source} -> {record.target} is under way: {record.owner} is at it"
        raise BusyError(what, hint="stop that first") from None
    owed = [entry.record.upload, *entry.record.owed] if entry.record is not None else []
    try:
        async with stores.reached_by(recalled(record, stores.settings)) as reached:
            store = await reached.get(recorded(record.target))
            while owed and store.parts is not None:
                await store.parts.abort(owed[0])
                del owed[0]
        await anyio.to_thread.run_sync(entry.owe, [])
    except TransferError:
        await anyio.to_thread.run_sync(entry.owe, owed)
        raise
    finally:
        await anyio.to_thread.run_sync(entry.close)


async def collect(
    journal: Journal, stores: Stores, *, older_than: float, dry_run: bool = False
) -> Collected:
    """Give up what nobody will finish: what is owed, and what was left `older_than` seconds ago."""
    done = Collected()
    for left in await anyio.to_thread.run_sync(left_uploads, journal):
        record = left.record
        if left.alive:
            done.alive += 1
        elif not record.pending_abort and time.time() - record.touched < older_than:
            done.young += 1
        else:
            try:
                if not dry_run:
                    await give_up(journal, stores, record)
                done.given_up.append(record)
            except TransferError as error:
                done.failed.append((record, error))
    return done
