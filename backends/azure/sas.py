"""Shared access signatures: a query that permits something on one blob or one container.

Follows "Create a service SAS" and "Create a user delegation SAS" of the Azure Storage
REST reference; for an account key byte for byte what the SDK makes. Azure can bind
such a permission to a blob, to kinds of access and to a time, not to one block,
length or checksum: whoever has the URL of a part may write that blob until it
expires. So they are short-lived, each for its blob only, and who completes an upload
looks at the blocks first.
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

# Of the service: fixes what is signed, and what requests and answers look like.
VERSION = "2021-12-02"

# Where a user delegation key says whose it is; then what only file systems use.
_DELEGATION = ("skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid")
_AFTER = ("sip", "spr", "sv", "sr", "snapshot", "ses", "rscc", "rscd", "rsce", "rscl", "rsct")

# Many parts are signed in one second, and so with the same values.
_quote = lru_cache(maxsize=64)(quote)


@dataclass(frozen=True, slots=True)
class Key:
    """What signs for an account: its own key, or one that was delegated to an identity.

    `delegation` holds the fields `skoid` to `skv` that name a delegated key.
    """

    account: str
    secret: bytes = field(repr=False)
    delegation: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def sign(
    key: Key,
    container: str,
    blob: str | None,
    permissions: str,
    *,
    expires: float,
    secure: bool = True,
    version: str = VERSION,
) -> str:
    """Return a SAS for a blob, or for all of a container, good until `expires` (since 1970).

    `permissions` are letters in the order of the reference ("rcwdl"); `secure` forbids
    plain HTTP. Names are as they are, not encoded.
    """
    granted = {
        "se": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires)),
        "sp": permissions,
        **({"spr": "https"} if secure else {}),
        "sv": version,
        "sr": "c" if blob is None else "b",
        **key.delegation,
    }
    resource = f"/blob/{key.account}/{container}" + ("" if blob is None else f"/{blob}")
    text = string_to_sign(granted, resource, delegated=bool(key.delegation))
    signature = base64.b64encode(hmac.digest(key.secret, text.encode(), "sha256")).decode()
    said = "&".join(f"{name}={_quote(value)}" for name, value in granted.items())
    return f"{said}&sig={signature.replace('+', '%2B').replace('=', '%3D')}"


def string_to_sign(granted: Mapping[str, str], resource: str, *, delegated: bool) -> str:
    """Return the text that the signature is of; fields that are not granted are empty lines."""
    names = _DELEGATION if delegated else ("si",)
    lines = [granted["sp"], granted.get("st", ""), granted["se"], resource]
    lines += [granted.get(name, "") for name in (*names, *_AFTER)]
    return "\n".join(lines)
