"""An upload session as a value: where it stands, and which parts it may have."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from transfer.checksums import Algorithm, Checksum
from transfer.errors import RejectedError
from transfer.model import ObjectInfo, Receipt, Upload
from transfer.planner import Plan
from transfer.wire import WireObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from transfer.coordinator.objects import Destination


class SessionState(StrEnum):
    """Where a session stands."""

    OPENING = "opening"
    OPEN = "open"
    COMPLETE = "complete"
    ABORTING = "aborting"
    ABORTED = "aborted"


UNFINISHED = (SessionState.OPENING, SessionState.OPEN, SessionState.ABORTING)


@dataclass(frozen=True, slots=True)
class Session:
    """A session as a value; `upload` is known by the destination's key.

    `said` is what its client says the content of the complete object is.
    """

    id: str
    key: str
    upload: Upload
    count: int
    no_clobber: bool
    state: SessionState
    epoch: int
    result: ObjectInfo | None
    said: Checksum | None = None


def receipts_of(listed: Sequence[Receipt], etags: dict[int, str]) -> list[Receipt]:
    """Return receipts for a client that names only numbers and ETags; sizes are the store's."""
    sizes = {receipt.number: receipt.size for receipt in listed}
    missing = sorted(set(etags) - set(sizes))
    if missing:
        raise RejectedError(f"part {missing[0]} is not in the store")
    return [Receipt(number, sizes[number], etag) for number, etag in sorted(etags.items())]


def check_receipts(session: Session, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Return the receipts; RejectedError for parts the upload does not have, or named twice."""
    named: dict[int, Receipt] = {}
    for receipt in receipts:
        _check_receipt(session, receipt)
        if receipt.number in named:
            raise RejectedError(f"part {receipt.number} is named twice", hint="name it once")
        named[receipt.number] = receipt
    return list(named.values())


def _check_receipt(session: Session, receipt: Receipt) -> None:
    """Raise RejectedError unless the upload has such a part."""
    if receipt.number > session.count:
        raise RejectedError(f"part {receipt.number} is foreign: the upload has {session.count}")
    upload = session.upload
    if upload.size is None or upload.part_size is None:
        raise RejectedError("the upload was opened in MLflow's protocol, which reports no parts")
    size = Plan(upload.size, upload.part_size).part(receipt.number).span.size
    if receipt.size != size:
        raise RejectedError(f"part {receipt.number} is foreign: the upload's has {size} bytes")


def session_of(row: Row[Any], destination: Destination) -> Session:
    """Read a session from its row."""
    algorithm, said = row.details.get("algorithm"), row.details.get("said")
    upload = Upload(
        destination.inner(row.key),
        row.store_id,
        row.size,
        row.part_size,
        Algorithm(algorithm) if algorithm else None,
    )
    result = (
        WireObject.model_validate_json(json.dumps(row.result)).to_info() if row.result else None
    )
    return Session(
        row.id,
        row.key,
        upload,
        row.part_count,
        row.no_clobber,
        SessionState(row.state),
        row.epoch,
        result,
        Checksum.parse(said) if said else None,
    )
