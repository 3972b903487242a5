"""The last look before an object is put together: pure comparison of lists.

Whoever holds the credentials reviews: what the sender says it sent, against what
the store says it has. A part that is missing, foreign, of the wrong length or
with another checksum stops the upload here, while nothing is visible yet (as
Mountpoint for S3 does before it lets a CompleteMultipartUpload go out).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.checksums import combine, differ
from transfer.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer.checksums import Checksum
    from transfer.model import Expected, Receipt, Upload


def review(
    upload: Upload, receipts: Sequence[Receipt], listed: Sequence[Receipt], expected: Expected
) -> Checksum | None:
    """Return the checksum of the whole, if it follows from the parts.

    Raises IntegrityError unless `receipts` are parts 1 to n, each of the length
    the plan gives it, each as the store has `listed` it, and `expected` holds.
    """
    check_complete(upload, receipts, expected)
    here = {receipt.number: receipt for receipt in listed}
    for receipt in receipts:
        _compare(receipt, here.get(receipt.number))
    checksum = whole_checksum(receipts)
    wanted = expected.checksum
    if checksum is not None and wanted is not None and differ(checksum, wanted):
        raise IntegrityError(
            f"the parts have checksum {checksum.shown}, {wanted.shown} was expected"
        )
    return checksum


def check_complete(upload: Upload, receipts: Sequence[Receipt], expected: Expected) -> None:
    """Raise IntegrityError unless the receipts alone add up to the object."""
    if [receipt.number for receipt in receipts] != list(range(1, len(receipts) + 1)):
        raise IntegrityError("the parts are not numbered from 1 without gaps")
    if not receipts:
        raise IntegrityError("an upload without parts is no object")
    part_size = upload.part_size or receipts[0].size
    for receipt in receipts[:-1]:
        if receipt.size != part_size:
            raise IntegrityError(
                f"part {receipt.number} has {receipt.size} bytes, {part_size} were expected"
            )
    last = receipts[-1]
    if last.size > part_size:
        raise IntegrityError(f"the last part has {last.size} bytes, more than {part_size}")
    total = sum(receipt.size for receipt in receipts)
    for size in (expected.size, upload.size):
        if size is not None and total != size:
            raise IntegrityError(f"the parts have {total} bytes, {size} were expected")


def whole_checksum(receipts: Sequence[Receipt]) -> Checksum | None:
    """Return the checksum of all parts in order, None if it does not follow from theirs."""
    known = [(r.checksum, r.size) for r in receipts if r.checksum is not None]
    alike = len({checksum.algorithm for checksum, _ in known}) == 1
    return combine(known) if alike and len(known) == len(receipts) else None


def _compare(said: Receipt, found: Receipt | None) -> None:
    if found is None:
        raise IntegrityError(f"part {said.number} is not in the store")
    if found.size != said.size:
        raise IntegrityError(
            f"part {said.number} has {found.size} bytes in the store, {said.size} were sent"
        )
    if found.etag.strip('"') != said.etag.strip('"'):
        raise IntegrityError(f"part {said.number} in the store is not the one that was sent")
    if differ(found.checksum, said.checksum):
        raise IntegrityError(f"part {said.number} in the store has another checksum")
