from __future__ import annotations

import pytest

from backends.error_documents import code_and_reason, error_of_code, shown
from transfer.errors import AccessError, RejectedError, ThrottledError

CODES = {"Denied": (AccessError, "ask"), "Slow": (ThrottledError, "")}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"", ("", "")),
        (b"<html>\xff Bad gateway", ("", "")),
        (b"<Error><Code>A</Code><Message>b</Message></Error>", ("A", "b")),
        (b"<Code>A</Code><Message>&quot;x&quot; &amp; y</Message>", ("A", '"x" & y')),
        (b"<Code>A</Code><Message>\nfirst\nsecond</Message>", ("A", "first")),
        (b"<Code>A\x1b[1m</Code><Message>a\x07b\xff</Message>", ("A[1m", "ab\ufffd")),
        (b"<Code>A</Code><Message>" + b"x" * 999, ("A", "x" * 300)),
    ],
)
def test_what_an_error_says_is_one_line_that_can_be_shown(body: bytes, wanted: tuple[str, str]):
    assert code_and_reason(body) == wanted


def test_a_text_is_cut():
    assert shown("  a\tb\nc") == "ab"
    assert len(shown("y" * 1000)) == 300


def test_a_code_decides_and_the_status_for_others():
    known = error_of_code(CODES, "Denied", 400, {}, "m", hint="no")
    assert (type(known), known.hint) == (AccessError, "ask")
    other = error_of_code(CODES, "Else", 400, {}, "m", hint="yes")
    assert (type(other), other.hint) == (RejectedError, "yes")
    slow = error_of_code(CODES, "Slow", 400, {"retry-after": "7"}, "m")
    assert isinstance(slow, ThrottledError)
    assert slow.retry_after == 7
