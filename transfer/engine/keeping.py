"""Going on where a former run stopped: what can be trusted, and what is written down.

A part counts as there if the store lists it, its checksum is known, and the
bytes it was made of are still the same: the source's, where that is a file, or
the temporary file's, where the target is. So it does not matter which machine
the former run was on, nor what the clocks say.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
import anyio.to_thread

from transfer.errors import (
    LocalError,
    SourceChangedError,
    TakenOverError,
    TransferError,
    UploadGoneError,
)
from transfer.journal import Entry, Journal, Owner, Record, record_id
from transfer.planner import Plan
from transfer.sources import checksum_of_source

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from transfer.checksums import Algorithm
    from transfer.engine.expand import Item
    from transfer.model import Intent, ObjectInfo, Receipt, Upload
    from transfer.store import OpenObject, Parts

T = TypeVar("T")


class Attempt(Protocol):
    """Calls a store as the engine does: with retries."""

    async def __call__(self, operation: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await `attempt()` until it succeeds."""
        ...


# Parts that are read again at the same time.
_READERS = 4
# How often an owner says that it is alive, in seconds.
HEARTBEAT = 10.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A source and a target as they are written down."""

    source: str
    target: str
    info: ObjectInfo
    local_source: bool

    @property
    def version(self) -> str | None:
        """What pins the source; for a file, its content does."""
        return None if self.local_source else self.info.version

    @property
    def pinned(self) -> bool:
        """Whether a later run can tell that the source is still what was read."""
        return self.local_source or self.info.version is not None


class Keeper:
    """The records of one run; `resume` says whether former ones are gone on with.

    `notify` is told, once, if nothing can be written down: that stops no transfer.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        resume: bool,
        take_over: bool,
        settings: tuple[tuple[str, str], ...],
        notify: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._notify = notify
        self._complained = False
        self.resume = resume
        self.take_over = take_over
        self.owner = Owner.myself()
        self._entries: set[Entry] = set()
        self._former: dict[str, Record] = {}

    async def look(self) -> None:
        """See what former runs have left."""
        self._former = await anyio.to_thread.run_sync(self._journal.known)

    def former_part_size(self, item: Item) -> int | None:
        """Return how a former run has cut a file of this size; None if there was none."""
        if not self._former:
            return None
        record = self._former.get(record_id(str(item.source), str(item.target)))
        if record is None or record.size != item.info.size:
            return None
        return record.upload.part_size

    async def claim(self, pair: Pair) -> Kept | None:
        """Become the owner of a pair's record; BusyError if somebody else is.

        None if records cannot be kept here.
        """
        claim = partial(self._journal.claim, pair.source, pair.target, take_over=self.take_over)
        try:
            entry = await anyio.to_thread.run_sync(claim)
        except LocalError as error:
            self.complain(error)
            return None
        self._entries.add(entry)
        return Kept(self, entry, pair)

    def complain(self, error: LocalError) -> None:
        """Say once that there will be nothing to go on with, to those who would."""
        if self.resume and not self._complained:
            self._complained = True
            self._notify(f"an interrupted transfer could not be resumed: {error.message}")

    async def beat(self) -> None:
        """Keep saying that this process is alive; never returns.

        Whoever has lost an entry finds out by itself, before it does anything
        that counts.
        """
        while True:
            await anyio.sleep(HEARTBEAT)
            for entry in tuple(self._entries):
                if entry in self._entries:
                    with suppress(TakenOverError, LocalError):
                        await anyio.to_thread.run_sync(entry.touch)

    def record(
        self,
        pair: Pair,
        upload: Upload,
        receipts: Sequence[Receipt],
        owed: tuple[Upload, ...] = (),
    ) -> Record:
        """Return what is written down when an upload begins, or goes on."""
        return Record(
            pair.source,
            pair.target,
            pair.info.size,
            upload,
            self.owner,
            time.time(),
            pair.version,
            self._settings,
            owed=owed,
            receipts=tuple(receipts),
        )

    async def release(self, entry: Entry, *, forget: bool) -> None:
        """Give up a record, or what it says too."""
        self._entries.discard(entry)
        await self.write(entry.end if forget else entry.close)

    async def write(self, write: Callable[[], None]) -> bool:
        """What cannot be written down is a hint less, not a failure; tell whether it is."""
        try:
            await anyio.to_thread.run_sync(write)
        except LocalError as error:
            self.complain(error)
            return False
        return True


