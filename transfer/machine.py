"""The life of one transfer, as a state machine without a clock, a loop or a file.

                        .--------------- Failed(unsupported) --------.
                        v                                            |
    NEW --Put--> PUTTING --Stored--> DONE            NEW --Create--> CREATING
                        |                                            | Created
                        v Failed                                     v
                      FAILED <------Aborted------ ABORTING <----- MOVING  (Send, Sent ...)
                                                     ^               | all sent
                        KEPT <---(may be resumed)----|               v
                                                     '--Failed-- COMPLETING --Completed--> DONE

The shell asks `next()` what to do, does it, and tells `feed()` how it went.
Retries happen below: what arrives here is final. Whatever the shell does, the
machine hands out each part once, never completes with a part missing, and
aborts exactly once if it gives an open upload up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from transfer.errors import TakenOverError, TransferError, UnsupportedError
from transfer.planner import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transfer.model import ObjectInfo, Part, Receipt, Upload


class State(StrEnum):
    """Where a transfer stands."""

    NEW = "new"
    PUTTING = "putting"
    CREATING = "creating"
    MOVING = "moving"
    COMPLETING = "completing"
    ABORTING = "aborting"
    DONE = "done"
    FAILED = "failed"
    KEPT = "kept"


SETTLED = frozenset({State.DONE, State.FAILED, State.KEPT})


@dataclass(frozen=True, slots=True)
class Put:
    """Store the object in a single PUT."""


@dataclass(frozen=True, slots=True)
class Create:
    """Open a multipart upload."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send one part."""

    upload: Upload
    part: Part


@dataclass(frozen=True, slots=True)
class Complete:
    """Have the object put together."""

    upload: Upload
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class Abort:
    """Give the upload up."""

    upload: Upload


Command: TypeAlias = Put | Create | Send | Complete | Abort


