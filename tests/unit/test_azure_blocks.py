from __future__ import annotations

import base64
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.azure.blocks import (
    GIVEN_UP,
    LENGTH,
    LENGTHS,
    OPEN,
    Block,
    Ticket,
    matching_length,
    named,
    raw_id,
)
from transfer.errors import UploadGoneError
from transfer.model import Receipt

NONCE = "00112233445566778899aabbccddeeff"
MARKER = Block(Ticket(NONCE).marker, len(OPEN))


@given(
    st.binary(min_size=16, max_size=16),
    st.sampled_from(LENGTHS),
    st.none() | st.text(max_size=20),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_ticket_survives_being_written_down(nonce, length, content_type, metadata):
    ticket = Ticket(nonce.hex(), length, content_type or None, metadata)
    assert Ticket.parse(ticket.id) == ticket
    assert ticket.id.isascii()


@given(st.text(max_size=80))
def test_what_is_no_ticket_is_no_upload(text):
    try:
        Ticket.parse(text)
    except UploadGoneError:
        return
    assert len(bytes.fromhex(text[:32])) == 16


@pytest.mark.parametrize(
    "text",
    ["", "x" * 34, NONCE, NONCE + "00", NONCE + "65", NONCE + "30!", NONCE + "30MTI=", NONCE[:-2]],
)
def test_damaged_ticket_is_no_upload(text: str):
    with pytest.raises(UploadGoneError):
        Ticket.parse(text)


@given(st.sampled_from(LENGTHS), st.integers(1, 50_000))
def test_ids_have_one_length_and_never_come_twice(length: int, number: int):
    ticket = Ticket(secrets.token_hex(16), length)
    ids = {ticket.block(number) for _ in range(20)} | {ticket.marker}
    assert len(ids) == 21
    assert {len(base64.b64decode(block_id)) for block_id in ids} == {length}


@given(st.sampled_from(LENGTHS), st.integers(1, 50_000))
def test_own_blocks_are_recognised_and_others_are_not(length: int, number: int):
    mine, other = Ticket(secrets.token_hex(16), length), Ticket(secrets.token_hex(16), length)
    block = Block(mine.block(number), 7)
    blocks = [Block(mine.marker, len(OPEN)), block, Block(other.block(number), 8)]
    assert mine.parts(blocks) == [Receipt(number, 7, block.id)]


def test_default_ids_need_no_padding_and_fit():
    assert len(Ticket(NONCE).block(1)) == 40
    assert LENGTH in LENGTHS
    assert max(LENGTHS) == 64


def test_all_attempts_of_a_part_are_listed_by_number():
    ticket = Ticket(NONCE)
    blocks = [Block(ticket.block(number), number) for number in (3, 1, 2, 1)]
    assert [part.number for part in ticket.parts([MARKER, *blocks])] == [1, 1, 2, 3]


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [Block(Ticket(NONCE).block(1), 7)],
        [Block(MARKER.id, len(GIVEN_UP)), Block(Ticket(NONCE).block(1), 7)],
        [Block("not base64", 7)],
    ],
)
def test_without_its_own_block_an_upload_is_gone(blocks: list[Block]):
    with pytest.raises(UploadGoneError):
        Ticket(NONCE).parts(blocks)


@pytest.mark.parametrize(
    ("lengths", "ours"),
    [
        ([18], 18),
        ([18, 18], 18),
        ([64], 64),
        ([12], 12),
        ([11], None),
        ([18, 20], None),
        ([], None),
    ],
)
def test_ids_take_the_length_of_those_that_wait(lengths: list[int], ours: int | None):
    blocks = [Block(base64.b64encode(secrets.token_bytes(n)).decode(), 1) for n in lengths]
    assert matching_length(blocks) == ours


def test_receipt_without_an_id_means_the_only_attempt():
    one, two, again = Receipt(1, 5, "a"), Receipt(2, 5, "b"), Receipt(2, 5, "c")
    said = [Receipt(1, 5, ""), Receipt(2, 5, "b")]
    assert named(said, [one, two, again]) == [one, two]


def test_receipt_without_an_id_chooses_none_of_several_attempts():
    said = [Receipt(1, 5, ""), Receipt(2, 5, "")]
    assert named(said, [Receipt(1, 5, "a"), Receipt(1, 5, "b")]) == said


def test_id_that_is_not_base64_has_no_bytes():
    assert raw_id("?") == b""
