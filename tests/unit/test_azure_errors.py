from __future__ import annotations

import pytest

from backends.azure.errors import InTheWayError, code_of, error_of
from backends.error_documents import refused_overwrite
from transfer import errors
from transfer.store import Response


def answer(status: int, code: str = "", body: bytes = b"", **headers: str) -> Response:
    said = {"x-ms-error-code": code} if code else {}
    return Response(status, said | headers, body)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AuthenticationFailed", errors.CredentialsError),
        (401, "NoAuthenticationInformation", errors.CredentialsError),
        (403, "AuthorizationFailure", errors.AccessError),
        (403, "AuthorizationPermissionMismatch", errors.AccessError),
        (403, "UnauthorizedBlobOverwrite", errors.ExistsError),
        (404, "ContainerNotFound", errors.NotFoundError),
        (404, "BlobNotFound", errors.NotFoundError),
        (409, "BlobAlreadyExists", errors.ExistsError),
        (412, "ConditionNotMet", errors.PreconditionError),
        (412, "LeaseIdMissing", errors.AccessError),
        (400, "Md5Mismatch", errors.DamagedInTransitError),
        (400, "InvalidBlockList", errors.UploadGoneError),
        (400, "InvalidBlobOrBlock", InTheWayError),
        (409, "InvalidBlobType", errors.RejectedError),
        (413, "RequestBodyTooLarge", errors.RejectedError),
        (500, "OperationTimedOut", errors.UnavailableError),
        (500, "InternalError", errors.UnavailableError),
        (503, "ServerBusy", errors.ThrottledError),
        (500, "FeatureNotSupported", errors.UnsupportedError),
        (400, "SomethingNew", errors.RejectedError),
        (404, "", errors.NotFoundError),
        (503, "", errors.ThrottledError),
    ],
)
def test_codes(status: int, code: str, kind: type[errors.TransferError]):
    error = error_of("write az://c/k", answer(status, code))
    assert type(error) is kind
    assert error.message == f"write az://c/k: {status} {code}".rstrip()


def test_code_comes_from_the_body_where_no_header_says_it():
    body = b"<Error><Code>ServerBusy</Code><Message>Busy.\nRequestId:1\nTime:2</Message></Error>"
    found = answer(503, body=body, **{"retry-after": "7"})
    assert code_of(found) == "ServerBusy"
    error = error_of("write az://c/k", found)
    assert isinstance(error, errors.ThrottledError)
    assert error.retry_after == 7
    assert error.message == "write az://c/k: 503 ServerBusy (Busy.)"


def test_signature_that_has_expired_is_told_from_one_that_is_wrong():
    body = (
        b"<Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate.\n"
        b"RequestId:1</Message><AuthenticationErrorDetail>Signature not valid in the specified"
        b" time frame: Start [..] - Expiry [..]</AuthenticationErrorDetail></Error>"
    )
    assert isinstance(error_of("read", answer(403, body=body)), errors.ExpiredError)
    wrong = body.replace(b"not valid in the specified time frame", b"did not match. String to sign")
    error = error_of("read", answer(403, body=wrong))
    assert isinstance(error, errors.CredentialsError)
    assert "String to sign" not in str(error)


def test_control_characters_of_a_message_are_not_shown():
    body = b"<Error><Code>X</Code><Message>a\x1b[31mb</Message></Error>"
    assert error_of("read", answer(400, body=body)).message == "read: 400 X (a[31mb)"


def test_failed_condition_on_nothing_there_means_that_it_exists():
    error = refused_overwrite(errors.PreconditionError("x"))
    assert isinstance(error, errors.ExistsError)
    other = errors.AccessError("x")
    assert refused_overwrite(other) is other
