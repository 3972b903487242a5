"""Every error the engine raises, under one root.

An error says whose move is next: `code` is stable and goes into logs, JSON and
the coordinator's wire format; `retryable` says whether the same call may work
in a moment, `resumable` whether a later run may go on where this one stopped.
Libraries' exceptions are translated at the edge of each backend, so that
nothing above it needs to know which library spoke. Messages are one line for a
person and never hold a query string, a token or a password.
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar


class TransferError(Exception):
    """Root of all errors of this project.

    `message` is one line; `hint` says what to do about it. `attempts` and
    `elapsed` (seconds) are filled in when retries have been used up. `control`
    says that a control call failed, which may go to another host than bytes do.
    """

    code: ClassVar[str] = "transfer"
    retryable: ClassVar[bool] = False
    resumable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.attempts = 1
        self.elapsed = 0.0
        self.control = False

    def add_hint(self, hint: str) -> None:
        """Say one more thing to do or to know."""
        self.hint = f"{self.hint}; {hint}" if self.hint else hint

    def __str__(self) -> str:
        text = self.message
        if self.attempts > 1:
            text += f" (gave up after {self.attempts} attempts in {self.elapsed:.1f} s)"
        return f"{text}; {self.hint}" if self.hint else text


def only_error(error: Exception) -> Exception:
    """Return the error itself where task groups have wrapped a single one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class UsageError(TransferError):
    """The call cannot be right, whatever the store says: nothing was attempted."""

    code = "usage"


class UnknownSchemeError(UsageError):
    """No store is registered for the scheme of a URL."""

    code = "unknown_scheme"


class MissingExtraError(UsageError):
    """The store's library is not installed."""

    code = "missing_extra"


class PlanError(UsageError):
    """No plan exists: the object does not fit the limits of the store."""

    code = "plan"


class BadKeyError(UsageError):
    """A key or path that would leave its root, or cannot be stored safely."""

    code = "bad_key"


class LocalError(TransferError):
    """The local file system refused."""

    code = "local"


class DiskFullError(LocalError):
    """No space left where the bytes should go."""

    code = "disk_full"


class BusyError(TransferError):
    """Somebody else is at the same upload, and alive."""

    code = "busy"


class TakenOverError(TransferError):
    """Somebody else has taken the upload over: it is no longer ours to touch."""

    code = "taken_over"


class StoreError(TransferError):
    """A store refused or failed."""

    code = "store"


class NotFoundError(StoreError):
    """The object, bucket or upload does not exist."""

    code = "not_found"


class UploadGoneError(NotFoundError):
    """The upload id is not known: completed, aborted or expired."""

    code = "upload_gone"


class ExistsError(StoreError):
    """The target exists and must not be overwritten."""

    code = "exists"


class PreconditionError(StoreError):
    """A condition (If-Match, generation) did not hold."""

    code = "precondition"


class AccessError(StoreError):
    """The credentials are known, but not allowed to do this."""

    code = "access"


class CredentialsError(AccessError):
    """No credentials, or credentials that the store does not know."""

    code = "credentials"


class StoreRefusedError(StoreError):
    """The destination does not accept the coordinator's own credentials."""

    code = "store_refused"


class UnsupportedError(StoreError):
    """The store has no such operation."""

    code = "unsupported"


class ProtocolError(StoreError):
    """The peer answered what its protocol does not allow."""

    code = "protocol"


class TlsError(StoreError):
    """The server cannot be trusted: its certificate does not hold."""

    code = "tls"


class HostKeyError(TlsError):
    """The server cannot be trusted: its key is not known, or not the one that is."""

    code = "host_key"


class RejectedError(StoreError):
    """The store calls the request wrong (4xx) and a repetition would be too."""

    code = "rejected"


class TemporaryError(StoreError):
    """Later may work: root of all that is retried."""

    code = "temporary"
    retryable = True
    resumable = True


class ConnectionLostError(TemporaryError):
    """The connection could not be made, or broke."""

    code = "connection"


class StalledError(TemporaryError):
    """No byte moved for the whole time-out."""

    code = "stalled"


class UnavailableError(TemporaryError):
    """The server failed (5xx)."""

    code = "unavailable"


class UnsettledError(TemporaryError):
    """Something that was under way before is not over yet; the server itself is well."""

    code = "unsettled"


class ExpiredError(TemporaryError):
    """A presigned URL is too old: sign again, then send again."""

    code = "expired"


class ThrottledError(TemporaryError):
    """The server asks for less (429, 503); `retry_after` in seconds if it said when."""

    code = "throttled"

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class IntegrityError(TransferError):
    """Bytes differ from what they should be."""

    code = "integrity"


class DamagedInTransitError(IntegrityError, TemporaryError):
    """The bytes of one attempt arrived damaged or cut: the attempt is repeated."""

    code = "damaged"


class SourceChangedError(IntegrityError):
    """The source was written to while it was read."""

    code = "source_changed"


class InterruptedTransferError(TransferError):
    """Stopped from outside before it was done."""

    code = "interrupted"
    resumable = True


def error_class(code: str) -> type[TransferError]:
    """Return the class of a code that came over the wire; the root for one we do not know."""
    return _classes().get(code, TransferError)


@cache
def _classes() -> dict[str, type[TransferError]]:
    found: dict[str, type[TransferError]] = {}
    waiting: list[type[TransferError]] = [TransferError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found
