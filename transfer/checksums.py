"""Checksums of parts, and of objects put together from parts.

CRCs combine: from the CRC of each part and its length follows the CRC of the
whole, without another look at the bytes. That is why a CRC is the default: the
client hashes each part once, and the object's checksum is free. The arithmetic
is that of polynomials over GF(2) modulo the CRC's polynomial, in the reflected
bit order these CRCs use (Mark Adler, `crc32_combine` of zlib).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Protocol, cast

from transfer.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer


class Algorithm(StrEnum):
    """The checksums the engine computes; values are the names used on the wire."""

    CRC32C = "crc32c"
    CRC32 = "crc32"
    CRC64NVME = "crc64nvme"
    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"


# Reflected polynomials: Castagnoli (RFC 9260 appendix A), IEEE 802.3, NVM Express
# (base specification 2.0, "64b CRC").
_POLYNOMIALS = {
    Algorithm.CRC32C: 0x82F63B78,
    Algorithm.CRC32: 0xEDB88320,
    Algorithm.CRC64NVME: 0x9A6C9329AC4BC9B5,
}
# The checksum of the whole follows from those of the parts.
COMBINABLE = frozenset(_POLYNOMIALS)
_LENGTHS = {
    Algorithm.CRC32C: 4,
    Algorithm.CRC32: 4,
    Algorithm.CRC64NVME: 8,
    Algorithm.MD5: 16,
    Algorithm.SHA1: 20,
    Algorithm.SHA256: 32,
}
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A digest and the algorithm that made it; `value` is big-endian bytes."""

    algorithm: Algorithm
    value: bytes

    def __post_init__(self) -> None:
        """Raise ValueError where the digest has the wrong length."""
        if len(self.value) != _LENGTHS[self.algorithm]:
            msg = f"a {self.algorithm} has {_LENGTHS[self.algorithm]} bytes, not {len(self.value)}"
            raise ValueError(msg)

    @property
    def base64(self) -> str:
        """The digest as stores write it in headers."""
        return base64.b64encode(self.value).decode()

    @classmethod
    def from_base64(cls, algorithm: Algorithm, text: str) -> Checksum:
        """Read a digest from a header; raises ValueError."""
        try:
            return cls(algorithm, base64.b64decode(text, validate=True))
        except binascii.Error as error:
            msg = f"{text[:64]!r} is not base64"
            raise ValueError(msg) from error

    @property
    def shown(self) -> str:
        """For people: "sha256:" and what `sha256sum` would print."""
        return f"{self.algorithm}:{self.value.hex()}"

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.base64}"

    @classmethod
    def parse(cls, text: str) -> Checksum:
        """Read "crc32c:AAAAAA==", the form `str()` gives, or "crc32c:00000000".

        No digest has the same length in both, so none is mistaken. Raises ValueError.
        """
        name, _, value = text.partition(":")
        algorithm = Algorithm(name)
        if len(value) == 2 * _LENGTHS[algorithm] and _HEXADECIMAL.fullmatch(value):
            return cls(algorithm, bytes.fromhex(value))
        return cls.from_base64(algorithm, value)


class Digest(Protocol):
    """A running checksum: bytes in, `Checksum` out."""

    def update(self, data: Buffer, /) -> None:
        """Take in the next bytes."""

    def finish(self) -> Checksum:
        """Return the checksum of all bytes so far."""
        ...


class _Crc:
    __slots__ = ("_algorithm", "_step", "_value")

    def __init__(self, algorithm: Algorithm, step: Callable[[Buffer, int], int]) -> None:
        self._algorithm = algorithm
        self._step = step
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._step(data, self._value)

    def finish(self) -> Checksum:
        length = _LENGTHS[self._algorithm]
        return Checksum(self._algorithm, self._value.to_bytes(length, "big"))


class _Hash:
    __slots__ = ("_algorithm", "_hash")

    def __init__(self, algorithm: Algorithm) -> None:
        self._algorithm = algorithm
        self._hash = hashlib.new(algorithm.value, usedforsecurity=False)

    def update(self, data: Buffer, /) -> None:
        self._hash.update(data)

    def finish(self) -> Checksum:
        return Checksum(self._algorithm, self._hash.digest())


