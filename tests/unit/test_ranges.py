from __future__ import annotations

import pytest

from transfer.errors import ProtocolError
from transfer.model import Span
from transfer.mover.ranges import check_placement, range_header, total_of


def test_range_header_names_the_last_byte():
    assert range_header(Span(0, 1)) == "bytes=0-0"
    assert range_header(Span(10, 20)) == "bytes=10-19"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"content-range": "bytes 10-19/100"}),
        (206, {"content-range": "bytes 10-19/*"}),
        (206, {"content-range": " bytes 10-19/100 "}),
        (200, {"content-range": "bytes 10-19/100"}),
    ],
)
def test_answer_that_holds_the_range(status: int, headers: dict[str, str]):
    check_placement(status, headers, Span(10, 20))


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {}),
        (206, {"content-length": "10"}),
        (206, {"content-range": "bytes 0-9/100"}),
        (206, {"content-range": "bytes 10-18/100"}),
        (206, {"content-range": "bytes 10-20/100"}),
        (206, {"content-range": "bytes 11-19/100"}),
        (206, {"content-range": "bytes */100"}),
        (206, {"content-range": "bytes 10-19"}),
        (206, {"content-range": "items 10-19/100"}),
        (200, {}),
        (200, {"content-length": "10"}),
        (200, {"content-length": "100"}),
        (200, {"content-range": "bytes 0-9/100", "content-length": "10"}),
        (204, {}),
    ],
)
def test_answer_that_is_something_else(status: int, headers: dict[str, str]):
    with pytest.raises(ProtocolError, match="asked for bytes 10-20"):
        check_placement(status, headers, Span(10, 20))


def test_whole_object_counts_as_the_range_that_covers_it():
    check_placement(200, {"content-length": "20"}, Span(0, 20))


@pytest.mark.parametrize("length", ["19", "21", "200", "20, 20", ""])
def test_whole_object_of_another_length_does_not(length: str):
    with pytest.raises(ProtocolError):
        check_placement(200, {"content-length": length}, Span(0, 20))


def test_start_of_the_object_without_a_range_needs_the_status_200():
    with pytest.raises(ProtocolError):
        check_placement(206, {"content-length": "20"}, Span(0, 20))


@pytest.mark.parametrize(
    ("headers", "total"),
    [
        ({"content-range": "bytes 10-19/100", "content-length": "10"}, 100),
        ({"content-range": " bytes 10-19/100 "}, 100),
        ({"content-range": "bytes 10-19/*", "content-length": "10"}, None),
        ({"content-length": "20"}, 20),
        ({}, None),
    ],
)
def test_length_of_the_whole_is_said_beside_the_range(headers: dict[str, str], total: int | None):
    assert total_of(headers) == total
