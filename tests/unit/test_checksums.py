from __future__ import annotations

import base64
import hashlib

import pytest

from transfer.checksums import Algorithm, Checksum, checksum_of, combine, differ, new_digest

CHECK = b"123456789"


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        # The check values of the catalogue of parametrised CRC algorithms.
        (Algorithm.CRC32C, bytes.fromhex("e3069283")),
        (Algorithm.CRC32, bytes.fromhex("cbf43926")),
        (Algorithm.MD5, hashlib.md5(CHECK).digest()),
        (Algorithm.SHA256, hashlib.sha256(CHECK).digest()),
    ],
)
def test_known_answers(algorithm: Algorithm, digest: bytes):
    assert checksum_of(algorithm, CHECK) == Checksum(algorithm, digest)


@pytest.mark.parametrize("algorithm", Algorithm)
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


def test_hashes_do_not_combine():
    known = [(checksum_of(Algorithm.SHA256, CHECK), len(CHECK))]
    assert combine(known) is None


def test_nothing_combines_to_nothing():
    assert combine([]) is None


def test_different_crcs_do_not_combine():
    with pytest.raises(ValueError, match="do not combine"):
        combine([(checksum_of(a, CHECK), 9) for a in (Algorithm.CRC32, Algorithm.CRC32C)])
