from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    NotFoundError,
    PreconditionError,
    ProtocolError,
    RejectedError,
    ThrottledError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)
from transfer.statuses import error_of_status, retry_after


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, ProtocolError),
        (302, ProtocolError),
        (399, ProtocolError),
        (400, RejectedError),
        (401, CredentialsError),
        (403, AccessError),
        (404, NotFoundError),
        (408, ConnectionLostError),
        (409, RejectedError),
        (412, PreconditionError),
        (429, ThrottledError),
        (500, UnavailableError),
        (501, UnsupportedError),
        (502, UnavailableError),
        (503, ThrottledError),
        (504, UnavailableError),
        (599, UnavailableError),
    ],
)
def test_status_becomes_error(status: int, kind: type[TransferError]):
    error = error_of_status(status, {}, "GET https://host/key")
    assert type(error) is kind
    assert error.message.startswith("GET https://host/key")


def test_hint_of_the_caller_wins():
    assert error_of_status(401, {}, "what").hint
    assert error_of_status(401, {}, "what", hint="mine").hint == "mine"
    assert error_of_status(404, {}, "what").hint == ""


@pytest.mark.parametrize("status", [429, 503])
def test_throttling_says_when_to_come_back(status: int):
    error = error_of_status(status, {"retry-after": "7"}, "what")
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 7


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("120", 120), (" 5 ", 5), ("9" * 30, 999_999_999)],
)
def test_retry_after_in_seconds(value: str, seconds: float):
    assert retry_after({"retry-after": value}) == seconds


def test_retry_after_as_a_date():
    soon = format_datetime(datetime.fromtimestamp(time.time() + 100, UTC), usegmt=True)
    found = retry_after({"retry-after": soon})
    assert found is not None
    assert 95 < found <= 100


def test_retry_after_in_the_past_is_now():
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "soon", "Wed, 99 Oct 2015", "Wed, 21 Oct 99999 07:28:00 GMT"]
)
def test_retry_after_that_says_nothing_usable(value: str):
    assert retry_after({"retry-after": value}) is None


def test_no_retry_after():
    assert retry_after({}) is None
