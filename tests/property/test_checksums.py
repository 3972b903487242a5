"""CRCs of parts give the CRC of the whole, however it was cut; texts come back as they went."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.checksums import (
    COMBINABLE,
    Algorithm,
    Checksum,
    available,
    checksum_of,
    combine,
    new_digest,
)

CRCS = st.sampled_from([crc for crc in sorted(COMBINABLE) if available(crc)])
ALGORITHMS = st.sampled_from([algorithm for algorithm in Algorithm if available(algorithm)])
PIECES = st.lists(st.binary(max_size=300), min_size=1, max_size=12)


@given(CRCS, PIECES)
def test_parts_combine_to_the_checksum_of_the_whole(algorithm: Algorithm, pieces: list[bytes]):
    known = [(checksum_of(algorithm, piece), len(piece)) for piece in pieces]
    assert combine(known) == checksum_of(algorithm, b"".join(pieces))


@given(CRCS, st.binary(max_size=50), st.integers(0, 3 << 20))
def test_long_parts_combine_too(algorithm: Algorithm, head: bytes, zeros: int):
    tail = bytes(zeros)
    known = [(checksum_of(algorithm, head), len(head)), (checksum_of(algorithm, tail), zeros)]
    assert combine(known) == checksum_of(algorithm, head + tail)


@given(CRCS, PIECES, st.data())
def test_parts_of_parts_combine_to_the_same(
    algorithm: Algorithm, pieces: list[bytes], data: st.DataObject
):
    known = [(checksum_of(algorithm, piece), len(piece)) for piece in pieces]
    cut = data.draw(st.integers(1, len(known)))
    first = combine(known[:cut])
    assert first is not None
    joined = [(first, sum(size for _, size in known[:cut])), *known[cut:]]
    assert combine(joined) == combine(known)


@given(CRCS, st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=5, unique=True))
def test_order_of_the_parts_matters(algorithm: Algorithm, pieces: list[bytes]):
    known = [(checksum_of(algorithm, piece), len(piece)) for piece in pieces]
    same = b"".join(pieces) == b"".join(reversed(pieces))
    crcs_agree = checksum_of(algorithm, b"".join(pieces)) == checksum_of(
        algorithm, b"".join(reversed(pieces))
    )
    assert (combine(known) == combine(reversed(known))) is (same or crcs_agree)


@given(ALGORITHMS, PIECES)
def test_digest_in_pieces_is_that_of_the_whole(algorithm: Algorithm, pieces: list[bytes]):
    digest = new_digest(algorithm)
    for piece in pieces:
        digest.update(piece)
    assert digest.finish() == checksum_of(algorithm, b"".join(pieces))


@given(ALGORITHMS, st.binary(max_size=100))
def test_text_comes_back_as_it_went(algorithm: Algorithm, data: bytes):
    checksum = checksum_of(algorithm, data)
    assert Checksum.parse(str(checksum)) == checksum
    assert Checksum.from_base64(algorithm, checksum.base64) == checksum


@given(st.text(max_size=60) | st.builds("{}:{}".format, ALGORITHMS, st.text(max_size=50)))
def test_any_text_is_a_checksum_or_a_value_error(text: str):
    try:
        found = Checksum.parse(text)
    except ValueError:
        return
    assert text.startswith(f"{found.algorithm}:")
