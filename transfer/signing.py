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
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Seven days, the most that AWS accepts.
MAX_LIFETIME = 604_800
_ALGORITHM = "AWS4-HMAC-SHA256"
# The last name of our own in a query; nearly all others come behind it.
_LAST = "X-Amz-SignedHeaders"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9/._~-]*")
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
    host, path = _place(url)
    signed = _signed(host, headers) if headers else {"host": host}
    lifetime = int(max(1, min(lifetime, MAX_LIFETIME)))
    granted = _granted(credentials, region, int(now), lifetime, ";".join(signed))
    sent, ordered = granted.sent, granted.ordered
    if query:
        asked = [(quote_value(n), quote_value(v)) for n, v in query.items()]
        sent = f"{_joined(asked)}&{sent}"
        asked.sort()
        if asked[0][0] > _LAST:
            ordered = f"{ordered}&{_joined(asked)}"
        else:
            ordered = _joined(sorted([*asked, *granted.pairs]))
    canonical = _canonical(f"{method}\n{path}", ordered, signed)
    return f"{url}?{sent}&X-Amz-Signature={granted.day.sign(granted.stamp, canonical)}"


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
    day, stamp = _day(credentials.secret_key, region, int(now) // 86_400), _stamp(int(now))
    payload = hashlib.sha256(body).hexdigest()
    sent = {**(headers or {}), "x-amz-content-sha256": payload, "x-amz-date": stamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    signed = signed_headers(url, sent)
    asked = [(quote_value(n), quote_value(v)) for n, v in (query or {}).items()]
    canonical = canonical_request(method, url, asked, signed, payload)
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{day.scope},"
        f" SignedHeaders={';'.join(signed)}, Signature={day.sign(stamp, canonical)}"
    )
    return f"{url}?{_joined(asked)}" if asked else url, sent


def quote_key(key: str) -> str:
    """Return an object's key as the path of a URL, encoded as S3 signs it."""
    return key if _PLAIN_KEY.fullmatch(key) else quote(key, safe="/~")


@lru_cache(maxsize=16_384)
def quote_value(text: str) -> str:
    """Return a name or a value of a query, encoded as it is signed."""
    return quote(text, safe="~")


def signed_headers(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request in the form that is signed, Host among them, in order."""
    return _signed(_place(url)[0], headers)


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
    return _canonical(f"{method}\n{_place(url)[1]}", _joined(sorted(pairs)), signed, payload)


class _Day:
    """The signing key of a day, kept half-way through its two hashes (RFC 2104)."""

    __slots__ = ("_inner", "_outer", "scope")

    def __init__(self, secret: str, region: str, day: str) -> None:
        key = b"AWS4" + secret.encode()
        for text in (day, region, "s3", "aws4_request"):
            key = hmac.digest(key, text.encode(), "sha256")
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self.scope = f"{day}/{region}/s3/aws4_request"

    def sign(self, stamp: str, canonical: str) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{_ALGORITHM}\n{stamp}\n{self.scope}\n{digest}".encode())
        outer.update(inner.digest())
        return outer.hexdigest()


class _Granted(NamedTuple):
    """The part of a query that is the same for all requests of a second: as sent, and in order."""

    sent: str
    ordered: str
    pairs: tuple[tuple[str, str], ...]
    stamp: str
    day: _Day


@lru_cache(maxsize=64)
def _granted(
    credentials: Credentials, region: str, now: int, lifetime: int, names: str
) -> _Granted:
    day, stamp = _day(credentials.secret_key, region, now // 86_400), _stamp(now)
    granted = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{day.scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(lifetime),
        "X-Amz-SignedHeaders": names,
    }
    if credentials.token:
        granted["X-Amz-Security-Token"] = credentials.token
    pairs = [(name, quote_value(value)) for name, value in granted.items()]
    return _Granted(_joined(pairs), _joined(sorted(pairs)), tuple(pairs), stamp, day)


@lru_cache(maxsize=16)
def _day(secret: str, region: str, day: int) -> _Day:
    return _Day(secret, region, _stamp(day * 86_400)[:8])


@lru_cache(maxsize=4)
def _stamp(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")


def _signed(host: str, headers: Mapping[str, str]) -> dict[str, str]:
    signed = [(name.lower(), " ".join(value.split())) for name, value in headers.items()]
    signed.append(("host", host))
    signed.sort()
    return dict(signed)


def _canonical(
    target: str, query: str, signed: Mapping[str, str], payload: str = "UNSIGNED-PAYLOAD"
) -> str:
    lines = "".join([f"{name}:{value}\n" for name, value in signed.items()])
    return f"{target}\n{query}\n{lines}\n{';'.join(signed)}\n{payload}"


def _joined(pairs: Iterable[tuple[str, str]]) -> str:
    return "&".join([f"{n}={v}" for n, v in pairs])


def _place(url: str) -> tuple[str, str]:
    """Return host and path; the Host header leaves out the port that the scheme implies."""
    scheme, _, rest = url.partition("://")
    netloc, slash, path = rest.partition("/")
    return netloc.removesuffix(_IMPLIED.get(scheme, " ")), f"/{path}" if slash else "/"
