"""Upload sessions: the coordinator's record of each multipart upload.

A session is a row, so that it survives a restart and any replica can serve it.
The row is written before the store is asked for anything, and what is over never
comes back: a completed session answers Complete with the same result again, an
aborted one answers nothing. Before an object is put together, the store's own
list of parts is compared with what the client says it sent (in the store's
`complete`, see `transfer.review`).
"""

from __future__ import annotations

import json
import re
import secrets
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError as DuplicateError

from transfer.checksums import Checksum
from transfer.coordinator.access import allow_write
from transfer.coordinator.arrivals import Arrivals
from transfer.coordinator.database import PARTS, UPLOADS
from transfer.coordinator.sessions import (
    UNFINISHED,
    Session,
    SessionState,
    check_receipts,
    session_of,
)
from transfer.coordinator.unbroken import unbroken
from transfer.errors import (
    PlanError,
    PreconditionError,
    RejectedError,
    TransferError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.model import Expected, Intent, ObjectInfo, Receipt
from transfer.planner import Plan, check_part_size
from transfer.review import whole_checksum
from transfer.wire import WireObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sqlalchemy import ColumnElement, Row

    from transfer.coordinator.access import Principal
    from transfer.coordinator.database import Database
    from transfer.coordinator.objects import Destination
    from transfer.store import Parts

# MLflow's clients know this sentence; its beginning is what they look for.
NO_MULTIPART = "Multipart upload is not supported for the current artifact repository"
_ID = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """All sessions; `enabled` False means that multipart is switched off.

    `own` are those of this destination: others may have the same database.
    """

    def __init__(
        self, destination: Destination, database: Database, *, enabled: bool = True
    ) -> None:
        self._to = destination
        self._database = database
        self._enabled = enabled
        self.own = UPLOADS.c.destination.in_((destination.digest, ""))
        self._locks: dict[str, anyio.Lock] = {}
        self.arrivals = Arrivals()

    @property
    def parts(self) -> Parts:
        """The destination's multipart; UnsupportedError if there is none."""
        parts = self._to.store.parts
        if parts is None or not self._enabled:
            raise UnsupportedError(NO_MULTIPART)
        return parts

    async def open(
        self, principal: Principal, key: str, intent: Intent, count: int, request_id: str
    ) -> Session:
        """Open an upload of `count` parts; the same request again returns the same session."""
        parts = self.parts
        self._check_plan(intent, count)
        row = await self._new_row(principal, key, intent, count, request_id)
        session = self._same(session_of(row, self._to), key, intent)
        if session.state is not SessionState.OPENING:
            return session
        try:
            upload = await parts.create(self._to.inner(key), intent)
        except TransferError:
            await self._forget(row.id)
            raise
        async with self._database.writing() as connection:
            mine = await connection.execute(
                update(UPLOADS)
                .where(UPLOADS.c.id == row.id, UPLOADS.c.state == SessionState.OPENING)
                .values(
                    store_id=upload.id,
                    details={"algorithm": upload.algorithm},
                    state=SessionState.OPEN,
                    touched=time.time(),
                )
            )
        if not mine.rowcount:
            # The same request came twice at once, and the other one was faster.
            await parts.abort(upload)
        return await self.get(principal, row.id)

    async def get(self, principal: Principal, upload_id: str, epoch: int | None = None) -> Session:
        """Return a session of this principal; UploadGoneError for anybody else's.

        Raises RefusedAccessError where their token does not permit writing its key (any more).
        """
        session = await self._found(upload_id, UPLOADS.c.principal == principal.name)
        allow_write(principal, session.key)
        if epoch is not None and epoch != session.epoch:
            raise PreconditionError(
                f"the upload {upload_id} was taken over by somebody else",
                hint="let them finish, or start anew",
            )
        return session

    async def by_id(self, upload_id: str) -> Session:
        """Return an open session, for a request whose URL is the permission."""
        session = await self._found(upload_id)
        if session.state is not SessionState.OPEN:
            raise UploadGoneError(f"the upload {upload_id} is {session.state}")
        return session

    async def get_open(
        self, principal: Principal, upload_id: str, epoch: int | None = None
    ) -> Session:
        """Return a session that still takes parts."""
        session = await self.get(principal, upload_id, epoch)
        if session.state is not SessionState.OPEN:
            raise UploadGoneError(f"the upload {upload_id} is {session.state}")
        return session

    async def report(self, session: Session, receipts: Iterable[Receipt]) -> None:
        """Write down which parts have arrived; a part sent again replaces its receipt."""
        named = check_receipts(session, receipts)
        if not named:
            return
        rows = [
            {
                "upload_id": session.id,
                "number": receipt.number,
                "size": receipt.size,
                "etag": receipt.etag,
                "checksum": str(receipt.checksum) if receipt.checksum else None,
            }
            for receipt in named
        ]
        numbers = [receipt.number for receipt in named]
        async with self._database.writing() as connection:
            # First the row of the upload: who reports the same parts meanwhile waits for it.
            await connection.execute(
                update(UPLOADS).where(UPLOADS.c.id == session.id).values(touched=time.time())
            )
            await connection.execute(
                delete(PARTS).where(PARTS.c.upload_id == session.id, PARTS.c.number.in_(numbers))
            )
            await connection.execute(insert(PARTS), rows)

    async def listed(self, session: Session) -> list[Receipt]:
        """Return the parts the store has, with the checksums that were reported for them."""
        reported = await self._reported(session)
        found = []
        for receipt in await self.parts.sent(session.upload):
            known = reported.get(receipt.number)
            if known is not None and known.etag.strip('"') == receipt.etag.strip('"'):
                found.append(replace(receipt, checksum=receipt.checksum or known.checksum))
            else:
                found.append(receipt)
        return found

    async def complete(
        self, session: Session, receipts: Iterable[Receipt], expected: Expected
    ) -> tuple[ObjectInfo, Checksum | None]:
        """Put the object together; a second time returns what the first one did.

        Returned are what the store knows of the object, and the checksum that
        follows from what the client says of its parts.
        """
        async with self._alone(session.id):
            current = await self._found(session.id)
            if current.result is not None:
                return current.result, current.said
            if current.state is not SessionState.OPEN:
                raise UploadGoneError(f"the upload {session.id} is {current.state}")
            await self.touch(session)
            known = await self._reported(session)
            known.update((receipt.number, receipt) for receipt in receipts)
            wanted = [known[number] for number in sorted(known)]
            if [receipt.number for receipt in wanted] != list(range(1, session.count + 1)):
                raise RejectedError(
                    f"the upload has parts 1 to {session.count},"
                    f" {len(wanted)} were named: some are missing or foreign"
                )
            if len({receipt.checksum.algorithm for receipt in wanted if receipt.checksum}) > 1:
                raise RejectedError("the parts' checksums are not all by one algorithm")
            expected = replace(expected, no_clobber=session.no_clobber)
            async with self.arrivals.closed(session.id):
                # An object that is there without a word of it could not be completed again.
                return await unbroken(partial(self._put_together, session, wanted, expected))

    async def _put_together(
        self, session: Session, receipts: Sequence[Receipt], expected: Expected
    ) -> tuple[ObjectInfo, Checksum | None]:
        info = await self.parts.complete(session.upload, receipts, expected)
        info, said = replace(info, key=session.key), whole_checksum(receipts)
        await self._finish(session, SessionState.COMPLETE, info, said)
        return info, said

    async def abort(self, session: Session) -> None:
        """Give an upload up; the row says so before the store is told."""
        async with self._alone(session.id), self.arrivals.closed(session.id):
            current = await self._found(session.id)
            if current.state in {SessionState.ABORTED, SessionState.COMPLETE}:
                return
            await self._finish(current, SessionState.ABORTING, None)
            await self._abort(current)

    async def touch(self, session: Session) -> None:
        """Note that the client is alive, and at this upload."""
        async with self._database.writing() as connection:
            await connection.execute(
                update(UPLOADS).where(UPLOADS.c.id == session.id).values(touched=time.time())
            )

    async def give_up(self, upload_id: str, due: ColumnElement[bool]) -> bool:
        """Abort an upload if what is `due` still holds; tell whether it did."""
        async with self._alone(upload_id):
            async with self._database.writing() as connection:
                mine = await connection.execute(
                    update(UPLOADS)
                    .where(UPLOADS.c.id == upload_id, due)
                    .values(state=SessionState.ABORTING, touched=time.time())
                )
            if not mine.rowcount:
                return False
            async with self.arrivals.closed(upload_id):
                await self._abort(await self._found(upload_id))
        return True

    async def _abort(self, session: Session) -> None:
        if session.upload.id:
            await self.parts.abort(session.upload)
        await self._finish(session, SessionState.ABORTED, None)

    async def count_open(self) -> int:
        """Return how many uploads are neither completed nor aborted."""
        async with self._database.reading() as connection:
            found = await connection.execute(
                select(func.count())
                .select_from(UPLOADS)
                .where(UPLOADS.c.state.in_(UNFINISHED), self.own)
            )
            return int(found.scalar_one())

    def _check_plan(self, intent: Intent, count: int) -> None:
        limits = self.parts.limits
        if intent.part_size is not None and intent.size is not None:
            check_part_size(intent.part_size, limits)
            if intent.size > limits.max_object:
                raise PlanError(f"{intent.size} bytes are too many for one object")
            if Plan(intent.size, intent.part_size).count != count:
                raise PlanError(f"{intent.size} bytes are not {count} parts")
        if not 1 <= count <= limits.max_count:
            raise PlanError(
                f"{count} parts are not possible: the destination takes 1 to {limits.max_count}"
            )

    async def _new_row(
        self, principal: Principal, key: str, intent: Intent, count: int, request_id: str
    ) -> Row[Any]:
        now = time.time()
        row: dict[str, object] = {
            "id": secrets.token_hex(16),
            "request_id": request_id,
            "destination": self._to.digest,
            "principal": principal.name,
            "key": key,
            "store_id": "",
            "size": intent.size,
            "part_size": intent.part_size,
            "part_count": count,
            "no_clobber": intent.no_clobber,
            "details": {},
            "state": SessionState.OPENING,
            "epoch": 1,
            "created": now,
            "touched": now,
        }
        known = select(UPLOADS).where(
            UPLOADS.c.request_id == row["request_id"],
            UPLOADS.c.principal == principal.name,
            self.own,
        )
        async with self._database.writing() as connection:
            found = (await connection.execute(known)).first()
            if found is None:
                # The same request at the same time is a duplicate that is ours.
                with suppress(DuplicateError):
                    async with connection.begin_nested():
                        await connection.execute(insert(UPLOADS).values(row))
                found = (await connection.execute(known.with_for_update())).first()
        if found is None:
            raise RejectedError("this request id is in use")
        return found

    async def _forget(self, upload_id: str) -> None:
        """Remove the row of an upload that the store did not open."""
        async with self._database.writing() as connection:
            await connection.execute(
                delete(UPLOADS).where(
                    UPLOADS.c.id == upload_id, UPLOADS.c.state == SessionState.OPENING
                )
            )

    async def _found(self, upload_id: str, *conditions: ColumnElement[bool]) -> Session:
        """Return the session as it is now."""
        row = None
        if _ID.fullmatch(upload_id):
            async with self._database.reading() as connection:
                rows = await connection.execute(
                    select(UPLOADS).where(UPLOADS.c.id == upload_id, self.own, *conditions)
                )
                row = rows.first()
        if row is None:
            raise UploadGoneError(f"there is no upload {upload_id[:40]}")
        return session_of(row, self._to)

    @asynccontextmanager
    async def _alone(self, upload_id: str) -> AsyncIterator[None]:
        """Complete and Abort of one upload wait for each other."""
        lock = self._locks.setdefault(upload_id, anyio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(upload_id, None)

    def _same(self, session: Session, key: str, intent: Intent) -> Session:
        asked = (key, intent.size, intent.part_size)
        if (session.key, session.upload.size, session.upload.part_size) != asked:
            raise RejectedError("this request id was used for another upload")
        return session

    async def _reported(self, session: Session) -> dict[int, Receipt]:
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(PARTS.c.number, PARTS.c.size, PARTS.c.etag, PARTS.c.checksum).where(
                    PARTS.c.upload_id == session.id
                )
            )
            return {
                row.number: Receipt(
                    row.number,
                    row.size,
                    row.etag,
                    Checksum.parse(row.checksum) if row.checksum else None,
                )
                for row in rows
            }

    async def _finish(
        self,
        session: Session,
        state: SessionState,
        info: ObjectInfo | None,
        said: Checksum | None = None,
    ) -> None:
        result = json.loads(WireObject.from_info(info).model_dump_json()) if info else None
        details = {"algorithm": session.upload.algorithm, "said": str(said) if said else None}
        async with self._database.writing() as connection:
            await connection.execute(
                update(UPLOADS)
                .where(UPLOADS.c.id == session.id)
                .values(state=state, result=result, details=details, touched=time.time())
            )
            if state in {SessionState.COMPLETE, SessionState.ABORTED}:
                await connection.execute(delete(PARTS).where(PARTS.c.upload_id == session.id))
