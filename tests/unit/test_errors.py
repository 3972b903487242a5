from __future__ import annotations

from collections import Counter

import pytest

from transfer import errors
from transfer.errors import (
    ConnectionLostError,
    DamagedInTransitError,
    ExpiredError,
    InterruptedTransferError,
    NotFoundError,
    SourceChangedError,
    StalledError,
    TemporaryError,
    ThrottledError,
    TransferError,
    UnavailableError,
    UnsettledError,
    UploadGoneError,
)

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TransferError)
]


def test_each_code_names_one_class():
    codes = Counter(kind.code for kind in ALL)
    assert len(codes) == len(ALL) > 20
    assert all(code.isidentifier() and code.islower() for code in codes)


def test_exactly_these_are_retried():
    assert {kind for kind in ALL if kind.retryable} == {
        TemporaryError,
        ConnectionLostError,
        StalledError,
        UnavailableError,
        UnsettledError,
        ExpiredError,
        ThrottledError,
        DamagedInTransitError,
    }


def test_a_later_run_may_go_on_after_temporary_errors_and_interruption_only():
    resumable = {kind for kind in ALL if kind.resumable}
    assert resumable == {kind for kind in ALL if kind.retryable} | {InterruptedTransferError}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_made_the_same_way(kind: type[TransferError]):
    error = kind("it broke", hint="mend it")
    assert str(error) == "it broke; mend it"
    assert (error.attempts, error.elapsed) == (1, 0.0)


def test_an_error_without_a_hint_is_its_message():
    assert str(NotFoundError("no such key")) == "no such key"


def test_an_error_says_how_long_it_was_tried():
    error = ConnectionLostError("no answer", hint="is it up?")
    error.attempts, error.elapsed = 8, 12.345
    assert str(error) == "no answer (gave up after 8 attempts in 12.3 s); is it up?"


def test_a_lost_upload_is_caught_as_not_found():
    assert issubclass(UploadGoneError, NotFoundError)


def test_changed_source_is_no_damage_that_a_repetition_mends():
    assert not SourceChangedError.retryable
    assert DamagedInTransitError.code != SourceChangedError.code


def test_throttling_carries_what_the_server_asked_for():
    assert ThrottledError("slow down", retry_after=3.5).retry_after == 3.5
    assert ThrottledError("slow down").retry_after is None


@pytest.mark.parametrize("kind", ALL)
def test_code_from_the_wire_becomes_its_class(kind: type[TransferError]):
    assert errors.error_class(kind.code) is kind


def test_unknown_code_from_the_wire_becomes_the_root():
    assert errors.error_class("from_the_future") is TransferError


def test_hints_are_added_up():
    error = NotFoundError("no")
    error.add_hint("one")
    assert str(error) == "no; one"
    error.add_hint("two")
    assert str(error) == "no; one; two"
