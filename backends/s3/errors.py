"""What S3 and its compatibles say, as our errors.

Source: "List of error codes" of the Amazon S3 API reference. The code decides,
where there is one; compatibles disagree on statuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.error_documents import Codes, code_and_reason, error_of_code
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DamagedInTransitError,
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

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEYS_HINT = "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the endpoint"
_BY_CODE: Codes = {
    "NoSuchKey": (NotFoundError, ""),
    "NoSuchBucket": (NotFoundError, "check the name of the bucket"),
    "NoSuchUpload": (UploadGoneError, ""),
    "AccessDenied": (AccessError, "check what the credentials may do in this bucket"),
    "AllAccessDisabled": (AccessError, ""),
    "InvalidAccessKeyId": (CredentialsError, _KEYS_HINT),
    "SignatureDoesNotMatch": (CredentialsError, _KEYS_HINT),
    "InvalidToken": (CredentialsError, _KEYS_HINT),
    "ExpiredToken": (ExpiredError, "the temporary credentials have expired: get new ones"),
    "RequestTimeTooSkewed": (CredentialsError, "set this machine's clock"),
    "PreconditionFailed": (PreconditionError, ""),
    "ConditionalRequestConflict": (PreconditionError, "another upload of this key came between"),
    "BadDigest": (DamagedInTransitError, ""),
    "InvalidDigest": (DamagedInTransitError, ""),
    "IncompleteBody": (DamagedInTransitError, ""),
    "XAmzContentChecksumMismatch": (DamagedInTransitError, ""),
    "XAmzContentSHA256Mismatch": (DamagedInTransitError, ""),
    "RequestTimeout": (ConnectionLostError, ""),
    "SlowDown": (ThrottledError, ""),
    "Throttling": (ThrottledError, ""),
    "ThrottlingException": (ThrottledError, ""),
    "RequestLimitExceeded": (ThrottledError, ""),
    "TooManyRequests": (ThrottledError, ""),
    "ServiceUnavailable": (ThrottledError, ""),
    "InternalError": (UnavailableError, ""),
    "NotImplemented": (UnsupportedError, ""),
    "EntityTooSmall": (RejectedError, "a part is smaller than the store allows"),
    "EntityTooLarge": (RejectedError, "the object is larger than the store allows"),
    # No word on the request itself, which would be "rejected".
    "PermanentRedirect": (ProtocolError, "the bucket is in another region: set AWS_DEFAULT_REGION"),
    "AuthorizationHeaderMalformed": (
        RejectedError,
        "the bucket is in another region: set AWS_DEFAULT_REGION",
    ),
    "AuthorizationQueryParametersError": (
        RejectedError,
        "the bucket may be in another region: set AWS_DEFAULT_REGION",
    ),
}


def error_of(
    what: str, status: int, code: str, reason: str, headers: Mapping[str, str]
) -> TransferError:
    """Return the error for an answer; `what` says what was asked, such as "stat s3://b/k"."""
    said = f"{status} {code}".strip() + (f" ({reason})" if reason else "")
    message = f"{what}: {said}"
    if "expired" in reason.lower() and code in {"AccessDenied", ""}:
        return ExpiredError(message)
    return error_of_code(_BY_CODE, code, status, headers, message)


def error_of_answer(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> TransferError:
    """Return the error for an answer of the data path, whose XML is read leniently."""
    return error_of(what, status, *code_and_reason(body), headers)
