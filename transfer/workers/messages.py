"""What a process and its workers tell each other, over a pair of sockets that nobody else has.

Flat tuples, because taking objects apart and putting them together again costs more than
the rest; framed by their length. Pickled, as keys to sign by are in there: that is no
format to be kept or sent anywhere.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from transfer.carrying import Arrival, File, Way
from transfer.checksums import Algorithm, Checksum
from transfer.model import Intent, ObjectInfo, Verified

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_PREFIX = 4


class Ready(NamedTuple):
    """A worker has begun to listen."""


class Know(NamedTuple):
    """How a store is reached from now on by `number`: a pickled `Batcher`."""

    number: int
    batcher: bytes

    def __repr__(self) -> str:
        """There are keys in it."""
        return f"<store {self.number}>"


class Carry(NamedTuple):
    """A load, under a number, between two stores that are known by theirs."""

    number: int
    source: int
    target: int
    way: tuple[bool, bool]
    intent: tuple[dict[str, str], str | None, str]
    files: list[tuple[str, int, str | None, str | None, str]]


class Stop(NamedTuple):
    """Bring a load to its end; `for_good`, nothing more of it is wanted."""

    number: int
    for_good: bool


class Moving(NamedTuple):
    """How far loads are: number, size and pulse of each."""

    loads: list[tuple[int, int, float]]


class Ended(NamedTuple):
    """What has arrived of a load and what has not; `trouble` is for people."""

    number: int
    size: int
    arrived: list[tuple[int, str, str, float]]
    left: list[int]
    trouble: str


Message: TypeAlias = Ready | Know | Carry | Stop | Moving | Ended
_KINDS: tuple[Any, ...] = (Ready, Know, Carry, Stop, Moving, Ended)
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def packed(message: Message) -> bytes:
    """Return a message as it is sent."""
    body = pickle.dumps((_NUMBERS[type(message)], *message), pickle.HIGHEST_PROTOCOL)
    return len(body).to_bytes(_PREFIX, "big") + body


class Unpacker:
    """Puts messages together from what arrives."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete."""
        self._data += data
        while len(self._data) >= _PREFIX:
            size = int.from_bytes(self._data[:_PREFIX], "big")
            if len(self._data) < _PREFIX + size:
                return
            body = bytes(self._data[_PREFIX : _PREFIX + size])
            del self._data[: _PREFIX + size]
            number, *fields = pickle.loads(body)  # noqa: S301 - from our own process
            message: Message = _KINDS[number](*fields)
            yield message


def carry(
    number: int, stores: tuple[int, int], way: Way, intent: Intent, files: Sequence[File]
) -> Carry:
    """Return the message for a load."""
    flat = [
        (info.key, info.size, info.version, str(info.checksum) if info.checksum else None, key)
        for info, key in files
    ]
    algorithm = intent.algorithm.value if intent.algorithm else None
    meant = (dict(intent.metadata), algorithm, intent.nonce)
    return Carry(number, *stores, (way.source_is_local, way.target_is_local), meant, flat)


def files_of(message: Carry) -> list[File]:
    """Return what is to be carried."""
    return [
        File(ObjectInfo(key, size, version, None, Checksum.parse(said) if said else None), new)
        for key, size, version, said, new in message.files
    ]


def intent_of(message: Carry) -> Intent:
    """Return what the objects are meant to be."""
    metadata, algorithm, nonce = message.intent
    known = Algorithm(algorithm) if algorithm else None
    return Intent(None, metadata=metadata, algorithm=known, nonce=nonce)


def ended(
    number: int, size: int, arrived: Iterable[Arrival], left: list[int], trouble: str
) -> Ended:
    """Return the message for the end of a load."""
    flat = [(a.number, a.checksum, a.verified.value, a.elapsed) for a in arrived]
    return Ended(number, size, flat, left, trouble)


def arrivals_of(message: Ended) -> list[Arrival]:
    """Return what has arrived."""
    return [
        Arrival(number, checksum, Verified(verified), elapsed)
        for number, checksum, verified, elapsed in message.arrived
    ]
