"""Counting and hashing the bytes of one attempt, and adding attempts up.

Whoever has the bytes in hand tells its tally; nobody publishes events per
chunk. A progress display and a watchdog read the counters at their own pace. An
attempt that fails takes its bytes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from transfer.checksums import new_digest

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from transfer.checksums import Algorithm, Checksum, Digest


class Tally:
    """Bytes of one attempt, with their checksum if an algorithm is given.

    Exactly one thread moves an attempt's bytes at a time, so no lock is needed.
    """

    __slots__ = ("_algorithm", "_digest", "_known", "_meter", "moved")

    def __init__(self, algorithm: Algorithm | None = None, meter: Meter | None = None) -> None:
        self.moved = 0
        self._algorithm = algorithm
        self._known: Checksum | None = None
        self._digest: Digest | None = new_digest(algorithm) if algorithm else None
        self._meter = meter

    @property
    def algorithm(self) -> Algorithm | None:
        """What the checksum is taken by."""
        return self._algorithm

    def adopt(self, checksum: Checksum) -> None:
        """Take over a checksum that is known already: the bytes are only counted from now on."""
        self._known = checksum
        self._digest = None

    def restart(self) -> None:
        """Forget everything: the bytes come again from the start."""
        self.moved = 0
        if self._digest is not None and self._algorithm is not None:
            self._digest = new_digest(self._algorithm)

    @property
    def hashes(self) -> bool:
        """Whether the bytes have to be seen, and not only counted."""
        return self._digest is not None

    def update(self, data: Buffer) -> None:
        """Count and hash the next bytes; a memoryview must be of bytes."""
        self.hash(data)
        self.moved += len(memoryview(data))

    def hash(self, data: Buffer) -> None:
        """Hash bytes that `advance` counts."""
        if self._digest is not None:
            self._digest.update(data)

    def advance(self, count: int) -> None:
        """Count bytes that are hashed apart, or not at all."""
        self.moved += count

    def skip(self, count: int) -> None:
        """Count bytes that nobody here has seen: nothing is known of the content any more."""
        self._digest = self._known = None
        self.moved += count

    @property
    def checksum(self) -> Checksum | None:
        """The checksum of all bytes so far."""
        return self._digest.finish() if self._digest else self._known

    def __enter__(self) -> Self:
        if self._meter is not None:
            self._meter.live.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._meter is not None:
            self._meter.live.discard(self)
            if kind is None:
                self._meter.settled += self.moved


class Meter:
    """Bytes of all attempts of a transfer: the settled ones and those under way.

    `there` of the settled ones did not move now: a former run has left them.
    """

    __slots__ = ("live", "settled", "there")

    def __init__(self) -> None:
        self.settled = 0
        self.there = 0
        self.live: set[Tally] = set()

    @property
    def moved(self) -> int:
        """Bytes that count now; falls when an attempt fails."""
        return self.settled + sum(tally.moved for tally in self.live)

    @property
    def travelled(self) -> int:
        """Those of them that this run has moved."""
        return self.moved - self.there
