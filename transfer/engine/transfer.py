"""One file on its way: the machine's commands carried out.

The machine says what to do; here it is done, on two stores that are known by
their contract only. Retries wrap each whole attempt, and what comes back to the
machine is final.
"""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import anyio

from transfer.checksums import COMBINABLE, Algorithm, differ
from transfer.engine.attempts import Lane
from transfer.engine.comparing import looks_same, same_content
from transfer.engine.keeping import Pair
from transfer.errors import (
    ExistsError,
    IntegrityError,
    NotFoundError,
    SourceChangedError,
    TakenOverError,
    TransferError,
)
from transfer.events import DRY_RUN, FileDone, FileProgress, FileSkipped, Resumed, Retrying
from transfer.machine import (
    Abort,
    Aborted,
    Command,
    Complete,
    Completed,
    Create,
    Created,
    Event,
    Put,
    Send,
    Sent,
    State,
    Stored,
)
from transfer.model import Expected, Intent, Span, Verified
from transfer.proof import Evidence, verdict
from transfer.review import whole_checksum
from transfer.scheduler import Job
from transfer.tally import Meter, Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from transfer.checksums import Checksum
    from transfer.engine.attempts import Attempts
    from transfer.engine.expand import Item
    from transfer.engine.grace import Grace
    from transfer.engine.keeping import Keeper, Kept
    from transfer.engine.report import Options
    from transfer.engine.tail import Tail
    from transfer.machine import Machine
    from transfer.model import ObjectInfo, Part, Receipt, Traits, Upload
    from transfer.store import OpenObject, Parts, Store

T = TypeVar("T")


