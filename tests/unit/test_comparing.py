from __future__ import annotations

from dataclasses import replace

import pytest

from transfer.checksums import Algorithm, checksum_of
from transfer.engine.comparing import looks_same
from transfer.model import ObjectInfo

CRC = checksum_of(Algorithm.CRC32C, b"body!")
OTHER = checksum_of(Algorithm.CRC32C, b"other")
SOURCE = ObjectInfo("a", 5, modified=1000.9)
TARGET = ObjectInfo("b", 5, modified=2000.0)


def test_same_size_and_not_older_is_the_same():
    assert looks_same(SOURCE, TARGET)


@pytest.mark.parametrize("size", [0, 4, 6])
def test_another_size_is_another_object(size: int):
    assert not looks_same(SOURCE, replace(TARGET, size=size))
    assert not looks_same(replace(SOURCE, checksum=CRC), replace(TARGET, checksum=CRC, size=size))


@pytest.mark.parametrize(("modified", "same"), [(999.0, False), (1000.0, True), (1000.9, True)])
def test_object_stores_keep_whole_seconds(modified: float, same: bool):
    assert looks_same(SOURCE, replace(TARGET, modified=modified)) is same


def test_checksums_decide_where_both_are_known():
    older = replace(TARGET, modified=1.0, checksum=CRC)
    assert looks_same(replace(SOURCE, checksum=CRC), older)
    newer = replace(TARGET, modified=9e9, checksum=OTHER)
    assert not looks_same(replace(SOURCE, checksum=CRC), newer)


def test_one_checksum_alone_decides_nothing():
    assert looks_same(replace(SOURCE, checksum=CRC), TARGET)
    assert not looks_same(SOURCE, replace(TARGET, modified=1.0, checksum=CRC))


def test_checksums_that_cannot_be_compared_are_no_proof():
    other = replace(TARGET, checksum=checksum_of(Algorithm.MD5, b"body!"))
    assert not looks_same(replace(SOURCE, checksum=CRC), other)


@pytest.mark.parametrize(("one", "other"), [(None, 1.0), (1.0, None), (None, None)])
def test_size_must_do_where_a_time_is_unknown(one: float | None, other: float | None):
    assert looks_same(replace(SOURCE, modified=one), replace(TARGET, modified=other))
