from __future__ import annotations

import pytest

from backends.error_documents import refused_overwrite
from backends.s3.errors import error_of, error_of_answer
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DamagedInTransitError,
    ExistsError,
    ExpiredError,
    NotFoundError,
    PreconditionError,
    ProtocolError,
    RejectedError,
    ThrottledError,
    TransferError,
    UnavailableError,
    UnsupportedError,
    UploadGoneError,
)

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>%s</Code><Message>%s</Message><RequestId>4442587FB7D0A2F9</RequestId></Error>"""


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFoundError),
        (404, "NoSuchBucket", NotFoundError),
        (404, "NoSuchUpload", UploadGoneError),
        (403, "AccessDenied", AccessError),
        (403, "SignatureDoesNotMatch", CredentialsError),
        (403, "InvalidAccessKeyId", CredentialsError),
        (403, "RequestTimeTooSkewed", CredentialsError),
        (400, "ExpiredToken", ExpiredError),
        (412, "PreconditionFailed", PreconditionError),
        (409, "ConditionalRequestConflict", PreconditionError),
        (400, "BadDigest", DamagedInTransitError),
        (400, "IncompleteBody", DamagedInTransitError),
        (400, "RequestTimeout", ConnectionLostError),
        (503, "SlowDown", ThrottledError),
        (200, "SlowDown", ThrottledError),
        (200, "InternalError", UnavailableError),
        (500, "InternalError", UnavailableError),
        (501, "NotImplemented", UnsupportedError),
        (400, "EntityTooSmall", RejectedError),
        (301, "PermanentRedirect", ProtocolError),
        # No code, or one that nobody knows: the status decides.
        (404, "", NotFoundError),
        (403, "", AccessError),
        (500, "", UnavailableError),
        (503, "Whatever", ThrottledError),
        (418, "Teapot", RejectedError),
    ],
)
def test_code_decides_where_there_is_one(status: int, code: str, kind: type[TransferError]):
    error = error_of("stat s3://b/k", status, code, "", {})
    assert type(error) is kind
    assert error.message == f"stat s3://b/k: {status} {code}".strip()


def test_what_the_store_says_is_passed_on():
    error = error_of("stat s3://b/k", 403, "AccessDenied", "no way", {})
    assert error.message == "stat s3://b/k: 403 AccessDenied (no way)"
    assert error.hint


def test_expired_url_is_to_be_signed_again():
    error = error_of("write", 403, "AccessDenied", "Request has expired", {})
    assert type(error) is ExpiredError
    assert error.retryable


def test_expired_credentials_say_what_to_do():
    error = error_of("write", 400, "ExpiredToken", "The provided token has expired.", {})
    assert type(error) is ExpiredError
    assert "get new ones" in error.hint


def test_throttling_says_when_to_come_back():
    error = error_of("write", 503, "SlowDown", "", {"retry-after": "9"})
    assert isinstance(error, ThrottledError)
    assert error.retry_after == 9


def test_answer_of_the_data_path_is_read():
    body = XML % (b"NoSuchUpload", b"The specified upload does not exist.")
    error = error_of_answer("write part 1", 404, {}, body)
    assert type(error) is UploadGoneError
    assert str(error) == "write part 1: 404 NoSuchUpload (The specified upload does not exist.)"


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff\xfe", b"<Code></Code>", b"<Code>" * 1000])
def test_answer_that_is_no_xml_is_judged_by_its_status(body: bytes):
    error = error_of_answer("write", 500, {}, body)
    assert type(error) is UnavailableError
    assert error.message == "write: 500"


def test_what_an_answer_says_cannot_write_to_the_terminal():
    error = error_of_answer("write", 400, {}, XML % (b"Odd", b"\x1b[2J\r\nred"))
    assert str(error) == "write: 400 Odd ([2J)"


def test_failed_condition_means_that_the_object_exists():
    error = refused_overwrite(PreconditionError("complete s3://b/k: 412"))
    assert type(error) is ExistsError
    assert error.message == "complete s3://b/k: 412"
    other = NotFoundError("else")
    assert refused_overwrite(other) is other