@dataclass(frozen=True, slots=True)
class Stored:
    """The PUT is done, or the object turned out to be there already."""

    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Created:
    """The upload is open; `receipts` are parts that a former run has sent."""

    upload: Upload
    receipts: tuple[Receipt, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """A part has arrived."""

    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Completed:
    """The object is there."""

    info: ObjectInfo


@dataclass(frozen=True, slots=True)
class Aborted:
    """The upload is gone."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A command failed for good; for a Send, `number` says which part."""

    error: TransferError
    number: int | None = None


Event: TypeAlias = Stored | Created | Sent | Completed | Aborted | Failed

# A command that was under way when the transfer was given up still reports.
_LEGAL: dict[State, tuple[type[Event], ...]] = {
    State.NEW: (),
    State.PUTTING: (Stored, Failed),
    State.CREATING: (Created, Stored, Failed),
    State.MOVING: (Sent, Failed),
    State.COMPLETING: (Completed, Failed),
    State.ABORTING: (Sent, Failed, Aborted),
    State.DONE: (),
    State.FAILED: (),
    State.KEPT: (),
}


class IllegalEventError(Exception):
    """The shell reported what cannot have happened: a bug of ours."""


class Machine:
    """One transfer from its plan to its end.

    `max_put` is the largest single PUT, in bytes. `keep` says whether an upload
    that failed for a reason that may pass, or was interrupted, is left open for
    a later run.
    """

    def __init__(self, plan: Plan, *, keep: bool = False, max_put: float = math.inf) -> None:
        self.plan = plan
        self._max_put = max_put
        self.state = State.NEW
        self.upload: Upload | None = None
        self.info: ObjectInfo | None = None
        self.error: TransferError | None = None
        self.abort_error: TransferError | None = None
        self.receipts: dict[int, Receipt] = {}
        self.keep = keep
        self._next_number = 1
        self._flying: set[int] = set()
        self._commanded = False

    def __repr__(self) -> str:
        return (
            f"<Machine {self.state}: {len(self.receipts)} of {self.plan.count} parts,"
            f" {len(self._flying)} under way>"
        )

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in SETTLED

    @property
    def spent(self) -> bool:
        """Whether its last part has been handed out: what is left is to wait for."""
        if self.plan.part_size is None:
            return self.state is not State.NEW
        return self._next_number > self.plan.count

    def next(self) -> Command | None:
        """Return what to start now, None if there is nothing at the moment."""
        if self.state is State.NEW:
            self.state = State.PUTTING if self.plan.part_size is None else State.CREATING
            return Put() if self.plan.part_size is None else Create()
        if self.upload is None or self._commanded:
            return None
        if self.state is State.MOVING:
            return self._next_part(self.upload)
        if self.state is State.COMPLETING:
            self._commanded = True
            return Complete(self.upload, tuple(self.receipts[n] for n in sorted(self.receipts)))
        if self.state is State.ABORTING and not self._flying:
            self._commanded = True
            return Abort(self.upload)
        return None

    def feed(self, event: Event) -> None:
        """Take in how a command went; raises IllegalEventError."""
        if not isinstance(event, _LEGAL[self.state]):
            msg = f"{event} in {self!r}"
            raise IllegalEventError(msg)
        match event:
            case Stored(info) | Completed(info):
                self.info = info
                self.error = None  # a stop that came while it was under way came too late
                self.state = State.DONE
            case Created(upload, receipts):
                self._created(upload, receipts)
            case Sent(receipt):
                self._land(receipt.number)
                self.receipts[receipt.number] = receipt
                self._moved()
            case Aborted():
                self.state = State.FAILED
            case Failed(error, number):
                if number is None:
                    self._control_failed(error)
                else:
                    self._land(number)
                    self._give_up(error)

    def stop(self, error: TransferError) -> None:
        """Give up from outside; commands under way are still to be fed back.

        A Create or Complete under way decides first: its upload could not be
        aborted, or its object not be denied, before its answer is in.
        """
        if self.settled:
            return
        self.error = self.error or error
        if self.state is State.NEW:
            self.state = State.FAILED
        elif self.state is State.MOVING or (self.state is State.COMPLETING and not self._commanded):
            self._give_up(error)

    def _next_part(self, upload: Upload) -> Send | None:
        while self._next_number <= self.plan.count:
            number = self._next_number
            self._next_number += 1
            if number not in self.receipts:
                self._flying.add(number)
                return Send(upload, self.plan.part(number))
        return None

    def _created(self, upload: Upload, receipts: Iterable[Receipt]) -> None:
        self.upload = upload
        if upload.part_size is not None and upload.part_size != self.plan.part_size:
            # A former run has cut it so, and it stays so.
            self.plan = Plan(self.plan.size, upload.part_size)
        planned = range(1, self.plan.count + 1)
        self.receipts = {
            receipt.number: receipt for receipt in receipts if receipt.number in planned
        }
        self.state = State.MOVING
        if self.error is not None:
            self._give_up(self.error)
        else:
            self._moved()

    def _moved(self) -> None:
        if self.state is State.ABORTING:
            self._drained()
        elif len(self.receipts) == self.plan.count:
            self.state = State.COMPLETING

    def _control_failed(self, error: TransferError) -> None:
        """A Put, Create, Complete or Abort failed."""
        if self.state is State.ABORTING and isinstance(error, TakenOverError):
            self.error = error
            self.state = State.KEPT
        elif self.state is State.ABORTING:
            self.abort_error = error
            self.state = State.FAILED
        elif self.state is State.CREATING and self._falls_back(error):
            self.plan = Plan(self.plan.size)
            self.state = State.NEW
        elif self.upload is None:
            self.error = self.error or error
            self.state = State.FAILED
        else:
            self._give_up(error)

    def _falls_back(self, error: TransferError) -> bool:
        """A store that turns out to have no multipart gets one PUT, if that can hold it."""
        fits = self.plan.size <= self._max_put
        return isinstance(error, UnsupportedError) and self.error is None and fits

    def _give_up(self, error: TransferError) -> None:
        if self.error is None or isinstance(error, TakenOverError):
            # Whatever else went wrong: what is somebody else's is not ours to abort.
            self.error = error
        self.state = State.ABORTING
        self._commanded = False
        self._drained()

    def _drained(self) -> None:
        """Leave the upload to a later run, once its last part has landed, if that may help.

        One that somebody else has taken over is left alone in any case.
        """
        if self._flying or self.error is None:
            return
        if isinstance(self.error, TakenOverError) or (self.keep and self.error.resumable):
            self.state = State.KEPT

    def _land(self, number: int) -> None:
        if number not in self._flying:
            msg = f"part {number} was not under way in {self!r}"
            raise IllegalEventError(msg)
        self._flying.discard(number)
