from __future__ import annotations

from dataclasses import replace

import pytest

from transfer.checksums import Algorithm, checksum_of
from transfer.errors import IntegrityError
from transfer.model import Expected, Receipt, Upload
from transfer.review import check_complete, review, whole_checksum

BODIES = [b"aaaa", b"bbbb", b"cc"]
UPLOAD = Upload("key", "id", 10, 4)
SENT = [
    Receipt(number, len(body), f'"{number}"', checksum_of(Algorithm.CRC32C, body))
    for number, body in enumerate(BODIES, 1)
]
WHOLE = checksum_of(Algorithm.CRC32C, b"".join(BODIES))
EXPECTED = Expected(10, WHOLE)


def changed(number: int, **changes: object) -> list[Receipt]:
    return [replace(r, **changes) if r.number == number else r for r in SENT]


def test_what_agrees_passes_with_the_checksum_of_the_whole():
    assert review(UPLOAD, SENT, SENT, EXPECTED) == WHOLE


def test_order_of_the_list_of_the_store_does_not_matter():
    assert review(UPLOAD, SENT, SENT[::-1], EXPECTED) == WHOLE


def test_quotes_around_an_etag_do_not_matter():
    assert review(UPLOAD, SENT, changed(2, etag="2"), EXPECTED) == WHOLE


def test_checksum_that_the_store_does_not_list_is_taken_from_the_sender():
    listed = [replace(receipt, checksum=None) for receipt in SENT]
    assert review(UPLOAD, SENT, listed, EXPECTED) == WHOLE


def test_checksum_of_the_whole_is_unknown_when_one_part_has_none():
    assert review(UPLOAD, changed(2, checksum=None), SENT, EXPECTED) is None


def test_parts_that_are_in_the_store_but_were_not_sent_do_not_matter():
    foreign = [*SENT, Receipt(4, 4, '"4"')]
    assert review(UPLOAD, SENT, foreign, EXPECTED) == WHOLE


def test_size_that_was_never_said_is_not_compared():
    upload = Upload("key", "id", None, None)
    assert review(upload, SENT, SENT, Expected(None)) == WHOLE


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        (SENT[:2], "part 3 is not in the store"),
        ([], "part 1 is not in the store"),
        (changed(2, size=3), "part 2 has 3 bytes in the store, 4 were sent"),
        (changed(2, etag='"else"'), "part 2 in the store is not the one that was sent"),
        (changed(2, etag=""), "part 2 in the store is not the one that was sent"),
        (changed(2, checksum=WHOLE), "part 2 in the store has another checksum"),
    ],
)
def test_store_that_has_something_else(listed: list[Receipt], says: str):
    with pytest.raises(IntegrityError, match=says):
        review(UPLOAD, SENT, listed, EXPECTED)


@pytest.mark.parametrize(
    ("receipts", "says"),
    [
        ([], "without parts"),
        (SENT[1:], "without gaps"),
        ([SENT[0], SENT[2]], "without gaps"),
        (SENT[::-1], "without gaps"),
        ([SENT[0], *SENT], "without gaps"),
        (SENT[:2], "the parts have 8 bytes, 10 were expected"),
        (changed(1, size=3), "part 1 has 3 bytes, 4 were expected"),
        (changed(3, size=5), "the last part has 5 bytes, more than 4"),
        (changed(3, size=1), "the parts have 9 bytes, 10 were expected"),
    ],
)
def test_receipts_that_do_not_add_up(receipts: list[Receipt], says: str):
    for check in (
        lambda: check_complete(UPLOAD, receipts, EXPECTED),
        lambda: review(UPLOAD, receipts, receipts, EXPECTED),
    ):
        with pytest.raises(IntegrityError, match=says):
            check()


def test_whole_that_is_not_what_was_expected():
    other = checksum_of(Algorithm.CRC32C, b"other")
    with pytest.raises(IntegrityError, match="was expected"):
        review(UPLOAD, SENT, SENT, Expected(10, other))


def test_checksum_of_another_kind_cannot_be_compared():
    assert review(UPLOAD, SENT, SENT, Expected(10, checksum_of(Algorithm.MD5, b"?"))) == WHOLE


def test_size_of_parts_that_was_never_said_is_that_of_the_first():
    upload = Upload("key", "id", None, None)
    with pytest.raises(IntegrityError, match="part 2 has 3 bytes, 4 were expected"):
        check_complete(upload, changed(2, size=3), Expected(None))


def test_single_part_and_empty_object_are_complete():
    check_complete(Upload("key", "id", 3, 4), [Receipt(1, 3, "e")], Expected(3))
    check_complete(Upload("key", "id", 0, 4), [Receipt(1, 0, "e")], Expected(0))


def test_size_that_was_said_when_the_upload_was_opened_binds():
    with pytest.raises(IntegrityError):
        check_complete(UPLOAD, SENT[:2], Expected(None))


def test_whole_checksum():
    assert whole_checksum(SENT) == WHOLE
    assert whole_checksum(changed(1, checksum=None)) is None
    assert whole_checksum([]) is None
    other = checksum_of(Algorithm.CRC64NVME, b"x")
    assert whole_checksum(changed(1, checksum=other)) is None
