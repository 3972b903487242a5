from __future__ import annotations

import hashlib

import pytest

from transfer.checksums import Algorithm, checksum_of
from transfer.tally import Meter, Tally


def test_bytes_are_counted_and_hashed():
    tally = Tally(Algorithm.SHA256)
    tally.update(b"one ")
    tally.update(memoryview(bytearray(b"two")))
    assert tally.moved == 7
    assert tally.checksum is not None
    assert tally.checksum.value == hashlib.sha256(b"one two").digest()


def test_no_algorithm_no_checksum():
    tally = Tally()
    tally.update(b"abc")
    assert (tally.moved, tally.checksum) == (3, None)


def test_bytes_that_were_not_seen_count_too():
    tally = Tally()
    tally.advance(5)
    assert tally.moved == 5


def test_restart_forgets_count_and_digest():
    tally = Tally(Algorithm.CRC32C)
    tally.update(b"cut off")
    tally.restart()
    tally.update(b"whole")
    assert tally.moved == 5
    assert tally.checksum == checksum_of(Algorithm.CRC32C, b"whole")


def test_checksum_that_is_known_already_is_adopted_and_the_bytes_only_counted():
    known = checksum_of(Algorithm.CRC32C, b"whole")
    tally = Tally(Algorithm.CRC32C)
    tally.adopt(known)
    tally.update(b"anything")
    assert (tally.moved, tally.checksum) == (8, known)
    tally.restart()
    tally.update(b"again")
    assert (tally.moved, tally.checksum) == (5, known)


@pytest.mark.parametrize("algorithm", [None, Algorithm.MD5])
def test_tally_says_what_it_hashes_by(algorithm: Algorithm | None):
    assert Tally(algorithm).algorithm is algorithm


def test_meter_counts_attempts_under_way_and_those_that_succeeded():
    meter = Meter()
    with Tally(meter=meter) as first:
        first.update(b"12345")
        with Tally(meter=meter) as second:
            second.update(b"123")
            assert meter.moved == 8
        assert (meter.settled, meter.moved) == (3, 8)
    assert (meter.settled, meter.moved) == (8, 8)
    assert not meter.live


def test_attempt_that_fails_takes_its_bytes_back():
    meter = Meter()

    def fail() -> None:
        with Tally(meter=meter) as tally:
            tally.update(b"12345")
            assert meter.moved == 5
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert (meter.settled, meter.moved) == (0, 0)
    assert not meter.live


def test_what_was_there_has_not_travelled():
    meter = Meter()
    meter.settled += 100
    meter.there += 100
    with Tally(None, meter) as tally:
        tally.advance(7)
        assert (meter.moved, meter.travelled) == (107, 7)
