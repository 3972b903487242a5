"""What Cloud Storage says, in XML or in JSON, as our errors.

Sources: "HTTP status and error codes" of the XML API and of the JSON API. The
code or the reason decides, where there is one; a 403 may be a quota.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from backends.error_documents import Codes, code_and_reason, error_of_code, shown
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DamagedInTransitError,
    ExpiredError,
    NotFoundError,
    PreconditionError,
    RejectedError,
    ThrottledError,
    TransferError,
    UnavailableError,
    UnsupportedError,
    UploadGoneError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

KEYS_HINT = "check GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`"
_RIGHTS_HINT = "check what the credentials may do in this bucket"
BUCKET_HINT = "check the name of the bucket"
_CLOCK_HINT = "set this machine's clock"
_BY_CODE: Codes = {
    # XML
    "NoSuchKey": (NotFoundError, ""),
    "NoSuchBucket": (NotFoundError, BUCKET_HINT),
    "NoSuchUpload": (UploadGoneError, ""),
    "AccessDenied": (AccessError, _RIGHTS_HINT),
    "AuthenticationRequired": (CredentialsError, KEYS_HINT),
    "SignatureDoesNotMatch": (CredentialsError, KEYS_HINT),
    "InvalidSecurity": (CredentialsError, KEYS_HINT),
    "ExpiredToken": (ExpiredError, ""),
    "RequestTimeTooSkewed": (CredentialsError, _CLOCK_HINT),
    "PreconditionFailed": (PreconditionError, ""),
    "BadDigest": (DamagedInTransitError, ""),
    "IncompleteBody": (DamagedInTransitError, ""),
    "RequestTimeout": (ConnectionLostError, ""),
    "SlowDown": (ThrottledError, ""),
    "InternalError": (UnavailableError, ""),
    "NotImplemented": (UnsupportedError, ""),
    "EntityTooSmall": (RejectedError, "a part is smaller than the store allows"),
    "EntityTooLarge": (RejectedError, "the object or part is larger than was permitted"),
    # JSON
    "notFound": (NotFoundError, ""),
    "forbidden": (AccessError, _RIGHTS_HINT),
    "required": (CredentialsError, KEYS_HINT),
    "authError": (CredentialsError, KEYS_HINT),
    "conditionNotMet": (PreconditionError, ""),
    "rateLimitExceeded": (ThrottledError, ""),
    "userRateLimitExceeded": (ThrottledError, ""),
    "backendError": (UnavailableError, ""),
    "internalError": (UnavailableError, ""),
}
# The JSON API has no code of its own for a checksum that does not fit.
_DAMAGED = re.compile(r"doesn.t match calculated")


def error_of_answer(
    what: str, status: int, headers: Mapping[str, str], body: bytes
) -> TransferError:
    """Return the error of an answer; `what` was asked, header names are in lower case."""
    code, reason = _said(body)
    message = f"{what}: {status} {code}".rstrip() + (f" ({reason})" if reason else "")
    if status == 400 and _DAMAGED.search(reason):
        return DamagedInTransitError(message)
    error = error_of_code(
        _BY_CODE,
        code,
        status,
        headers,
        message,
        hint={401: KEYS_HINT, 403: _RIGHTS_HINT}.get(status, ""),
    )
    if isinstance(error, NotFoundError) and "bucket does not exist" in reason:
        error.hint = BUCKET_HINT
    return error


def _said(body: bytes) -> tuple[str, str]:
    """Return the code and the sentence of an error's body, each "" if there is none."""
    if body.lstrip()[:1] == b"{":
        return _said_in_json(body)
    return code_and_reason(body)


def _said_in_json(body: bytes) -> tuple[str, str]:
    try:
        error = json.loads(body).get("error")
    except (ValueError, AttributeError):
        return "", ""
    if not isinstance(error, dict):
        return "", ""
    details = error.get("errors")
    first = details[0] if isinstance(details, list) and details else {}
    reason = first.get("reason") if isinstance(first, dict) else None
    return shown(str(reason or "")), shown(str(error.get("message") or ""))
