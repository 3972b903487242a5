"""Signature Version 4 as a server verifies it: in the Authorization header, and in the query.

Written from "Authenticating Requests (AWS Signature Version 4)" of the S3 API
reference, and apart from the project's own signer: a mistake made there must not
be made here. The canonical request is computed again from what really arrived.
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.faults.harness.http1 import decoded
from tests.faults.harness.refusals import NOT_SIGNED, WRONG_SIGNATURE, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.harness.http1 import Request

MAX_SKEW = 15 * 60
MAX_LIFETIME = 604_800
UNSIGNED = "UNSIGNED-PAYLOAD"
_ALGORITHM = "AWS4-HMAC-SHA256"
_IN_QUERY = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_QUERY_SENTENCE = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential,"
    " X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)
_IN_HEADER = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})"
)
_SCOPE = re.compile(r"(.+)/(\d{8})/([a-z0-9-]*)/([a-z0-9-]*)/aws4_request")


@dataclass(frozen=True)
class Key:
    """An access key that the store knows; `expires` is when its token does, since 1970."""

    access: str
    secret: str
    token: str | None = None
    expires: float | None = None


@dataclass(frozen=True)
class _Claim:
    """What a request says about its own signature."""

    scope: str
    signed: str
    signature: str
    stamp: str
    token: str | None
    payload: str
    presigned: bool


def verify(
    request: Request, keys: Mapping[str, Key], *, region: str, now: float, expired_status: int = 403
) -> str:
    """Return what was signed of the body: its SHA-256, or a word such as UNSIGNED-PAYLOAD.

    `now` is the store's time in seconds since 1970. Raises Refusal.
    """
    claim = _claim(request)
    match = _SCOPE.fullmatch(claim.scope)
    if match is None or match[4] != "s3":
        raise _malformed(claim, "the Credential is mal-formed")
    key = keys.get(match[1])
    if key is None:
        raise Refusal(
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
            AWSAccessKeyId=match[1],
        )
    if match[3] != region:
        reason = f"the region '{match[3]}' is wrong; expecting '{region}'"
        raise _malformed(claim, reason, Region=region)
    if match[2] != claim.stamp[:8]:
        raise _malformed(claim, f"Invalid credential date {match[2]}")
    _check_time(request, claim, now, expired_status)
    _check_token(key, claim, now)
    _check_signed_headers(request, claim)
    _check_signature(request, claim, key, match[2], region)
    return claim.payload


def _claim(request: Request) -> _Claim:
    authorization = request.header("authorization")
    in_query = any(decoded(name) in _IN_QUERY for name, _ in request.query)
    if authorization is not None and in_query:
        raise Refusal("InvalidArgument", "Only one auth mechanism allowed")
    if in_query:
        return _claim_in_query(request)
    if request.param("Signature") or (authorization or "").startswith("AWS "):
        sentence = "The authorization mechanism you have provided is not supported."
        raise Refusal("InvalidRequest", f"{sentence} Please use AWS4-HMAC-SHA256.")
    if authorization is None:
        raise Refusal("AccessDenied", "Access Denied")
    return _claim_in_header(request, authorization)


def _claim_in_query(request: Request) -> _Claim:
    given = [request.param(name) or "" for name in _IN_QUERY]
    if not all(given) or given[0] != _ALGORITHM:
        raise Refusal("AuthorizationQueryParametersError", _QUERY_SENTENCE)
    _, scope, signature, stamp, signed, expires = given
    sentence = None
    if not re.fullmatch(r"-?\d{1,18}", expires):
        sentence = "X-Amz-Expires should be a number"
    elif int(expires) < 0:
        sentence = "X-Amz-Expires must be non-negative"
    elif int(expires) > MAX_LIFETIME:
        sentence = "X-Amz-Expires must be less than a week (in seconds) that is 604800"
    if sentence is not None:
        raise Refusal("AuthorizationQueryParametersError", sentence)
    token = request.param("X-Amz-Security-Token")
    payload = request.header("x-amz-content-sha256") or request.param("X-Amz-Content-Sha256")
    return _Claim(scope, signed, signature, stamp, token, payload or UNSIGNED, presigned=True)


def _claim_in_header(request: Request, authorization: str) -> _Claim:
    match = _IN_HEADER.fullmatch(authorization)
    if match is None:
        raise Refusal("AuthorizationHeaderMalformed", "The authorization header is malformed")
    payload = request.header("x-amz-content-sha256")
    if payload is None:
        raise Refusal(
            "InvalidRequest", "Missing required header for this request: x-amz-content-sha256"
        )
    stamp = request.header("x-amz-date") or _stamp_of_date(request.header("date"))
    token = request.header("x-amz-security-token")
    return _Claim(match[1], match[2], match[3], stamp, token, payload, presigned=False)


def _stamp_of_date(text: str | None) -> str:
    try:
        return parsedate_to_datetime(text or "").strftime("%Y%m%dT%H%M%SZ")
    except ValueError:
        raise Refusal(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"
        ) from None


def _malformed(claim: _Claim, reason: str, **details: str) -> Refusal:
    if claim.presigned:
        sentence = f"Error parsing the X-Amz-Credential parameter; {reason}"
        return Refusal("AuthorizationQueryParametersError", sentence, **details)
    sentence = f"The authorization header is malformed; {reason}"
    return Refusal("AuthorizationHeaderMalformed", sentence, **details)


def _check_time(request: Request, claim: _Claim, now: float, expired_status: int) -> None:
    try:
        signed_at = calendar.timegm(time.strptime(claim.stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refusal("AccessDenied", "Invalid date: it must be in ISO8601 basic format") from None
    if not claim.presigned:
        if abs(now - signed_at) > MAX_SKEW:
            raise Refusal(
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                RequestTime=claim.stamp,
                ServerTime=_iso(now),
                MaxAllowedSkewMilliseconds=MAX_SKEW * 1000,
            )
        return
    if signed_at > now + MAX_SKEW:
        raise Refusal("AccessDenied", "Request is not yet valid", ServerTime=_iso(now))
    lifetime = int(request.param("X-Amz-Expires") or 0)
    if now > signed_at + lifetime:
        raise Refusal(
            "AccessDenied",
            "Request has expired",
            status=expired_status,
            Expires=_iso(signed_at + lifetime),
            ServerTime=_iso(now),
            X_Amz_Expires=lifetime,
        )


def _check_token(key: Key, claim: _Claim, now: float) -> None:
    if claim.token != key.token:
        raise Refusal("InvalidToken", "The provided token is malformed or otherwise invalid.")
    if key.expires is not None and now > key.expires:
        raise Refusal("ExpiredToken", "The provided token has expired.")


def _check_signed_headers(request: Request, claim: _Claim) -> None:
    """Nothing that steers the store may ride along unsigned; a hash is in the signature anyway."""
    signed = set(claim.signed.split(";"))
    free = {"x-amz-content-sha256"}
    steering = {name for name, _ in request.headers if name.startswith("x-amz-")}
    missing = sorted(steering - signed - free)
    if "host" not in signed:
        missing.append("host")
    if missing:
        raise Refusal("AccessDenied", NOT_SIGNED, HeadersNotSigned=", ".join(missing))


def _check_signature(request: Request, claim: _Claim, key: Key, day: str, region: str) -> None:
    names = claim.signed.split(";")
    values = {name: request.header(name) for name in names}
    canonical = canonical_request(request, values, claim.payload)
    scope = f"{day}/{region}/s3/aws4_request"
    hashed = hashlib.sha256(canonical).hexdigest()
    text = f"{_ALGORITHM}\n{claim.stamp}\n{scope}\n{hashed}"
    secret = ("AWS4" + key.secret).encode()
    for word in (day, region, "s3", "aws4_request", text):
        secret = hmac.new(secret, word.encode(), hashlib.sha256).digest()
    absent = [name for name, value in values.items() if value is None]
    if absent or not hmac.compare_digest(secret.hex(), claim.signature):
        raise Refusal(
            "SignatureDoesNotMatch",
            WRONG_SIGNATURE,
            AWSAccessKeyId=key.access,
            StringToSign=text,
            SignatureProvided=claim.signature,
            CanonicalRequest=canonical.decode("latin-1"),
        )


def canonical_request(request: Request, signed: Mapping[str, str | None], payload: str) -> bytes:
    """Return the canonical request of what arrived; absent headers count as empty."""
    pairs = [
        (_encoded(name), _encoded(value))
        for name, value in request.query
        if decoded(name) != "X-Amz-Signature"
    ]
    headers = [f"{name}:{' '.join((signed[name] or '').split())}\n" for name in sorted(signed)]
    lines = (
        request.method,
        _encoded(request.path, safe="/"),
        "&".join(f"{name}={value}" for name, value in sorted(pairs)),
        "".join(headers),
        ";".join(sorted(signed)),
        payload,
    )
    return "\n".join(lines).encode("latin-1")


def _encoded(text: str, safe: str = "") -> str:
    """Encode as the signature has it: everything but letters, digits and `-._~`."""
    return quote(decoded(text).encode("utf-8", "surrogateescape"), safe=safe + "~")


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
