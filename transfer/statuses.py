"""HTTP status codes as our errors (RFC 9110 section 15, RFC 6585)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_STATUS: dict[int, type[TransferError]] = {
    401: CredentialsError,
    403: AccessError,
    404: NotFoundError,
    408: ConnectionLostError,
    412: PreconditionError,
    501: UnsupportedError,
}


def error_of_status(
    status: int, headers: Mapping[str, str], message: str, *, hint: str = ""
) -> TransferError:
    """Return the error of an answer that is no success; header names in lower case."""
    if status in {429, 503}:
        return ThrottledError(message, hint=hint, retry_after=retry_after(headers))
    if 300 <= status < 400:
        return ProtocolError(f"{message}: redirected, which is not followed", hint=hint)
    kind = _BY_STATUS.get(status, UnavailableError if status >= 500 else RejectedError)
    if kind is CredentialsError:
        hint = hint or "check the token, or user and password"
    return kind(message, hint=hint)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a Retry-After header asks for, None if it says nothing usable."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - seldom a date

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time()) if text else None
    except (ValueError, OverflowError):
        return None
