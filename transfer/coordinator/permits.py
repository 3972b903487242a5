"""URLs of the coordinator's own that hold their permission: signed, bound, expiring.

For a destination that cannot presign (a folder), part URLs point at the
coordinator itself. Such a URL permits one method on one path until a moment, for
a body of one length: a change of any of these breaks the signature.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from transfer.coordinator.access import RefusedAccessError, RefusedPermitError


@dataclass(frozen=True, slots=True)
class Permits:
    """Signs and checks; whoever shares the key can check."""

    key: bytes

    def __repr__(self) -> str:
        return "<Permits>"

    def sign(self, method: str, path: str, *, expires: float, length: int | None = None) -> str:
        """Return the query that permits `method` on `path` until `expires` (seconds since 1970)."""
        claims = {"expires": str(int(expires))}
        if length is not None:
            claims["length"] = str(length)
        signature = self._signature(method, path, urlencode(claims))
        return urlencode({**claims, "signature": signature})

    def check(
        self, method: str, path: str, query: str, *, now: float, length: int | None = None
    ) -> None:
        """Raise RefusedAccessError unless the query permits this; RefusedPermitError if it did."""
        claims = dict(parse_qsl(query))
        signature = claims.pop("signature", "")
        expected = self._signature(method, path, urlencode(claims))
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise RefusedAccessError("the URL is not signed by this coordinator for this request")
        if now > int(claims["expires"]):
            raise RefusedPermitError("the URL has expired")
        if "length" in claims and claims["length"] != str(length):
            raise RefusedAccessError(f"the URL is for a body of {claims['length']} bytes")

    def _signature(self, method: str, path: str, claims: str) -> str:
        text = f"{method}\n{path}\n{claims}"
        return hmac.digest(self.key, text.encode(), "sha256").hex()
