"""AWS Signature Version 4, in the query of a URL or in a header.

Follows "Authenticating Requests: Using Query Parameters (AWS Signature Version
4)" of the Amazon S3 API reference; byte for byte what botocore makes, at a small
part of its cost, because the signing key of a day is kept. Headers given to
`presign` are signed: a request with other values, or without them, is refused by
the store. That is how a URL is bound to a length and a checksum.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Seven days, the most that AWS accepts.
MAX_LIFETIME = 604_800
_ALGORITHM = "AWS4-HMAC-SHA256"
_IMPLIED = {"http": ":80", "https": ":443"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key; `token` comes with temporary ones."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return f"<Credentials {self.access_key[:4]}…>"


def presign(
    method: str,
    url: str,
    *,
    credentials: Credentials,
    region: str,
    now: float,
    lifetime: float,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    """Return `url` (percent-encoded, without a query) with a query that permits the request.

    `now` is the store's time in seconds since 1970; `lifetime` in seconds, at
    most seven days. `headers` must be sent as given.
    """
    signed = signed_headers(url, headers or {})
    names = ";".join(sorted(signed))
    stamp = _stamp(int(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    granted = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(max(1, min(lifetime, MAX_LIFETIME)))),
        "X-Amz-SignedHeaders": names,
    }
    if credentials.token:
        granted["X-Amz-Security-Token"] = credentials.token
    pairs = [(quote_value(n), quote_value(v)) for n, v in ({**(query or {}), **granted}).items()]
    canonical = canonical_request(method, url, pairs, signed)
    signature = _signature(canonical, stamp, scope, credentials, region)
    sent = "&".join([f"{n}={v}" for n, v in pairs])
    return f"{url}?{sent}&X-Amz-Signature={signature}"


def authorize(
    method: str,
    url: str,
    *,
    credentials: Credentials,
    region: str,
    now: float,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> tuple[str, dict[str, str]]:
    """Return URL and headers of a request that is to be sent now, the body signed with it.

    As "Authenticating Requests: Using the Authorization Header" has it.
    """
    stamp = _stamp(int(now))
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    payload = hashlib.sha256(body).hexdigest()
    sent = {**(headers or {}), "x-amz-content-sha256": payload, "x-amz-date": stamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    signed = signed_headers(url, sent)
    names = ";".join(sorted(signed))
    pairs = [(quote_value(n), quote_value(v)) for n, v in (query or {}).items()]
    canonical = canonical_request(method, url, pairs, signed, payload)
    signature = _signature(canonical, stamp, scope, credentials, region)
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope},"
        f" SignedHeaders={names}, Signature={signature}"
    )
    asked = "&".join([f"{n}={v}" for n, v in pairs])
    return f"{url}?{asked}" if asked else url, sent


def quote_key(key: str) -> str:
    """Return an object's key as the path of a URL, encoded as S3 signs it."""
    return quote(key, safe="/~")


def quote_value(text: str) -> str:
    """Return a name or a value of a query, encoded as it is signed."""
    return quote(text, safe="~")


def signed_headers(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request in the form that is signed, Host among them."""
    signed = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
    signed["host"] = _place(url)[0]
    return signed


def canonical_request(
    method: str,
    url: str,
    pairs: Iterable[tuple[str, str]],
    signed: Mapping[str, str],
    payload: str = "UNSIGNED-PAYLOAD",
) -> str:
    """Return a request in the canonical form, which Google's V4 signatures share with Amazon's.

    `pairs` are those of the query, encoded; `signed` come from `signed_headers`.
    """
    names = sorted(signed)
    query = "&".join([f"{n}={v}" for n, v in sorted(pairs)])
    headers = "".join([f"{name}:{signed[name]}\n" for name in names])
    return f"{method}\n{_place(url)[1]}\n{query}\n{headers}\n{';'.join(names)}\n{payload}"


def _signature(
    canonical: str, stamp: str, scope: str, credentials: Credentials, region: str
) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, stamp[:8], region)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _place(url: str) -> tuple[str, str]:
    """Return host and path; the Host header leaves out the port that the scheme implies."""
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return netloc.removesuffix(_IMPLIED.get(scheme, " ")), f"/{path}" if slash else "/"


@lru_cache(maxsize=4)
def _stamp(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=16)
def _signing_key(secret: str, day: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for text in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key
