"""From sizes and limits to parts: arithmetic only.

A size that somebody set is honoured exactly or refused. The one exception is
the number of parts: where a store allows fewer than the chosen size would give,
the size is raised to the smallest that fits, and the plan says so. A size that
nobody set is *auto*: small enough that every connection has several parts to
work on, large enough that requests do not dominate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.errors import PlanError, UsageError
from transfer.model import Part, Span
from transfer.sizes import MIB, format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer.model import PartLimits, Traits

# The chunk size that MLflow documents.
AUTO_LARGEST = 100 * MIB
PARTS_PER_CONNECTION = 4


@dataclass(frozen=True, slots=True)
class Grain:
    """How fine to cut if nobody says: the smallest part, and the smallest object in parts."""

    part: int
    threshold: int


# On a long and lossy line, the last parts of the slowest connections decide when all is
# done: so they are as small as S3 takes them.
FINE = Grain(5 * MIB, 16 * MIB)
# Where other objects keep the connections busy, parts cost requests and bring nothing
# but that less is to be sent again.
COARSE = Grain(16 * MIB, 32 * MIB)


@dataclass(frozen=True, slots=True)
class Preference:
    """What the user asked for; None is auto.

    `threshold` is the smallest object, in bytes, that goes in parts.
    `multipart` False means never.
    """

    part_size: int | None = None
    threshold: int | None = None
    multipart: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """How an object of `size` bytes is cut; `part_size` None is one single PUT.

    `raised_from` is the part size that was asked for and would have given too
    many parts.
    """

    size: int
    part_size: int | None = None
    raised_from: int | None = None

    @property
    def count(self) -> int:
        """Number of parts, 0 for a single PUT; an empty object has one empty part."""
        if self.part_size is None:
            return 0
        return max(1, -(-self.size // self.part_size))

    def part(self, number: int) -> Part:
        """Return part `number`, counted from 1; IndexError beyond the last."""
        if self.part_size is None or not 1 <= number <= self.count:
            msg = f"no part {number} in {self.count}"
            raise IndexError(msg)
        start = (number - 1) * self.part_size
        return Part(number, Span(start, min(start + self.part_size, self.size)))

    def parts(self) -> Iterator[Part]:
        """All parts in order."""
        return (self.part(number) for number in range(1, self.count + 1))


def plan(
    size: int,
    traits: Traits,
    limits: PartLimits | None,
    preference: Preference,
    connections: int,
    *,
    grain: Grain = FINE,
) -> Plan:
    """Decide how to store `size` bytes; `limits` None means a store without multipart.

    Raises UsageError for a part size that the store does not take, PlanError for
    an object that no number of parts can hold.
    """
    if limits is None or not preference.multipart:
        return _single(size, traits, limits)
    if preference.part_size is not None:
        check_part_size(preference.part_size, limits)
    if size > limits.max_object:
        raise PlanError(
            f"{format_size(size)} cannot be stored: the store's limit for one object is"
            f" {format_size(limits.max_object)}"
        )
    if size <= traits.max_put and not _pays(size, preference, grain):
        return Plan(size)
    wanted = preference.part_size or auto_part_size(size, limits, connections, grain)
    if -(-size // wanted) <= limits.max_count:
        return Plan(size, wanted)
    return _raised(size, limits, wanted, asked=preference.part_size)


def check_part_size(part_size: int, limits: PartLimits) -> None:
    """Raise UsageError for a part size outside the store's limits."""
    if part_size < limits.min_size:
        raise UsageError(
            f"a part size of {format_size(part_size)} is below the store's minimum of"
            f" {format_size(limits.min_size)}",
            hint=f"set at least {format_size(limits.min_size)}, or leave it unset",
        )
    if part_size > limits.max_size:
        raise UsageError(
            f"a part size of {format_size(part_size)} is above the store's maximum of"
            f" {format_size(limits.max_size)}"
        )
    if part_size % limits.granularity:
        raise UsageError(
            f"a part size of {part_size} bytes is no multiple of"
            f" {format_size(limits.granularity)}, as the store demands"
        )


def grain_of(size: int, others: int, connections: int) -> Grain:
    """Return how fine to cut an object, while `others` bytes wait for their turn."""
    return COARSE if others >= size * connections else FINE


def auto_part_size(size: int, limits: PartLimits, connections: int, grain: Grain = FINE) -> int:
    """Return a part size that nobody had to choose: whole MiB, within the limits."""
    share = size // (connections * PARTS_PER_CONNECTION)
    wanted = min(max(share, grain.part), AUTO_LARGEST)
    wanted = _up(wanted // MIB * MIB, limits.granularity)
    return min(
        max(wanted, _up(limits.min_size, limits.granularity)),
        limits.max_size // limits.granularity * limits.granularity,
    )


def _pays(size: int, preference: Preference, grain: Grain) -> bool:
    """Multipart pays from two parts on; an empty object never has parts."""
    if preference.threshold is not None:
        return size >= max(1, preference.threshold)
    if preference.part_size is not None:
        return size > preference.part_size
    return size >= grain.threshold


def _single(size: int, traits: Traits, limits: PartLimits | None) -> Plan:
    if size <= traits.max_put:
        return Plan(size)
    reason = "has no multipart uploads" if limits is None else "would need multipart, which is off"
    raise PlanError(
        f"{format_size(size)} cannot be stored in one PUT: the limit is"
        f" {format_size(traits.max_put)}, and the store {reason}"
    )


def _raised(size: int, limits: PartLimits, wanted: int, *, asked: int | None) -> Plan:
    """Return the plan with the smallest part size that keeps to the number of parts."""
    least = -(-size // limits.max_count)
    part_size = _up(_up(least, MIB), limits.granularity)
    if part_size > limits.max_size:
        part_size = _up(least, limits.granularity)
    if part_size > limits.max_size:
        raise PlanError(
            f"{format_size(size)} cannot be stored: {limits.max_count} parts of at most"
            f" {format_size(limits.max_size)} do not hold it"
        )
    return Plan(size, part_size, raised_from=wanted if asked is not None else None)


def _up(size: int, unit: int) -> int:
    return -(-size // unit) * unit