def available(algorithm: Algorithm) -> bool:
    """Tell whether checksums by this algorithm can be computed here."""
    return algorithm is not Algorithm.CRC64NVME or find_spec("awscrt") is not None


def new_digest(algorithm: Algorithm) -> Digest:
    """Start a running checksum."""
    if algorithm is Algorithm.CRC32C:
        return _Crc(algorithm, _crc32c())
    if algorithm is Algorithm.CRC32:
        return _Crc(algorithm, zlib.crc32)
    if algorithm is Algorithm.CRC64NVME:
        return _Crc(algorithm, _crc64nvme())
    return _Hash(algorithm)


@cache
def _crc32c() -> Callable[[Buffer, int], int]:
    """Return the function of the library.

    Its package looks for its own version when it is imported, which takes longer than to
    send many a file. So what it holds is taken by itself, if it is what it is taken for.
    """
    package = find_spec("crc32c")
    places = package.submodule_search_locations if package else None
    found = PathFinder.find_spec("_crc32c", places) if places else None
    if found is not None and found.loader is not None:
        module = module_from_spec(found)
        found.loader.exec_module(module)
        alone: Callable[[Buffer, int], int] | None = getattr(module, "crc32c", None)
        if alone is not None and alone(b"123456789", 0) == 0xE3069283:
            return alone
    from crc32c import crc32c  # noqa: PLC0415 - only where it has changed

    return crc32c


def checksum_of(algorithm: Algorithm, data: Buffer) -> Checksum:
    """Return the checksum of bytes at hand."""
    digest = new_digest(algorithm)
    digest.update(data)
    return digest.finish()


def differ(one: Checksum | None, other: Checksum | None) -> bool:
    """Tell whether two checksums contradict each other: both known, comparable, not equal."""
    if one is None or other is None or one.algorithm is not other.algorithm:
        return False
    return one != other


def combine(parts: Iterable[tuple[Checksum, int]]) -> Checksum | None:
    """Return the checksum of parts (each with its length in bytes) in this order.

    None where nothing is given or the algorithm is no CRC: a hash of the whole
    does not follow from hashes of its parts. Raises ValueError when algorithms
    are mixed.
    """
    total: Checksum | None = None
    for checksum, size in parts:
        polynomial = _POLYNOMIALS.get(checksum.algorithm)
        if polynomial is None:
            return None
        if total is None:
            total = checksum
            continue
        if total.algorithm is not checksum.algorithm:
            msg = f"parts with {total.algorithm} and {checksum.algorithm} do not combine"
            raise ValueError(msg)
        length = len(total.value)
        shift = _shift(size, polynomial, 8 * length)
        before = int.from_bytes(total.value, "big")
        crc = _multiply(shift, before, polynomial, 8 * length)
        crc ^= int.from_bytes(checksum.value, "big")
        total = Checksum(checksum.algorithm, crc.to_bytes(length, "big"))
    return total


def _crc64nvme() -> Callable[[Buffer, int], int]:
    try:
        from awscrt.checksums import crc64nvme  # noqa: PLC0415 - large, and seldom needed
    except ModuleNotFoundError:
        raise MissingExtraError(
            "CRC-64/NVME needs the module awscrt", hint="pip install 'multipart-transfer[crc64]'"
        ) from None
    return cast("Callable[[Buffer, int], int]", crc64nvme)


def _multiply(a: int, b: int, polynomial: int, width: int) -> int:
    """Return a(x) * b(x) modulo the polynomial; the highest bit is the coefficient of x^0."""
    product = 0
    bit = 1 << (width - 1)
    while a:
        if a & bit:
            product ^= b
            a ^= bit
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
        bit >>= 1
    return product


# All parts of an object but the last have one length: two entries would do.
@lru_cache(maxsize=64)
def _shift(size: int, polynomial: int, width: int) -> int:
    """Return x^(8 * size) modulo the polynomial: what `size` more bytes do to a CRC."""
    result = 1 << (width - 1)
    power = 1 << (width - 2)
    exponent = 8 * size
    while exponent:
        if exponent & 1:
            result = _multiply(power, result, polynomial, width)
        power = _multiply(power, power, polynomial, width)
        exponent >>= 1
    return result
