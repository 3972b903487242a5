"""Google's ways to say who asks, as a server verifies them: GOOG4-RSA-SHA256, tokens, assertions.

Written from "V4 signing process with your own program" and "Using OAuth 2.0 for
server to server applications", and apart from the project's own signer. The
canonical request is computed again from what really arrived.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import json
import re
import time
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.faults.harness.http1 import decoded
from tests.faults.harness.refusals import Refusal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from tests.faults.harness.http1 import Request

MAX_LIFETIME = 604_800
_IN_QUERY = {
    *("X-Goog-Algorithm", "X-Goog-Credential", "X-Goog-Date", "X-Goog-Expires"),
    *("X-Goog-SignedHeaders", "X-Goog-Signature"),
}
_WRONG = (
    "Access denied. The request signature we calculated does not match the signature you provided."
    " Check your Google secret key and signing method."
)


def is_signed(request: Request) -> bool:
    """Whether the query says that it is signed."""
    return any(decoded(name) in _IN_QUERY for name, _ in request.query)


def verify_url(request: Request, keys: dict[str, RSAPublicKey], now: float) -> None:
    """Raise Refusal unless the URL permits this very request, now."""
    given = {name: request.param(name) or "" for name in _IN_QUERY}
    if not all(given.values()) or given["X-Goog-Algorithm"] != "GOOG4-RSA-SHA256":
        raise Refusal("InvalidArgument", "A query string parameter is missing or wrong.")
    scope = re.fullmatch(r"(.+?)/(\d{8}/auto/storage/goog4_request)", given["X-Goog-Credential"])
    if scope is None or not scope[2].startswith(given["X-Goog-Date"][:8]):
        raise Refusal("InvalidArgument", "The credential's scope is wrong.")
    key = keys.get(scope[1])
    if key is None:
        raise Refusal("AccessDenied", "The service account does not exist.", status=401)
    _check_time(given["X-Goog-Date"], given["X-Goog-Expires"], now)
    names = given["X-Goog-SignedHeaders"].split(";")
    _check_headers(request, names)
    text = "\n".join(
        ("GOOG4-RSA-SHA256", given["X-Goog-Date"], scope[2], _canonical(request, names))
    )
    try:
        raw = bytes.fromhex(given["X-Goog-Signature"])
        key.verify(raw, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (ValueError, InvalidSignature):
        raise Refusal("SignatureDoesNotMatch", _WRONG, StringToSign=text) from None


def _check_time(stamp: str, expires: str, now: float) -> None:
    try:
        began = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        raise Refusal("InvalidArgument", "The date is wrong.") from None
    if not expires.isdecimal() or not 0 < int(expires) <= MAX_LIFETIME:
        raise Refusal("InvalidArgument", "X-Goog-Expires must be from 1 to 604800 seconds.")
    if now < began - 15 * 60:
        raise Refusal("RequestTimeTooSkewed", "The request is from the future.")
    if now > began + int(expires):
        raise Refusal(
            "ExpiredToken", "Invalid argument.", Details="The provided token has expired."
        )


def _check_headers(request: Request, names: list[str]) -> None:
    """Host has to be signed, and all that is Google's own."""
    sent = {name for name, _ in request.headers}
    own = {name for name in sent if name.startswith(("x-goog-", "x-amz-"))}
    if names != sorted(names) or "host" not in names or own - set(names) or set(names) - sent:
        raise Refusal("MalformedSecurityHeader", "Invalid argument.", status=400)


def _canonical(request: Request, names: list[str]) -> str:
    """Return the hash of the request that was signed, in hexadecimal."""
    pairs = sorted(p for p in request.query if decoded(p[0]) != "X-Goog-Signature")
    lines = [
        request.method,
        request.path,
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{' '.join((request.header(name) or '').split())}" for name in names),
        "",
        ";".join(names),
        request.header("x-goog-content-sha256") or "UNSIGNED-PAYLOAD",
    ]
    return hashlib.sha256("\n".join(lines).encode("latin-1")).hexdigest()


def verify_assertion(
    text: str, keys: dict[str, RSAPublicKey], *, audience: str, now: float
) -> str | None:
    """Return who signed a JWT (RFC 7523), None if it does not hold."""
    head, _, rest = text.partition(".")
    payload, _, signature = rest.partition(".")
    try:
        claims = json.loads(_from_url(payload))
        key = keys[claims["iss"]]
        key.verify(
            _from_url(signature), f"{head}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except (ValueError, KeyError, InvalidSignature):
        return None
    good = claims.get("aud") == audience and claims["iat"] - 300 <= now < claims["exp"]
    return claims["iss"] if good and claims.get("scope") else None


def _from_url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
