"""Checksums as the S3 API reference names them, computed apart from the project's own code."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import TYPE_CHECKING

from crc32c import crc32c

from tests.faults.harness.crc64 import crc64nvme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FUNCTIONS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "crc32": (4, lambda data: zlib.crc32(data).to_bytes(4, "big")),
    "crc32c": (4, lambda data: crc32c(data).to_bytes(4, "big")),
    "crc64nvme": (8, crc64nvme),
    "sha1": (20, lambda data: hashlib.sha1(data).digest()),
    "sha256": (32, lambda data: hashlib.sha256(data).digest()),
}
ALGORITHMS = tuple(_FUNCTIONS)
# Hashes of parts do not combine; CRC64NVME is defined for whole objects only.
FULL_OBJECT = {"crc32", "crc32c", "crc64nvme"}
COMPOSITE = {"crc32", "crc32c", "sha1", "sha256"}


def digest_of(algorithm: str, data: bytes) -> bytes:
    """Return the raw digest."""
    return _FUNCTIONS[algorithm][1](data)


def checksum_of(algorithm: str, data: bytes) -> str:
    """Return the digest as headers have it."""
    return base64.b64encode(digest_of(algorithm, data)).decode()


def composite_of(algorithm: str, texts: Iterable[str]) -> str:
    """Return the checksum of the checksums of parts, without the number of parts behind."""
    return checksum_of(algorithm, b"".join(base64.b64decode(text) for text in texts))


def is_valid(algorithm: str, text: str) -> bool:
    """Tell whether a text can be such a checksum: canonical base64 of the right length."""
    raw = from_base64(text)
    return raw is not None and len(raw) == _FUNCTIONS[algorithm][0]


def from_base64(text: str) -> bytes | None:
    """Decode strictly; None for what an encoder would not have written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def md5_hex(data: bytes) -> str:
    """Return the MD5 in hexadecimal digits, as ETags have it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_base64(data: bytes) -> str:
    """Return the MD5 as headers have it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
