"""What a network does to a connection, as values for `ChaosProxy`.

`way` is the direction of the bytes: REQUEST from client to server, RESPONSE back.
`at` counts bytes from the beginning of that direction, or, with `message` n, from
the beginning of its nth HTTP message; the fault takes effect when exactly so many
have passed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Way: TypeAlias = Literal["request", "response"]
REQUEST: Way = "request"
RESPONSE: Way = "response"


@dataclass(frozen=True)
class Fault:
    """Base of what happens at one byte of one direction."""

    at: int = 0
    way: Way = REQUEST
    message: int | None = None


class Reset(Fault):
    """Both sides get a reset (RST)."""


class Close(Fault):
    """Both sides are closed in good order (FIN)."""


class Blackhole(Fault):
    """From here on, bytes of both directions are taken and never arrive; all stays open."""


class HalfOpen(Fault):
    """From here on, nothing is read any more; all stays open."""


@dataclass(frozen=True)
class Flip(Fault):
    """The byte at this place has one bit changed."""

    bit: int = 0


@dataclass(frozen=True)
class Pause(Fault):
    """Nothing passes for a while; then it goes on."""

    seconds: float = 0.01


@dataclass(frozen=True)
class DropLast:
    """The last byte of a message is missing, and the connection is closed behind it.

    The message has a Content-Length, or is chunked.
    """

    way: Way = RESPONSE
    message: int = 1


@dataclass(frozen=True)
class Duplicate:
    """A message arrives twice; `garbage` is put between."""

    way: Way = RESPONSE
    message: int = 1
    garbage: bytes = b""


@dataclass(frozen=True)
class Latency:
    """Each message of a direction begins so much later."""

    seconds: float
    way: Way = RESPONSE


@dataclass(frozen=True)
class Rate:
    """So many bytes pass in a second, a slice at a time (default: a fiftieth of that)."""

    per_second: float
    way: Way = REQUEST
    slice: int | None = None


@dataclass(frozen=True)
class Slices:
    """Bytes pass in pieces of `size`, each after a pause."""

    size: int = 1
    way: Way = REQUEST
    pause: float = 0.0


@dataclass(frozen=True)
class Refused:
    """The connection is reset as soon as it is there; the server never sees it."""


AnyFault: TypeAlias = Fault | DropLast | Duplicate | Latency | Rate | Slices | Refused


@dataclass
class Seeded:
    """Faults by chance, the same for the same seed: at a rate, for each connection one.

    A fault of the menu with `at` -1 gets a random place among the first `span`
    bytes. `most` connections are harmed at all.
    """

    seed: int
    rate: float
    menu: Sequence[AnyFault]
    span: int = 64 * 1024
    most: int | None = None
    harmed: list[int] = field(default_factory=list)

    def __call__(self, connection: int) -> Sequence[AnyFault]:
        """Return the faults of a connection; they count from 1."""
        dice = random.Random(f"{self.seed} {connection}")
        if dice.random() >= self.rate or (self.most is not None and len(self.harmed) >= self.most):
            return ()
        self.harmed.append(connection)
        chosen = dice.choice(self.menu)
        if isinstance(chosen, Fault) and chosen.at < 0:
            chosen = replace(chosen, at=dice.randrange(self.span))
        return (chosen,)
