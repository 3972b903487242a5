"""What the store says no with: a status, a code, a sentence, and some details.

The sentences are those of "List of error codes" in the S3 API reference, or were
recorded from Amazon's answers.
"""

from __future__ import annotations

_STATUS = {
    "AccessDenied": 403,
    "AuthenticationRequired": 401,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BadDigest": 400,
    "ConditionalRequestConflict": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "ExpiredToken": 400,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidDigest": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidToken": 400,
    "InvalidURI": 400,
    "KeyTooLongError": 400,
    "MalformedSecurityHeader": 400,
    "MalformedTrailerError": 400,
    "MalformedXML": 400,
    "MetadataTooLarge": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "SignatureDoesNotMatch": 403,
    "XAmzContentSHA256Mismatch": 400,
}

NO_SUCH_UPLOAD = (
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have"
    " been aborted or completed."
)
INVALID_PART = (
    "One or more of the specified parts could not be found.  The part may not have been"
    " uploaded, or the specified entity tag may not match the part's entity tag."
)
WRONG_SIGNATURE = (
    "The request signature we calculated does not match the signature you provided. Check your"
    " key and signing method."
)
NOT_SIGNED = "There were headers present in the request which were not signed"
PRECONDITION = "At least one of the pre-conditions you specified did not hold"
CONFLICT = (
    "The conditional request cannot succeed due to a conflicting operation against this resource."
)
NOT_IMPLEMENTED = "A header you provided implies functionality that is not implemented"


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer of the store that is no success; `details` are further elements of its XML."""

    def __init__(
        self, code: str, message: str, *, status: int | None = None, **details: object
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status or _STATUS[code]
        self.details = {name.replace("_", "-"): str(value) for name, value in details.items()}


class Hangup(Exception):  # noqa: N818 - it is what happens to the connection
    """The connection ends here, with a FIN or a reset, and without an answer."""

    def __init__(self, *, rst: bool = False) -> None:
        super().__init__("the connection is closed without an answer")
        self.rst = rst


def no_such_upload(upload_id: str) -> Refusal:
    """Return the refusal of an upload that is not open."""
    return Refusal("NoSuchUpload", NO_SUCH_UPLOAD, UploadId=upload_id)


def invalid_request(message: str) -> Refusal:
    """Return the refusal that says only what is wrong."""
    return Refusal("InvalidRequest", message)


def invalid_header(name: str) -> Refusal:
    """Return the refusal of a value that a header cannot have."""
    return Refusal("InvalidRequest", f"Value for {name} header is invalid.")
