"""An answer is taken only if it can be nothing but the bytes that were asked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.errors import ProtocolError
from transfer.model import Span
from transfer.mover.ranges import check_placement, range_header

SPANS = st.tuples(st.integers(0, 2**45), st.integers(1, 2**40)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)
SMALL = st.tuples(st.integers(0, 4), st.integers(1, 4)).map(
    lambda pair: Span(pair[0], pair[0] + pair[1])
)


def accepted(status: int, headers: dict[str, str], span: Span) -> bool:
    try:
        check_placement(status, headers, span)
    except ProtocolError:
        return False
    return True


@given(SPANS, st.integers(1, 2**46) | st.just("*"), st.sampled_from([200, 206]))
def test_range_that_was_asked_for_is_taken(span: Span, total: object, status: int):
    sent = range_header(span).removeprefix("bytes=")
    assert accepted(status, {"content-range": f"bytes {sent}/{total}"}, span)


@given(SMALL, SMALL, st.sampled_from([200, 206]))
def test_another_range_is_not(asked: Span, sent: Span, status: int):
    value = f"bytes {sent.start}-{sent.stop - 1}/10"
    assert accepted(status, {"content-range": value}, asked) is (asked == sent)


@given(SMALL, st.integers(0, 9), st.sampled_from([200, 201, 204, 206]))
def test_whole_object_is_taken_only_where_it_is_the_range(asked: Span, length: int, status: int):
    same = status == 200 and asked == Span(0, length) if length else False
    assert accepted(status, {"content-length": str(length)}, asked) is same


@given(SMALL, st.text(max_size=30))
def test_any_other_content_range_is_refused(asked: Span, value: str):
    assert not accepted(206, {"content-range": value, "content-length": "4"}, asked)
