"""What the store keeps: objects, uploads, parts; plain values that tests may look at and change.

`received` is what came over the wire and what checksums and ETags were taken of;
`data` is what is handed out. They differ only where a lie damaged the latter.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.faults.harness.digests import checksum_of, md5_hex

if TYPE_CHECKING:
    from tests.faults.harness.personality import Personality


@dataclass
class Stored:
    """An object. `checksum` is algorithm and text; `part_sizes` is empty for a single PUT."""

    key: str
    received: bytes
    data: bytes
    etag: str
    modified: float
    headers: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    checksum: tuple[str, str] | None = None
    checksum_type: str = "FULL_OBJECT"
    part_sizes: tuple[int, ...] = ()
    upload_id: str | None = None
    _default: str | None = None

    def known_checksum(self) -> tuple[str, str]:
        """Return the checksum given, or the one that Amazon adds where none was."""
        if self.checksum is None and self._default is None:
            self._default = checksum_of("crc64nvme", self.received)
        return self.checksum or ("crc64nvme", self._default or "")


@dataclass
class StoredPart:
    """A part; `began` orders attempts of one number by their beginning."""

    number: int
    received: bytes
    data: bytes
    etag: str
    modified: float
    began: int
    checksum: tuple[str, str] | None = None


@dataclass
class Upload:
    """An open upload; `born` is the moment it was created at, in the shelf's own counting."""

    id: str
    bucket: str
    key: str
    initiated: float
    born: int
    headers: dict[str, str]
    metadata: dict[str, str]
    algorithm: str | None = None
    checksum_type: str | None = None
    parts: dict[int, StoredPart] = field(default_factory=dict)
    in_flight: int = 0


@dataclass(frozen=True)
class Finished:
    """An upload that was completed: what was asked for, and what it was answered with."""

    bucket: str
    key: str
    parts: tuple[tuple[int, str], ...]
    body: bytes


class Shelf:
    """All of it, for all buckets."""

    def __init__(self, buckets: tuple[str, ...], personality: Personality, seed: int) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {name: {} for name in buckets}
        self.uploads: dict[str, Upload] = {}
        self.finished: dict[str, Finished] = {}
        self.touched: dict[tuple[str, str], int] = {}
        self._personality = personality
        self._random = random.Random(seed)
        self._count = 0

    def tick(self) -> int:
        """Return the next moment; moments order what happens, and are no time."""
        self._count += 1
        return self._count

    def keep(self, bucket: str, stored: Stored) -> None:
        """Put an object under its key."""
        self.buckets[bucket][stored.key] = stored
        self.touched[bucket, stored.key] = self.tick()

    def remove(self, bucket: str, key: str) -> None:
        """Delete an object, if it is there."""
        if self.buckets[bucket].pop(key, None) is not None:
            self.touched[bucket, key] = self.tick()

    def new_id(self) -> str:
        """Return an upload id: long, with characters that have to be encoded."""
        return f"{self._random.getrandbits(256):064x}.~_-{self._random.getrandbits(64):016x}"

    def etag_of(self, data: bytes, headers: dict[str, str]) -> str:
        """Return the ETag of an object or a part, without quotes."""
        if self._personality.random_etags:
            return f"{self._random.getrandbits(200):040x}"
        if self._personality.kms_etags or "x-amz-server-side-encryption" in headers:
            return hashlib.blake2b(data, digest_size=16).hexdigest()
        return md5_hex(data)

    def etag_of_parts(self, parts: list[StoredPart]) -> str:
        """Return the ETag of an object put together from parts."""
        if self._personality.random_etags:
            return f"{self._random.getrandbits(200):040x}"
        raw = b"".join(bytes.fromhex(part.etag) for part in parts)
        return f"{md5_hex(raw)}-{len(parts)}"
