"""Copies that a store makes by itself, from one of its objects to another: no byte comes here.

Tried where both ends are in one realm. A store that has no copies, or does not let
these credentials read the source from where the target is, is not asked again: then
the bytes are moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from transfer.errors import (
    AccessError,
    DamagedInTransitError,
    PreconditionError,
    RejectedError,
    SourceChangedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from transfer.model import Intent, ObjectInfo
    from transfer.store import Origin, Source

T = TypeVar("T")


class ServerCopies:
    """What the copies of one store know.

    `realm` is what a source must be in, `prefix` stands before its place in messages.
    `proved`: the store says afterwards what the content of a copy is, of its own knowledge.
    `refused` is what was learnt: that it makes none.
    """

    def __init__(self, realm: str, prefix: str, *, proved: bool) -> None:
        self.realm = realm
        self.refused = False
        self._prefix = prefix
        self._proved = proved

    def usable(self, source: Source) -> Origin | None:
        """Return what can be copied; None if the bytes have to be moved."""
        origin = source.origin
        if origin is None or origin.realm != self.realm or self.refused or not origin.span.size:
            return None
        # Without a version, parts of two objects could come together.
        return origin if origin.version else None

    def whole(self, source: Source, intent: Intent) -> Origin | None:
        """Return the object that can be copied in one call.

        That keeps the metadata of the source, and replaces what is there: where
        other metadata or a condition are asked for, the bytes are moved.
        """
        if intent.no_clobber or intent.metadata or (intent.must_verify and not self._proved):
            return None
        origin = self.usable(source)
        return origin if origin is not None and not origin.span.start else None

    def check_size(self, origin: Origin, found: ObjectInfo) -> ObjectInfo:
        """Return what a whole copy has become; DamagedInTransitError if it is not as long."""
        if found.size != origin.span.size:
            raise DamagedInTransitError(
                f"{self._prefix}{origin.place} has {origin.span.size} bytes, its copy {found.size}"
            )
        return found

    async def made(self, origin: Origin, copy: Awaitable[T]) -> T | None:
        """Return what the store says of a copy; None if it makes none."""
        try:
            said = await copy
        except PreconditionError:
            where = f"{self._prefix}{origin.place}"
            raise SourceChangedError(f"{where} was replaced while it was copied") from None
        except (AccessError, RejectedError, UnsupportedError):
            self.refused = True
            return None
        if origin.check is not None:
            await origin.check()  # not every server looks at the condition
        return said


def origin_place(bucket: str, key: str) -> str:
    """Return the place of an object in an `Origin`: what a bucket is called has no slash in it."""
    return f"{bucket}/{key}"
