from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from transfer.model import Intent, Span


def test_span_is_half_open():
    assert Span(3, 10).size == 7
    assert Span(3, 3).size == 0
    assert str(Span(3, 10)) == "3-10"


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (3, 2), (-2, -1)])
def test_span_that_is_none_is_refused(start: int, stop: int):
    with pytest.raises(ValueError, match="no span"):
        Span(start, stop)


def test_spans_sort_by_their_start():
    assert sorted([Span(5, 9), Span(0, 9), Span(0, 5)]) == [Span(0, 5), Span(0, 9), Span(5, 9)]


def test_values_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Span(0, 1).start = 1  # type: ignore[misc]


def test_metadata_that_all_intents_share_cannot_be_written():
    with pytest.raises(TypeError):
        Intent(1).metadata["a"] = "b"  # type: ignore[index]
