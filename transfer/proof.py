"""What was proved of a file that arrived: pure comparison of checksums.

Two legs have to be proved, from the source to us and from us to the target. A
leg that stays on this machine needs no proof; of the other, somebody at its end
must have said what the content is, and it must be what we have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.checksums import differ
from transfer.errors import IntegrityError
from transfer.model import Verified

if TYPE_CHECKING:
    from transfer.checksums import Checksum


@dataclass(frozen=True, slots=True)
class Evidence:
    """The checksums that came up on the way.

    `known` is what the source's side says, `moved` what we computed of the
    bytes that passed, `stored` what the target's side says.
    """

    known: Checksum | None
    moved: Checksum | None
    stored: Checksum | None
    source_is_local: bool
    target_is_local: bool


def verdict(target: object, evidence: Evidence) -> Verified:
    """Return how much is proved; raises IntegrityError where two of them contradict."""
    known, moved, stored = evidence.known, evidence.moved, evidence.stored
    for said, found in ((known, moved), (stored, moved), (known, stored)):
        if said is not None and found is not None and differ(said, found):
            raise IntegrityError(
                f"{target}: the content has checksum {found.shown}, not {said.shown}"
            )
    first = evidence.source_is_local or _agree(known, moved) or _agree(known, stored)
    second = evidence.target_is_local or _agree(stored, moved) or _agree(stored, known)
    return Verified.CONTENT if first and second else Verified.SIZE


def _agree(one: Checksum | None, other: Checksum | None) -> bool:
    return one is not None and one == other
