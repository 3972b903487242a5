from __future__ import annotations

import json

import pytest

from backends.gcs.errors import BUCKET_HINT, error_of_answer
from transfer.errors import (
    AccessError,
    CredentialsError,
    DamagedInTransitError,
    ExpiredError,
    NotFoundError,
    PreconditionError,
    RejectedError,
    ThrottledError,
    UnavailableError,
    UploadGoneError,
)


def xml(code: str, message: str = "Said so.") -> bytes:
    inner = f"<Code>{code}</Code><Message>{message}</Message>"
    return f"<?xml version='1.0'?><Error>{inner}</Error>".encode()


def in_json(reason: str, message: str = "Said so.") -> bytes:
    errors = [{"domain": "global", "reason": reason, "message": message}]
    return json.dumps({"error": {"code": 400, "message": message, "errors": errors}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, xml("NoSuchKey"), NotFoundError),
        (404, xml("NoSuchBucket"), NotFoundError),
        (404, xml("NoSuchUpload"), UploadGoneError),
        (403, xml("AccessDenied"), AccessError),
        (403, xml("SignatureDoesNotMatch"), CredentialsError),
        (401, xml("AuthenticationRequired"), CredentialsError),
        (400, xml("ExpiredToken"), ExpiredError),
        (412, xml("PreconditionFailed"), PreconditionError),
        (400, xml("BadDigest"), DamagedInTransitError),
        (400, xml("EntityTooSmall"), RejectedError),
        (503, xml("SlowDown"), ThrottledError),
        (500, xml("InternalError"), UnavailableError),
        (404, in_json("notFound"), NotFoundError),
        (401, in_json("authError"), CredentialsError),
        (403, in_json("forbidden"), AccessError),
        (403, in_json("userRateLimitExceeded"), ThrottledError),
        (429, in_json("rateLimitExceeded"), ThrottledError),
        (412, in_json("conditionNotMet"), PreconditionError),
        (503, in_json("backendError"), UnavailableError),
        (400, in_json("invalid"), RejectedError),
        (401, b"", CredentialsError),
        (403, b"", AccessError),
        (404, b"", NotFoundError),
        (412, b"", PreconditionError),
        (429, b"", ThrottledError),
        (503, b"", ThrottledError),
        (502, b"<html>", UnavailableError),
        (400, b"{broken", RejectedError),
        (400, b'{"error": "text"}', RejectedError),
        (400, b'{"error": {"errors": ["odd"]}}', RejectedError),
        (400, b"[1]", RejectedError),
    ],
)
def test_an_answer_becomes_the_error_that_it_is(status, body, kind):
    error = error_of_answer("write gs://b/k", status, {}, body)
    assert type(error) is kind
    assert error.message.startswith(f"write gs://b/k: {status}")


def test_a_checksum_that_does_not_fit_is_damage_on_the_way():
    said = in_json("invalid", 'Provided CRC32C "a" doesn\'t match calculated CRC32C "b".')
    assert isinstance(error_of_answer("x", 400, {}, said), DamagedInTransitError)


def test_retry_after_is_kept():
    error = error_of_answer("x", 429, {"retry-after": "7"}, in_json("rateLimitExceeded"))
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 7


def test_a_bucket_that_is_not_there_is_told_from_an_object_that_is_not():
    gone = in_json("notFound", "The specified bucket does not exist.")
    assert error_of_answer("x", 404, {}, gone).hint == BUCKET_HINT
    missing = in_json("notFound", "No such object: bucket/does not exist")
    assert error_of_answer("x", 404, {}, missing).hint == ""


def test_messages_are_one_line():
    error = error_of_answer("x", 400, {}, in_json("invalid", "a\nb\x1b[31m" + "c" * 5000))
    assert "\n" not in error.message
    assert "\x1b" not in error.message
    assert len(error.message) < 400
