"""What small objects need of stores and of the mover, to be carried by the many in one thread.

A small object costs more in tasks and in hops between threads than in bytes. With
these facets one thread carries many, over many connections: each batch is a generator
that goes on until it has to wait, and the thread goes on with another. Who lacks them
loses nothing but that.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from transfer.checksums import Algorithm, Checksum
    from transfer.errors import TransferError
    from transfer.model import Intent, ObjectInfo
    from transfer.store import Mover, Request, Response, Store
    from transfer.tally import Tally

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ready:
    """To wait until a socket can be read from, or written to."""

    sock: socket.socket
    writing: bool = False


class Aside(Generic[T]):
    """To wait for something that blocks, while another thread does it; it is never broken off.

    `steady`: nor is this a place to stop at when it is done.
    """

    def __init__(self, action: Callable[[], T], *, steady: bool = False) -> None:
        self.steady = steady
        self._action = action
        self._found: T | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it."""
        try:
            self._found = self._action()
        except BaseException as error:  # noqa: BLE001 - whoever has waited gets it
            self._error = error

    def result(self) -> T:
        """Return what it returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return cast("T", self._found)  # it has been run

    def drop(self, close: Callable[[T], None]) -> None:
        """Close what it returned, which nobody wants any more."""
        if self._found is not None:
            close(self._found)


# Something to do: it yields what it has to wait for, and ends with a result.
Steps: TypeAlias = Generator[Ready | Aside[Any], None, T]


def aside(action: Callable[[], T], *, steady: bool = False) -> Steps[T]:
    """Have another thread do something that blocks; see `Aside`."""
    waiting = Aside(action, steady=steady)
    yield waiting
    return waiting.result()


class Exchanges(Protocol):
    """Exchanges whose bodies fit into memory, many in one thread."""

    def exchange_in_steps(
        self, request: Request, tally: Tally, *, into: memoryview | None = None
    ) -> Steps[Response]:
        """Do as `Mover.exchange` does; `tally` counts what takes its time on the line.

        The body of the answer is kept, or if it is a success put `into` memory, which it
        has to fill.
        """
        ...


class Errand(Protocol):
    """Something that is on its way, elsewhere."""

    @property
    def future(self) -> Future[None]:
        """What is done when it is."""
        ...

    def interrupt(self) -> None:
        """Have it come to its end soon."""
        ...


class Quick(Exchanges, Protocol):
    """Facet of a mover: the thread that does many small things by turns."""

    def reaches(self, url: str) -> bool:
        """Tell whether a thread can go there by itself: not where a proxy is in between."""
        ...

    def submit(self, steps: Steps[None]) -> Errand:
        """Have the thread do something.

        When interrupted, ConnectionLostError is raised where the steps wait.
        """
        ...

    async def wait(self, errand: Errand, moved: Callable[[], float]) -> None:
        """Wait for the end of something; StalledError if `moved` stands still.

        Then, and when cancelled, it is interrupted and its end waited for, for a while.
        """
        ...


def quick_of(mover: Mover) -> Quick | None:
    """Return the facet, where a mover has it."""
    return getattr(mover, "quick", None)


class BatchReader(Protocol):
    """Reads small objects, one after the other."""

    def read(
        self, info: ObjectInfo, room: memoryview, tally: Tally
    ) -> Steps[tuple[memoryview, Checksum | None]]:
        """Return an object as it was listed, and its checksum if the store says one.

        It is put into `room`, which is larger than the object; `tally` counts as above.
        SourceChangedError if it is not any more what was listed.
        """
        ...


class BatchWriter(Protocol):
    """Writes small objects, one after the other, visible whole or not at all.

    The checksums that it is given are by its `algorithm`; None is any.
    """

    @property
    def algorithm(self) -> Algorithm | None:
        """What the store checks by."""
        ...

    def write(
        self, key: str, data: memoryview, checksum: Checksum, tally: Tally
    ) -> Steps[Checksum | None]:
        """Write an object; return its checksum if the store says one."""
        ...

    def finish(self, wanted: Callable[[], bool]) -> Steps[Mapping[str, TransferError]]:
        """Make what was written last and be seen, if it is wanted; return what of it could not."""
        ...


class Batcher(Protocol):
    """What it takes to carry small objects of a store, by any thread of any process.

    Best if it can be pickled: then worker processes have one each, which is used for
    many batches. With the keys to sign by in it, it is a secret.
    """

    def reader(self, exchanges: Exchanges) -> BatchReader:
        """Return a reader for one batch."""
        ...

    def writer(self, exchanges: Exchanges, intent: Intent) -> BatchWriter:
        """Return a writer for one batch of objects that are all meant so, but for their size."""
        ...

    def clear(self, intent: Intent, keys: Iterable[str]) -> None:
        """Take away what such a writer has left whose process has died; blocks."""
        ...


class Batches(Protocol):
    """Facet: small objects by the many, at a small cost each.

    Nothing is tried again here, and nothing is found out: whatever is not plain
    sailing is raised, and the engine does it again the long way.
    """

    async def batcher(self) -> Batcher | None:
        """Return what carries now, None if that cannot be done here.

        The same one, until something has changed.
        """
        ...


def batches_of(store: Store) -> Batches | None:
    """Return the facet, where a store has it."""
    return getattr(store, "batches", None)