class FileTransfer(Job):
    """A job of the scheduler with all that its commands need."""

    def __init__(
        self,
        item: Item,
        source: Store,
        target: Store,
        machine: Machine,
        *,
        attempts: Attempts,
        grace: Grace,
        tail: Tail,
        keeper: Keeper,
        options: Options,
        publish: Callable[[Resumed | Retrying], None],
    ) -> None:
        limits = {store.url: store.traits.connections for store in (source, target)}
        super().__init__(machine, tuple(limits.items()), _buffer(source.traits, target.traits))
        self.item = item
        self.meter = Meter()
        self.started = anyio.current_time()
        self.sending: set[anyio.CancelScope] = set()
        self._source = source
        self._target = target
        self._attempts = attempts
        self._grace = grace
        self._tail = tail
        self._keeper = keeper
        self._kept: Kept | None = None
        self._options = options
        self._publish = publish
        self._stack = AsyncExitStack()
        self._opened: OpenObject | None = None
        self._checksum: Checksum | None = None
        self._there = False
        self._nonce = secrets.token_hex(16)

    async def perform(self, command: Command) -> Event:
        """Carry out a command; raises TransferError for what failed for good."""
        match command:
            case Put():
                return Stored(await self._put())
            case Create():
                return await self._create()
            case Send(upload, part):
                return Sent(await self._send(self._parts, upload, part))
            case Complete(upload, receipts):
                return Completed(await self._complete(upload, receipts))
            case Abort(upload):
                with self._grace.finishing(cleaning_up=True):
                    if self._kept is not None:
                        await self._kept.check_owned()
                    await self._try("abort", partial(self._parts.abort, upload))
                return Aborted()

    async def close(self) -> None:
        """Close the source, and bring the record up to date."""
        await self._stack.aclose()
        if self._kept is None:
            return
        upload = self.machine.upload
        gone: Upload | None = None
        try:
            if upload is not None and self.machine.abort_error is not None:
                await self._kept.owe_abort(upload)
            elif self.machine.state is not State.KEPT:
                gone = upload
        finally:
            await self._kept.close(gone)

    def progress(self) -> FileProgress:
        """Return how far it is."""
        return FileProgress(str(self.item.target), self.meter.moved, self.machine.plan.size)

    def error(self) -> TransferError | None:
        """Return what went wrong, with a word on what could not be cleaned up."""
        error, left = self.machine.error, self.machine.abort_error
        if error is not None and left is not None:
            error.add_hint(f"the upload to {self.item.target} may still be open: {left.message}")
        elif error is not None and self.kept is not None:
            error.add_hint("what has arrived is kept: the same command goes on from there")
        return error

    @property
    def kept(self) -> int | None:
        """Bytes that a later run need not move again; None if there is nothing to go on with."""
        if self.machine.state is not State.KEPT or self._kept is None:
            return None
        if isinstance(self.machine.error, TakenOverError):
            return None
        return sum(receipt.size for receipt in self.machine.receipts.values())

    def result(self) -> FileDone | FileSkipped:
        """Return what came of it; raises IntegrityError if the content is not what it must be."""
        source, target = str(self.item.source), str(self.item.target)
        size = self.machine.plan.size
        if self._there or self._options.dry_run:
            return FileSkipped(source, target, size, self._reason())
        info = self.machine.info
        evidence = Evidence(
            self._known_checksum,
            self._checksum,
            info.checksum if info else None,
            self._source.traits.local,
            self._target.traits.local,
        )
        verified = verdict(target, evidence)
        if self._options.require_verified and verified is Verified.SIZE:
            raise IntegrityError(
                f"{target} has arrived, but its content could not be compared, as"
                " --require-verified asks"
            )
        return FileDone(
            source,
            target,
            size,
            self.machine.plan.count,
            anyio.current_time() - self.started,
            verified,
            str(self._checksum) if self._checksum else None,
        )

    def _reason(self) -> str:
        if not self._there:
            return DRY_RUN
        if self._options.compare_only or self._by_content:
            return "it is there, with the same content"
        return "it is there, with the same size, not older"

    @property
    def _parts(self) -> Parts:
        parts = self._target.parts
        if parts is None:
            msg = f"{self._target.url} has no parts"
            raise AssertionError(msg)
        return parts

    @property
    def _by_content(self) -> bool:
        """Whether only the content of what is there can tell that it may stay."""
        return self._options.by_content or self._options.expect is not None

    @property
    def _known_checksum(self) -> Checksum | None:
        """What the content must be: as we were told, or as the source's store says."""
        said = self._opened.info.checksum if self._opened else None
        return self._options.expect or said

    async def _put(self) -> ObjectInfo:
        if self._options.compare_only:
            return await self._compare()
        if (found := await self._found_there()) is not None:
            return found
        if self._options.dry_run:
            return self.item.info
        opened = await self._open()
        intent = self._intent(None)
        source = opened.source(Span(0, intent.size or 0))

        known = self._known_checksum

        async def attempt() -> ObjectInfo:
            # In one piece, any algorithm will do.
            with Tally(known.algorithm if known else Algorithm.CRC32C, self.meter) as tally:
                info = await self._target.put(self.item.target.key, source, intent, tally)
                self._checksum = tally.checksum
            return info

        return await self._try("put", attempt)

    async def _create(self) -> Event:
        if (found := await self._found_there()) is not None:
            return Stored(found)
        opened = await self._open()
        pair = self._pair(opened)
        self._kept = await self._keeper.claim(pair)
        if self._kept is None or not pair.pinned:
            self.machine.keep = False
        with self._grace.finishing():
            event = await self._gone_on_with(opened) or await self._begun_anew()
            # Stopped in between, nobody would know of the upload.
            if self._kept is not None and not await self._kept.begin(event.upload, event.receipts):
                self.machine.keep = False
        return event

    async def _begun_anew(self) -> Created:
        intent = self._intent(self.machine.plan.part_size)
        create = partial(self._parts.create, self.item.target.key, intent)
        return Created(await self._try("create", create))

    async def _gone_on_with(self, opened: OpenObject) -> Created | None:
        """Return the upload of a former run with the parts that can be trusted, if there is one."""
        if self._kept is None:
            return None
        intent = self._intent(self.machine.plan.part_size)
        found = await self._kept.resume(
            self._parts,
            self.item.target.key,
            intent,
            opened,
            self._try,
            hashed_by=lambda upload: self._hashed_by(upload.algorithm),
        )
        if found is None:
            return None
        upload, receipts = found
        size = sum(receipt.size for receipt in receipts)
        self.meter.settled += size
        self.meter.there += size
        total = self.machine.plan.size
        self._publish(Resumed(str(self.item.target), len(receipts), size, total))
        return Created(upload, tuple(receipts))

    async def _send(self, parts: Parts, upload: Upload, part: Part) -> Receipt:
        opened = await self._open()
        source = opened.source(part.span)

        count = partial(self._tally, upload.algorithm)
        send = partial(parts.send, upload, part, source)
        attempt = partial(self._tail.carry, part.span.size, count, send)
        receipt = await self._try(f"part {part.number}", attempt)
        if self._kept is not None:
            await self._kept.note(receipt)
        return receipt

    async def _complete(self, upload: Upload, receipts: Sequence[Receipt]) -> ObjectInfo:
        self._checksum = whole_checksum(receipts)
        expected = Expected(
            self.machine.plan.size,
            self._known_checksum or self._checksum,
            self._options.no_clobber,
        )
        complete = partial(self._parts.complete, upload, receipts, expected)
        if self._kept is not None:
            await self._kept.check_owned()
        with self._grace.finishing():
            return await self._try("complete", complete)

    async def _open(self) -> OpenObject:
        """Open the source, once; its size must still be what was planned with."""
        if self._opened is None:
            opened = await self._try("open", self._enter)
            expected, said = self._options.expect, opened.info.checksum
            if expected is not None and said is not None and differ(expected, said):
                raise IntegrityError(
                    f"{self.item.source} has checksum {said.shown}, not {expected.shown}"
                )
            if opened.info.size != self.machine.plan.size:
                raise SourceChangedError(
                    f"{self.item.source} has {opened.info.size} bytes now,"
                    f" it had {self.machine.plan.size} when it was listed"
                )
            self._opened = opened
        return self._opened

    async def _enter(self) -> OpenObject:
        return await self._stack.enter_async_context(
            self._source.open(self.item.source.key, self.item.info)
        )

    async def _found_there(self) -> ObjectInfo | None:
        """Return what is at the target already, if that is to be left alone."""
        options = self._options
        if not options.looks_first:
            return None
        try:
            found = await self._try("stat", partial(self._target.stat, self.item.target.key))
        except NotFoundError:
            return None
        if options.no_clobber:
            raise ExistsError(f"{self.item.target} exists")
        self._there = (
            await self._has_same_content(found)
            if self._by_content
            else looks_same(self.item.info, found)
        )
        if not self._there:
            self.meter.settled = 0  # what was read to compare has not arrived
        return found if self._there else None

    async def _compare(self) -> ObjectInfo:
        """Compare instead of moving: a target that is missing or not the same is an error."""
        source, target = self.item.source, self.item.target
        try:
            found = await self._try("stat", partial(self._target.stat, target.key))
        except NotFoundError:
            raise NotFoundError(f"{target} is missing") from None
        if not await self._has_same_content(found):
            sizes = f"{found.size} bytes, not {self.machine.plan.size}"
            other = "other content" if found.size == self.machine.plan.size else sizes
            raise IntegrityError(f"{target} is not the same as {source}: {other}")
        self._checksum = found.checksum
        self._there = True
        return found

    async def _has_same_content(self, found: ObjectInfo) -> bool:
        if found.size != self.machine.plan.size:
            return False
        opened = await self._open()
        expected = self._options.expect
        compare = partial(same_content, opened, self._target, found, self.meter, expected)
        return await self._try("compare", compare)

    def _pair(self, opened: OpenObject) -> Pair:
        source, target = str(self.item.source), str(self.item.target)
        return Pair(source, target, opened.info, self._source.traits.local)

    def _intent(self, part_size: int | None) -> Intent:
        return Intent(
            self.machine.plan.size,
            part_size,
            metadata=self._options.metadata,
            checksum=self._known_checksum,
            algorithm=Algorithm.CRC32C,
            no_clobber=self._options.no_clobber,
            nonce=self._nonce,
            owner=str(self._keeper.owner),
            take_over=self._keeper.take_over,
            must_verify=self._options.require_verified,
            may_have_holes=self._source.traits.local,
        )

    def _tally(self, checked_by: Algorithm | None) -> Tally:
        """Start counting and hashing."""
        return Tally(self._hashed_by(checked_by), self.meter)

    def _hashed_by(self, checked_by: Algorithm | None) -> Algorithm:
        """Return what parts are hashed by: what the other side can be compared with."""
        known = self._known_checksum
        algorithm = known.algorithm if known else checked_by
        return algorithm if algorithm in COMBINABLE else Algorithm.CRC32C

    async def _try(self, operation: str, attempt: Callable[[], Awaitable[T]]) -> T:
        def on_retry(number: int, delay: float, error: TransferError) -> None:
            target = str(self.item.target)
            self._publish(Retrying(target, operation, number, delay, str(error)))

        return await self._attempts.run(self._lane(operation), attempt, on_retry)

    def _lane(self, operation: str) -> Lane:
        """Bytes and control calls may go to different hosts: an outage of one is its own."""
        store = self._source if operation == "open" else self._target
        if operation == "reopen":
            return Lane(store.url, opening=True)
        return Lane(store.url, operation == "put" or operation.startswith("part"))


def _buffer(source: Traits, target: Traits) -> int:
    """Return what one operation holds; bytes to or from a file pass through one buffer only."""
    remote = [traits.buffer for traits in (source, target) if not traits.local]
    return sum(remote) if remote else target.buffer
