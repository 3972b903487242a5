"""What small objects need of stores and of the mover, to go one after the other in a thread.

An object of some kilobytes costs more in tasks and in hops between threads than in
bytes. These facets let one thread carry many, without the event loop in between;
who lacks them loses nothing but that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from transfer.checksums import Algorithm, Checksum
    from transfer.errors import TransferError
    from transfer.model import Intent, ObjectInfo
    from transfer.store import Mover, Request, Response, Store


class Interruptible(Protocol):
    """What a thread may be waiting for."""

    def interrupt(self) -> None:
        """Let the thread go, with an error; called from another one."""
        ...


class Interruption(Interruptible, Protocol):
    """What tells a thread to stop: `asked` is looked at between steps."""

    asked: bool

    def during(self, current: Interruptible) -> AbstractContextManager[None]:
        """Say what the thread is about to wait for; ConnectionLostError if it is to stop."""
        ...


class Quick(Protocol):
    """Facet of a mover: exchanges without bodies to speak of, many in one thread."""

    def reaches(self, url: str) -> bool:
        """Tell whether a thread can go there by itself: not where a proxy is in between."""
        ...

    def exchange_now(self, request: Request, interruption: Interruption) -> Response:
        """Do as `Mover.exchange` does, blocking; the body of the answer is always kept."""
        ...

    async def run(
        self, work: Callable[[], None], interruption: Interruption, moved: Callable[[], int]
    ) -> None:
        """Have a thread do something that makes exchanges; StalledError if `moved` stands still.

        When cancelled, the thread is interrupted, and waited for.
        """
        ...


def quick_of(mover: Mover) -> Quick | None:
    """Return the facet, where a mover has it."""
    return getattr(mover, "quick", None)


class BatchReader(Protocol):
    """Reads small objects one after the other, in one thread."""

    def read(self, info: ObjectInfo) -> tuple[bytes, Checksum | None]:
        """Return an object as it was listed, and its checksum if the store says one; blocks.

        SourceChangedError if it is not any more what was listed.
        """
        ...


class BatchWriter(Protocol):
    """Writes small objects one after the other, in one thread, visible whole or not at all.

    The checksums that it is given are by its `algorithm`; None is any.
    """

    @property
    def algorithm(self) -> Algorithm | None:
        """What the store checks by."""
        ...

    def write(self, key: str, data: bytes, checksum: Checksum) -> Checksum | None:
        """Write an object; return its checksum if the store says one. Blocks."""
        ...

    def finish(self) -> Mapping[str, TransferError]:
        """Make what was written last and be seen; return what of it could not. Blocks."""
        ...


class Batches(Protocol):
    """Facet: small objects by the many, at a small cost each.

    Nothing is tried again here, and nothing is found out: whatever is not plain
    sailing is raised, and the engine does it again the long way.
    """

    async def reader(self, interruption: Interruption) -> BatchReader | None:
        """Return a reader for one batch, None if that cannot be done here."""
        ...

    async def writer(self, intent: Intent, interruption: Interruption) -> BatchWriter | None:
        """Return a writer for one batch of objects that are all meant so, but for their size."""
        ...


def batches_of(store: Store) -> Batches | None:
    """Return the facet, where a store has it."""
    return getattr(store, "batches", None)