class Kept:
    """The record of one transfer under way."""

    def __init__(self, keeper: Keeper, entry: Entry, pair: Pair) -> None:
        self._keeper = keeper
        self._entry = entry
        self._pair = pair
        self._owed: tuple[Upload, ...] = ()

    @property
    def former(self) -> Record | None:
        """What a former run has written down."""
        return self._entry.record

    @property
    def resumable(self) -> Record | None:
        """The same, if it was of this very source and can be gone on with."""
        former = self._entry.record
        if former is None or former.pending_abort or not self._keeper.resume:
            return None
        if former.size != self._pair.info.size or not self._pair.pinned:
            return None
        return former if former.version == self._pair.version else None

    async def resume(
        self,
        parts: Parts,
        key: str,
        intent: Intent,
        opened: OpenObject,
        attempt: Attempt,
        *,
        hashed_by: Callable[[Upload], Algorithm],
    ) -> tuple[Upload, list[Receipt]] | None:
        """Return the upload to go on with, and the parts that need not be sent again.

        Those are hashed as this run does, or their checksums would not combine. What
        a former run has left and cannot be gone on with is given up. None if there
        is nothing to go on with.
        """
        former, usable = self.former, self.resumable
        if former is not None:
            await self._pay(parts, former, attempt, all_of_it=usable is None)
        given = usable.upload if usable else None
        upload = await attempt("reopen", partial(parts.reopen, given, key, intent))
        if upload is None:
            return None
        noted = usable.receipts if usable and usable.upload == upload else ()
        try:
            listed = await attempt("list", partial(parts.sent, upload, reread=True))
            receipts = await self._trusted(listed, upload, noted, opened, hashed_by(upload))
        except (SourceChangedError, UploadGoneError):
            # Of one that is gone this costs a request, and not everybody who says so is right.
            await self._pay(parts, usable or self._record(upload), attempt, all_of_it=True)
            return None
        return upload, receipts

    async def _pay(
        self, parts: Parts, record: Record, attempt: Attempt, *, all_of_it: bool
    ) -> None:
        """Give up what is owed, or all that a former run has left; what fails stays owed.

        It is not this run's failure.
        """
        uploads = [*([record.upload] if all_of_it else []), *record.owed]
        left = []
        for upload in uploads:
            try:
                await attempt("abort", partial(parts.abort, upload))
            except TransferError:
                left.append(upload)
        self._owed = tuple(left)
        if all_of_it:
            await self._keeper.write(partial(self._entry.owe, left))

    async def _trusted(
        self,
        listed: Sequence[Receipt],
        upload: Upload,
        noted: Sequence[Receipt],
        opened: OpenObject,
        algorithm: Algorithm,
    ) -> list[Receipt]:
        local = self._pair.local_source
        return await trusted_parts(listed, upload, noted, opened, algorithm, local_source=local)

    def _record(self, upload: Upload, receipts: Sequence[Receipt] = ()) -> Record:
        return self._keeper.record(self._pair, upload, receipts, self._owed)

    async def begin(self, upload: Upload, receipts: Sequence[Receipt]) -> bool:
        """Write down that an upload is open; tell whether it is written down."""
        record = self._record(upload, receipts)
        return await self._keeper.write(partial(self._entry.begin, record))

    async def note(self, receipt: Receipt) -> None:
        """Write down that a part has arrived."""
        await self._keeper.write(partial(self._entry.note, receipt))

    async def check_owned(self) -> None:
        """Raise TakenOverError if the upload is somebody else's by now."""
        await anyio.to_thread.run_sync(self._entry.touch)

    async def owe_abort(self, upload: Upload) -> None:
        """An upload is to be given up, and could not be; so may others be that came before."""
        record = self._entry.record
        noted = (record.upload, *record.owed) if record is not None else ()
        others = {one.id: one for one in (*self._owed, *noted) if one.id != upload.id}
        owing = self._keeper.record(self._pair, upload, (), tuple(others.values()))
        with suppress(TakenOverError):  # it is for whoever has it now
            await self._keeper.write(partial(self._entry.begin, replace(owing, pending_abort=True)))

    async def close(self, gone: Upload | None = None) -> None:
        """Let somebody else have the record.

        An upload that is complete, or `gone`, is forgotten; what is written down of another stays.
        """
        record = self._entry.record
        forget = gone is not None and (record is None or record.upload.id == gone.id)
        await self._keeper.release(self._entry, forget=forget)


async def trusted_parts(
    listed: Sequence[Receipt],
    upload: Upload,
    noted: Sequence[Receipt],
    opened: OpenObject,
    algorithm: Algorithm,
    *,
    local_source: bool,
) -> list[Receipt]:
    """Return those of the listed parts that need not be sent again, by their checksums.

    Raises SourceChangedError if a part was made of other bytes than the source
    has now: then none of them is any good.
    """
    plan = Plan(opened.info.size, upload.part_size)
    known = {receipt.number: receipt for receipt in noted}
    candidates = [_with_checksum(receipt, known.get(receipt.number)) for receipt in listed]
    good = [r for r in candidates if _fits(r, plan, algorithm)]
    if local_source:
        await _compare(good, plan, opened)
    return good


def _with_checksum(listed: Receipt, noted: Receipt | None) -> Receipt:
    """The store knows what is there, the journal what it was made of."""
    if listed.checksum is not None or noted is None:
        return listed
    same = listed.etag.strip('"') == noted.etag.strip('"') and listed.size == noted.size
    return replace(listed, checksum=noted.checksum) if same else listed


def _fits(receipt: Receipt, plan: Plan, algorithm: Algorithm) -> bool:
    if receipt.checksum is None or receipt.checksum.algorithm is not algorithm:
        return False
    if not 1 <= receipt.number <= plan.count:
        return False
    return plan.part(receipt.number).span.size == receipt.size


async def _compare(receipts: Sequence[Receipt], plan: Plan, opened: OpenObject) -> None:
    limit = anyio.CapacityLimiter(_READERS)
    changed: list[int] = []
    unread: list[TransferError] = []

    async def compare(receipt: Receipt) -> None:
        async with limit:
            try:
                if not changed and not unread and not await _is_same(receipt, plan, opened):
                    changed.append(receipt.number)
            except TransferError as error:
                unread.append(error)  # which says nothing of what is in it

    async with anyio.create_task_group() as group:
        for receipt in receipts:
            group.start_soon(compare, receipt)
    if unread:
        raise unread[0]
    if changed:
        raise SourceChangedError(f"part {changed[0]} is not what was sent before")


async def _is_same(receipt: Receipt, plan: Plan, opened: OpenObject) -> bool:
    if receipt.checksum is None:
        return False
    source = opened.source(plan.part(receipt.number).span)
    try:
        found = await checksum_of_source(source, receipt.checksum.algorithm)
    except SourceChangedError:
        return False
    return found == receipt.checksum
