"""Google's V4 signatures in the query of a URL: GOOG4-RSA-SHA256.

Follows "V4 signing process with your own program" of the Cloud Storage
documentation. The canonical form is the one that Amazon's signatures have; what
is signed with is a service account's RSA key, held here or, through IAM's
signBlob, by Google. Headers given are signed: a request without them, or with
other values, is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from transfer.errors import CredentialsError
from transfer.signing import MAX_LIFETIME, canonical_request, quote_value, signed_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "GOOG4-RSA-SHA256"


class BlobSigner(Protocol):
    """Signs bytes as a service account: RSASSA-PKCS1-v1_5 with SHA-256."""

    @property
    def email(self) -> str:
        """The service account."""
        ...

    async def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`."""
        ...


class KeySigner:
    """Signs with a key at hand, loaded once; CredentialsError for what is no RSA key."""

    def __init__(self, email: str, pem: str) -> None:
        self.email = email
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise CredentialsError(f"the private key of {email or 'nobody'} is no RSA key")
        self._key = key

    async def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`; takes about a millisecond."""
        return self._key.sign(data, PKCS1v15(), hashes.SHA256())


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A URL that lacks its signature, and what that is to be made of."""

    url: str
    text: bytes

    def signed(self, signature: bytes) -> str:
        """Return the URL, which is a secret now."""
        return f"{self.url}&X-Goog-Signature={signature.hex()}"


def prepare(
    method: str,
    url: str,
    *,
    email: str,
    now: float,
    lifetime: float,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Unsigned:
    """Return what to sign to permit a request; `url` is percent-encoded, without a query.

    `now` is the store's time in seconds since 1970; `lifetime` in seconds, at
    most seven days. `headers` must be sent as given.
    """
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    signed = signed_headers(url, headers or {})
    granted = {
        "X-Goog-Algorithm": _ALGORITHM,
        "X-Goog-Credential": f"{email}/{scope}",
        "X-Goog-Date": stamp,
        "X-Goog-Expires": str(int(max(1, min(lifetime, MAX_LIFETIME)))),
        "X-Goog-SignedHeaders": ";".join(sorted(signed)),
    }
    asked = {**(query or {}), **granted}
    pairs = [(quote_value(name), quote_value(value)) for name, value in asked.items()]
    canonical = canonical_request(method, url, pairs, signed)
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    sent = "&".join(f"{name}={value}" for name, value in pairs)
    return Unsigned(f"{url}?{sent}", f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}".encode())
