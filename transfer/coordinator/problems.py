"""Errors as HTTP answers: RFC 9457 on our own routes, MLflow's shape on its.

What went wrong with the store's credentials, and where on this machine a folder
lies, is nobody's business but the operator's: it goes into the log, and a client
is told that the destination refused or failed.
"""

from __future__ import annotations

import errno
import json
import logging
from typing import TYPE_CHECKING

from starlette.responses import Response

from transfer.coordinator.access import Refusal
from transfer.errors import (
    AccessError,
    BadKeyError,
    CredentialsError,
    DiskFullError,
    ExistsError,
    ExpiredError,
    IntegrityError,
    LocalError,
    NotFoundError,
    PreconditionError,
    ProtocolError,
    RejectedError,
    StoreError,
    StoreRefusedError,
    TemporaryError,
    ThrottledError,
    TlsError,
    TransferError,
    UnsupportedError,
    UsageError,
)
from transfer.wire import API_PATH, Problem

if TYPE_CHECKING:
    from starlette.requests import Request

_LOG = logging.getLogger(__name__)

# What a folder answers to names that it cannot have; no other name, no other answer.
_NAME_ERRORS = {
    errno.EEXIST,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
}


class TooLargeError(RejectedError):
    """The body of a message is longer than any that makes sense."""


# The first that matches decides.
_STATUSES: tuple[tuple[type[TransferError], int], ...] = (
    (CredentialsError, 401),
    (ExpiredError, 403),
    (AccessError, 403),
    (BadKeyError, 400),
    (UsageError, 400),
    (NotFoundError, 404),
    (ExistsError, 412),
    (PreconditionError, 412),
    (UnsupportedError, 501),
    (DiskFullError, 507),
    (ThrottledError, 503),
    (TemporaryError, 503),
    (IntegrityError, 409),
    (TooLargeError, 413),
    (RejectedError, 400),
    (ProtocolError, 502),
    (StoreRefusedError, 502),
)
_MLFLOW_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    412: "RESOURCE_ALREADY_EXISTS",
    413: "INVALID_PARAMETER_VALUE",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def of_the_store(error: TransferError) -> TransferError:
    """Return what a client may know of an error that the destination gave the coordinator."""
    match error:
        case Refusal():
            return error
        case AccessError() | ExpiredError():
            _LOG.error("the destination refuses the coordinator: %s", error)
            return StoreRefusedError("the destination refuses the coordinator's credentials")
        case DiskFullError():
            _LOG.error("the destination is full: %s", error)
            return DiskFullError("the destination is full")
        case LocalError() if _is_about_the_name(error):
            return RejectedError(error.message)
        case LocalError() | TlsError():
            _LOG.error("the destination failed: %s", error)
            return StoreError("the destination failed: see the coordinator's log")
        case _:
            return error


def _is_about_the_name(error: LocalError) -> bool:
    """Tell whether another name would do; else it is the folder that is at fault."""
    cause = error.__cause__
    return not isinstance(cause, OSError) or cause.errno in _NAME_ERRORS


def status_of(error: TransferError) -> int:
    """Return the HTTP status for an error."""
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def answer_of(request: Request, error: TransferError) -> Response:
    """Return the answer for an error, in the shape of the API that was asked."""
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="transfer", Basic realm="transfer"'
    if isinstance(error, ThrottledError) and error.retry_after:
        headers["Retry-After"] = str(int(error.retry_after))
    text = f"{error.message}; {error.hint}" if error.hint else error.message
    if request.scope["path"].startswith(f"{API_PATH}/"):
        problem = Problem(title=type(error).__name__, status=status, detail=text, code=error.code)
        return Response(problem.model_dump_json(), status, headers, "application/problem+json")
    code = _MLFLOW_CODES.get(status, "INTERNAL_ERROR")
    body = json.dumps({"error_code": code, "message": text})
    return Response(body, status, headers, "application/json")
