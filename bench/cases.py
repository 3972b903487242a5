"""What is measured, as values: loads, cases, and the order of runs.

A run of the benchmark is a list of cases (this load, up, over TLS); in each,
every peer has its turn before any has its second, so that what changes on the
machine meanwhile changes for all.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from transfer.sizes import GIB, KIB, MIB, parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MANY_CONNECTIONS = 32
CONNECTIONS = 8
PART_SIZE = 16 * MIB


@dataclass(frozen=True, slots=True)
class Load:
    """Files that are moved in one go, with what every peer is told about how; bytes.

    With 0 connections and part size 0, each does as it does if nobody says.
    """

    count: int
    size: int
    connections: int = CONNECTIONS
    part_size: int = PART_SIZE

    @property
    def name(self) -> str:
        return f"{self.count}x{short_size(self.size)}"

    @property
    def label(self) -> str:
        """The name, and what is not as usual in it."""
        if self.by_defaults:
            return f"{self.name} defaults"
        usual = usual_connections(self.count, self.size)
        words = [self.name]
        words += [f"c{self.connections}"] if self.connections != usual else []
        words += [f"p{short_size(self.part_size)}"] if self.part_size != PART_SIZE else []
        return " ".join(words)

    @property
    def by_defaults(self) -> bool:
        """Whether nobody is told how many connections to make, and where to cut."""
        return not self.connections

    @property
    def bytes(self) -> int:
        return self.count * self.size

    @property
    def many(self) -> bool:
        return self.count > 1

    @property
    def small(self) -> bool:
        """Whether requests dominate, so that costs are counted by file and not by byte."""
        return self.size < MIB


@dataclass(frozen=True, slots=True)
class Case:
    """One table: a load in one direction over one transport."""

    load: Load
    upload: bool
    tls: bool
    congestion: str = ""

    @property
    def name(self) -> str:
        words = [self.load.label, "up" if self.upload else "down", self.scheme, self.congestion]
        return " ".join(filter(None, words))

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"


def short_size(size: int) -> str:
    """Return a size as people type it: 16KiB, 2GiB, 1536."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)


def usual_connections(count: int, size: int) -> int:
    """Return how many connections a load gets if nobody says: small files need more."""
    return MANY_CONNECTIONS if count > 1 and size < MIB else CONNECTIONS


def parse_load(text: str) -> Load:
    """Return the load in "100x20MiB" or "2GiB"; ValueError if it is none."""
    match = re.fullmatch(r"(?:(\d+)x)?(.+)", text.strip())
    count, size = (int(match[1] or 1), parse_size(match[2])) if match else (0, 0)
    if count < 1 or size < 1:
        msg = f"{text!r} is no load: write COUNTxSIZE, such as 100x20MiB"
        raise ValueError(msg)
    return Load(count, size, usual_connections(count, size))


QUICK = [Load(1, 256 * MIB), Load(1000, 16 * KIB, MANY_CONNECTIONS), Load(10, 20 * MIB)]
# The two of 1 and 4 GiB give the slope: costs per GiB without start-up.
FULL = [
    Load(1, GIB),
    Load(1, 2 * GIB),
    Load(1, 4 * GIB),
    Load(10_000, 16 * KIB, MANY_CONNECTIONS),
    Load(100, 20 * MIB),
]


def series(name: str, base: Load) -> list[Load]:
    """Return loads that differ in one thing only; KeyError for an unknown series."""
    made = {
        "size": [replace(base, size=size) for size in (MIB, 16 * MIB, 256 * MIB, GIB, 4 * GIB)],
        "parts": [replace(base, part_size=size * MIB) for size in (5, 8, 16, 32, 64)],
        "connections": [replace(base, connections=number) for number in (1, 2, 4, 8, 16, 32)],
        "files": [Load(n, 16 * KIB, MANY_CONNECTIONS) for n in (10, 100, 1000, 10_000)],
    }
    return made[name]


def cases(
    loads: Sequence[Load],
    directions: Sequence[str],
    transports: Sequence[str],
    congestions: Sequence[str] = ("",),
) -> list[Case]:
    """Return all combinations, loads last to change: their files are made once each."""
    return [
        Case(load, direction == "up", transport == "tls", congestion)
        for load, congestion, transport, direction in itertools.product(
            dict.fromkeys(loads), congestions, transports, directions
        )
    ]


def turns(peers: Sequence[str], repeats: int) -> Iterator[tuple[int, str]]:
    """Yield (repeat, peer): A B C A B C; one more peer begins each time, or one would always."""
    for repeat in range(repeats):
        start = repeat % max(1, len(peers))
        for peer in [*peers[start:], *peers[:start]]:
            yield repeat, peer
