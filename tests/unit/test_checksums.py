from __future__ import annotations

import base64
import hashlib
import sys

import pytest

from transfer import checksums
from transfer.checksums import (
    COMBINABLE,
    Algorithm,
    Checksum,
    available,
    checksum_of,
    combine,
    differ,
    new_digest,
)
from transfer.errors import MissingExtraError

CHECK = b"123456789"
needs_crc64 = pytest.mark.skipif(
    not available(Algorithm.CRC64NVME), reason="CRC-64/NVME needs the module awscrt"
)
COMPUTED = [
    pytest.param(algorithm, marks=needs_crc64 if algorithm is Algorithm.CRC64NVME else [])
    for algorithm in Algorithm
]


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        # The check values of the catalogue of parametrised CRC algorithms.
        (Algorithm.CRC32C, bytes.fromhex("e3069283")),
        (Algorithm.CRC32, bytes.fromhex("cbf43926")),
        pytest.param(Algorithm.CRC64NVME, bytes.fromhex("ae8b14860a799888"), marks=needs_crc64),
        (Algorithm.MD5, hashlib.md5(CHECK).digest()),
        (Algorithm.SHA1, hashlib.sha1(CHECK).digest()),
        (Algorithm.SHA256, hashlib.sha256(CHECK).digest()),
    ],
)
def test_known_answers(algorithm: Algorithm, digest: bytes):
    assert checksum_of(algorithm, CHECK) == Checksum(algorithm, digest)


@pytest.mark.parametrize("algorithm", COMPUTED)
def test_bytes_in_pieces_give_the_same(algorithm: Algorithm):
    digest = new_digest(algorithm)
    for piece in (CHECK[:2], memoryview(CHECK)[2:5], bytearray(CHECK[5:])):
        digest.update(piece)
    assert digest.finish() == checksum_of(algorithm, CHECK)
    assert digest.finish() == digest.finish()


@pytest.mark.parametrize("algorithm", Algorithm)
def test_digest_of_another_length_is_refused(algorithm: Algorithm):
    with pytest.raises(ValueError, match="bytes, not 5"):
        Checksum(algorithm, b"12345")


def test_text_is_what_stores_write():
    checksum = checksum_of(Algorithm.CRC32C, CHECK)
    assert checksum.base64 == base64.b64encode(checksum.value).decode()
    assert str(checksum) == f"crc32c:{checksum.base64}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crc32c",
        "crc32c:",
        "crc32c:****",
        "crc32c:AAAA",
        "crc31:AAAAAA==",
        "md5:AAAAAA==",
        "crc32c:AAAAAA",
        "crc32c:AA AAAA==",
        "crc32c:ÄÄÄÄÄÄ==",
        "CRC32C:AAAAAA==",
    ],
)
def test_text_that_is_no_checksum_is_refused(text: str):
    with pytest.raises(ValueError, match=r".+"):
        Checksum.parse(text)


def test_only_comparable_checksums_differ():
    one = checksum_of(Algorithm.CRC32, b"one")
    other = checksum_of(Algorithm.CRC32, b"other")
    elsewhere = checksum_of(Algorithm.CRC32C, b"other")
    assert differ(one, other)
    assert not differ(one, one)
    assert not differ(one, elsewhere)
    assert not differ(one, None)
    assert not differ(None, one)
    assert not differ(None, None)


def test_parts_combine_to_the_whole():
    parts = [b"123", b"", b"456789"]
    known = [(checksum_of(Algorithm.CRC32C, part), len(part)) for part in parts]
    assert combine(known) == checksum_of(Algorithm.CRC32C, CHECK)
    assert combine(reversed(known)) != checksum_of(Algorithm.CRC32C, CHECK)


def test_a_tebibyte_combines_to_the_same_however_it_is_cut():
    doubled = piece = checksum_of(Algorithm.CRC32, bytes(1 << 20)), 1 << 20
    for _ in range(20):
        doubled = _joined([doubled, doubled])
    gibibyte = _joined([piece] * 1024)
    assert _joined([gibibyte] * 1024) == doubled


def _joined(parts: list[tuple[Checksum, int]]) -> tuple[Checksum, int]:
    checksum = combine(parts)
    assert checksum is not None
    return checksum, sum(size for _, size in parts)


def crc64(data: bytes) -> Checksum:
    """CRC-64/NVME by its definition, bit by bit."""
    value = (1 << 64) - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
    return Checksum(Algorithm.CRC64NVME, (value ^ ((1 << 64) - 1)).to_bytes(8, "big"))


def test_checksums_of_64_bits_combine_even_where_they_cannot_be_computed():
    assert crc64(CHECK).value.hex() == "ae8b14860a799888"
    for cut in range(len(CHECK) + 1):
        known = [(crc64(part), len(part)) for part in (CHECK[:cut], CHECK[cut:])]
        assert combine(known) == crc64(CHECK)


def test_checksum_whose_library_is_missing_gives_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "awscrt.checksums", None)
    with pytest.raises(MissingExtraError) as caught:
        new_digest(Algorithm.CRC64NVME)
    assert caught.value.hint == "pip install 'multipart-transfer[crc64]'"


@pytest.mark.parametrize("found", [True, False])
def test_only_one_checksum_may_be_unavailable(monkeypatch: pytest.MonkeyPatch, found: bool):
    monkeypatch.setattr(checksums, "find_spec", lambda _: object() if found else None)
    missing = {algorithm for algorithm in Algorithm if not available(algorithm)}
    assert missing == (set() if found else {Algorithm.CRC64NVME})


def test_exactly_crcs_combine():
    assert {a for a in Algorithm if a.value.startswith("crc")} == COMBINABLE


@pytest.mark.parametrize("algorithm", sorted(set(Algorithm) - COMBINABLE))
def test_hashes_do_not_combine(algorithm: Algorithm):
    known = [(checksum_of(algorithm, CHECK), len(CHECK))]
    assert combine(known) is None


def test_nothing_combines_to_nothing():
    assert combine([]) is None


def test_different_crcs_do_not_combine():
    with pytest.raises(ValueError, match="do not combine"):
        combine([(checksum_of(a, CHECK), 9) for a in (Algorithm.CRC32, Algorithm.CRC32C)])
