"""Ranges of an object that is replaced while it is read: never those of two together."""

from __future__ import annotations

import pytest

from backends.web import opened
from tests.support.plain_web import PlainWeb, dates
from transfer.errors import ProtocolError, SourceChangedError
from transfer.model import Span
from transfer.sources import BytesSink
from transfer.tally import Tally

A, B = b"A" * 10, b"B" * 10
YOUNG, OLD, LATER = dates(100, 100), dates(100, 101), dates(105, 105)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(opened, "_UNTIL_OLD", 0.0)


async def read(it, start: int, stop: int) -> bytes:
    sink = BytesSink()
    await it.source(Span(start, stop)).pour(sink, Tally())
    return bytes(sink.data)


def replace(server: PlainWeb, data: bytes, marks: dict[str, str]) -> None:
    server.data, server.marks = data, marks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"etag": 'W/"1"'}, {"etag": 'W/"2"'}),
        ({"last-modified": OLD["last-modified"]}, {"last-modified": LATER["last-modified"]}),
        ({"etag": 'W/"1"', "last-modified": "x"}, {"etag": 'W/"1"', "last-modified": "y"}),
    ],
)
async def test_marks_that_are_no_version_give_a_change_away(
    before: dict[str, str], after: dict[str, str]
):
    server = PlainWeb(A, before)
    async with server.store().open("a") as it:
        assert it.info.version is None
        assert await read(it, 0, 4) == A[:4]
        assert await read(it, 4, 8) == A[4:8]
        replace(server, B, after)
        with pytest.raises(SourceChangedError, match="a was replaced"):
            await read(it, 8, 10)


async def test_a_change_before_the_first_range_is_noticed_by_the_look():
    server = PlainWeb(A, {"etag": 'W/"1"'})
    async with server.store().open("a") as it:
        replace(server, B, {"etag": 'W/"2"'})
        with pytest.raises(SourceChangedError):
            await read(it, 0, 4)


async def test_a_date_that_is_too_young_is_a_version_a_second_later():
    server = PlainWeb(A, YOUNG)
    async with server.store().open("a") as it:
        assert it.info.version is None
        server.marks = OLD
        assert await read(it, 0, 4) == A[:4]
        assert await read(it, 4, 8) == A[4:8]
        assert it.info.version == OLD["last-modified"]
    assert len(server.asked("HEAD")) == 2
    assert [request.headers for request in server.asked("GET")] == [
        {"If-Unmodified-Since": OLD["last-modified"]}
    ] * 2


async def test_what_is_replaced_within_that_second_is_noticed():
    server = PlainWeb(A, YOUNG)
    async with server.store().open("a") as it:
        replace(server, B, LATER)
        with pytest.raises(SourceChangedError):
            await read(it, 0, 4)
        replace(server, A + B, OLD)
        with pytest.raises(SourceChangedError):
            await read(it, 0, 4)


async def test_a_weak_etag_may_become_a_strong_one():
    server = PlainWeb(A, YOUNG | {"etag": 'W/"1"'})
    async with server.store().open("a") as it:
        server.marks = OLD | {"etag": '"1"'}
        assert await read(it, 0, 4) == A[:4]
        assert it.info.version == '"1"'


@pytest.mark.parametrize("marks", [{"etag": '"1"'}, {"etag": 'W/"1"'}])
async def test_another_length_of_the_whole_is_another_object(marks: dict[str, str]):
    server = PlainWeb(A, marks)
    async with server.store().open("a") as it:
        server.data = A + B
        with pytest.raises(SourceChangedError):
            await read(it, 0, 4)


async def test_without_a_mark_there_are_no_ranges_to_be_mixed():
    server = PlainWeb(A)
    store = server.store()
    await store.stat("a")
    assert not store.traits.concurrent_reads
    async with store.open("a") as it:
        assert await read(it, 0, 10) == A
        assert server.asked("GET")[0].span is None
        with pytest.raises(ProtocolError, match="does not say of which version") as caught:
            await read(it, 0, 4)
        assert "in one piece" in caught.value.hint


async def test_a_range_that_says_nothing_of_its_version_is_not_taken():
    server = PlainWeb(A, {"etag": 'W/"1"'}, marks_of_get={})
    async with server.store().open("a") as it:
        with pytest.raises(ProtocolError, match="does not say of which version"):
            await read(it, 0, 4)


async def test_what_comes_in_one_piece_needs_no_mark():
    """A page that is made when it is asked for is always of now."""
    server = PlainWeb(A, YOUNG, marks_of_get=LATER)
    async with server.store().open("a") as it:
        assert await read(it, 0, 10) == A
    assert len(server.asked("HEAD")) == 1
