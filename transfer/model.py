"""The nouns: values that every layer speaks of and nobody changes.

All are frozen and hold no open thing, no URL and no credential, so that they
can be written down, sent to another machine and used there: resume, the
coordinator and many clients on one object are then the same code.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.checksums import Algorithm, Checksum

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of bytes: `start` is in it, `stop` is not."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        """Raise ValueError for a range that runs backwards or starts below zero."""
        if not 0 <= self.start <= self.stop:
            msg = f"no span from {self.start} to {self.stop}"
            raise ValueError(msg)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.start}-{self.stop}"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an object: numbers count from 1 without gaps."""

    number: int
    span: Span


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What a planner must know of a store's multipart uploads; sizes in bytes.

    `min_size` binds all parts but the last; `max_object` is what the store can
    hold as one object; part sizes are multiples of `granularity`.
    """

    min_size: int
    max_size: int
    max_count: int
    max_object: int
    granularity: int = 1


@dataclass(frozen=True, slots=True)
class Traits:
    """Facts about a store that the engine plans with.

    `max_put` is the largest single PUT in bytes. `connections` is how many
    operations the store takes at once (None: as many as there are).
    `buffer` is what one operation under way may hold in memory, in bytes.
    `concurrent_reads` tells whether ranges of one object can be read in parallel.
    `local` means that bytes written or read do not leave this machine.
    `range_size` is what reads are to be cut into, where somebody set that for
    this store alone. `copies_whole` is the realm (`Origin`) from which the store
    copies objects of any size by itself, in one piece. `keeps_metadata` tells
    whether an object can have that of its `Intent`.
    """

    max_put: int
    connections: int | None = None
    buffer: int = 1 << 20
    concurrent_reads: bool = True
    local: bool = False
    range_size: int | None = None
    copies_whole: str = ""
    keeps_metadata: bool = False


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a store says of an object.

    `version` is an ETag, a generation or a file's identity: compared, never
    interpreted. `modified` is in seconds since 1970, by the store's clock.
    `checksum` covers the whole object, where one is known.
    """

    key: str
    size: int
    version: str | None = None
    modified: float | None = None
    checksum: Checksum | None = None
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `token` asks for the next, None is the end.

    `folders` are the common prefixes (each with its slash), when asked for.
    """

    objects: tuple[ObjectInfo, ...]
    folders: tuple[str, ...] = ()
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """What an upload is going to be, told to the store when it begins.

    `size` is None only where the sender's protocol does not say it (MLflow's);
    `part_size` is None for a single PUT too. `checksum` is what the whole must
    have, where that is known before; `algorithm` is the one the sender would
    give each part a checksum of, if the store checks it. `no_clobber` asks the store to fail with
    ExistsError rather than replace an object. `nonce` (32 hexadecimal digits)
    names this one intention: asked again with it, a store need not open twice.
    `owner` says who will be at it, to whoever asks; `take_over` takes an upload
    from an owner that is alive. `must_verify`: what cannot be compared with what the
    store has then is of no use. `may_have_holes`: it is copied from a file on this
    machine, whose holes take no room.
    """

    size: int | None
    part_size: int | None = None
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    checksum: Checksum | None = None
    algorithm: Algorithm | None = None
    no_clobber: bool = False
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    owner: str = ""
    take_over: bool = False
    must_verify: bool = False
    may_have_holes: bool = False


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that a store has opened; `id` is the store's own token.

    The part size is fixed here for good: a resumed upload cuts as the first run
    did. Sizes are None where the sender never said them. With an `algorithm`,
    the store checks each part's checksum, which is then known before it is sent.
    """

    key: str
    id: str
    size: int | None
    part_size: int | None
    algorithm: Algorithm | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A store's word that it has a part; `etag` is opaque and kept verbatim."""

    number: int
    size: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a finished object must be; the store's side of the upload compares."""

    size: int | None
    checksum: Checksum | None = None
    no_clobber: bool = False


class Verified(StrEnum):
    """How much is proved about an object that arrived.

    `content`: a digest of the whole agreed, end to end. `parts`: the digest of
    each part did. `size`: nothing better than the length could be compared.
    """

    CONTENT = "content"
    PARTS = "parts"
    SIZE = "size"
