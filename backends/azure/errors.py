"""What Azure Blob Storage says, as our errors.

Source: "Common REST API error codes" and "Blob service error codes" of the Azure
Storage REST reference. The code stands in a header, so that answers without a body
have one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.error_documents import Codes, code_and_reason, error_of_code
from transfer.errors import (
    AccessError,
    CredentialsError,
    DamagedInTransitError,
    ExistsError,
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
    from transfer.store import Response

_KEYS_HINT = (
    "check AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN"
)
_RIGHTS_HINT = "check what the credentials may do in this container, and the account's firewall"
_EXPIRED_HINT = "the permission has run out, or this machine's clock is wrong"
_LEASE_HINT = "somebody holds a lease on the blob"
_OTHER_IDS = (
    "blocks of another upload to this blob are in the way: they expire within a week, or go when"
    " the blob is written or deleted"
)


class InTheWayError(RejectedError):
    """Blocks with ids of another length wait below the same name."""


_BY_CODE: Codes = {
    "AuthenticationFailed": (CredentialsError, _KEYS_HINT),
    "InvalidAuthenticationInfo": (CredentialsError, _KEYS_HINT),
    "NoAuthenticationInformation": (CredentialsError, _KEYS_HINT),
    "KeyBasedAuthenticationNotPermitted": (CredentialsError, "the account takes identities only"),
    "AuthorizationFailure": (AccessError, f"{_KEYS_HINT}; or {_RIGHTS_HINT}"),
    "AuthorizationPermissionMismatch": (AccessError, _RIGHTS_HINT),
    "AuthorizationProtocolMismatch": (AccessError, "the credentials are for https only"),
    "AuthorizationResourceTypeMismatch": (AccessError, _RIGHTS_HINT),
    "AuthorizationServiceMismatch": (AccessError, _RIGHTS_HINT),
    "AuthorizationSourceIPMismatch": (AccessError, "the credentials are for other addresses"),
    "InsufficientAccountPermissions": (AccessError, _RIGHTS_HINT),
    "AccountIsDisabled": (AccessError, ""),
    "BlobImmutableDueToPolicy": (AccessError, "a policy forbids to change it"),
    "LeaseIdMissing": (AccessError, _LEASE_HINT),
    "LeaseIdMismatchWithBlobOperation": (AccessError, _LEASE_HINT),
    "ContainerNotFound": (NotFoundError, "check the name of the container"),
    "ContainerBeingDeleted": (NotFoundError, "the container is being deleted"),
    "BlobNotFound": (NotFoundError, ""),
    "ResourceNotFound": (NotFoundError, ""),
    "BlobAlreadyExists": (ExistsError, ""),
    "UnauthorizedBlobOverwrite": (ExistsError, ""),
    "ConditionNotMet": (PreconditionError, ""),
    "TargetConditionNotMet": (PreconditionError, ""),
    "SourceConditionNotMet": (PreconditionError, ""),
    "CannotVerifyCopySource": (AccessError, "the service may not read the source from here"),
    "Md5Mismatch": (DamagedInTransitError, ""),
    "Crc64Mismatch": (DamagedInTransitError, ""),
    "InvalidBlockList": (UploadGoneError, "its blocks have expired, or the blob was written since"),
    "InvalidBlobOrBlock": (InTheWayError, _OTHER_IDS),
    "InvalidBlobType": (RejectedError, "there is a page or append blob of this name: delete it"),
    "BlobArchived": (RejectedError, "it is archived: bring it back to an online tier first"),
    "BlockCountExceedsLimit": (RejectedError, _OTHER_IDS),
    "RequestBodyTooLarge": (RejectedError, "it is larger than the store allows"),
    "InvalidResourceName": (RejectedError, "check the name of the container"),
    "ServerBusy": (ThrottledError, ""),
    "OperationTimedOut": (UnavailableError, ""),
    "InternalError": (UnavailableError, ""),
    "FeatureNotSupported": (UnsupportedError, ""),
}
# In the detail of AuthenticationFailed; the rest of it repeats what was signed.
_EXPIRED = b"not valid in the specified time frame"


def code_of(answer: Response) -> str:
    """Return the code of an error, "" if it has none."""
    return answer.headers.get("x-ms-error-code") or code_and_reason(answer.body)[0]


def error_of(what: str, answer: Response) -> TransferError:
    """Return the error for an answer; `what` says what was asked, such as "write az://c/k"."""
    code, (_, reason) = code_of(answer), code_and_reason(answer.body)
    said = f"{answer.status} {code}".strip() + (f" ({reason})" if reason else "")
    message = f"{what}: {said}"
    if code == "AuthenticationFailed" and _EXPIRED in answer.body:
        return ExpiredError(message, hint=_EXPIRED_HINT)
    return error_of_code(_BY_CODE, code, answer.status, answer.headers, message)
