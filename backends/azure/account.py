"""Which account is meant, where it is, and how it lets us in: from a URL and the settings.

MLflow's URLs name container and account; `az://` only the container. A connection
string wins over all else, as in MLflow, and is the only way to another address than
Azure's own clouds (an emulator, a private domain): a URL that somebody sends must not
lead a token to their host. Source: "Configure Azure Storage connection strings".
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from transfer.errors import UsageError

if TYPE_CHECKING:
    from transfer.settings import Settings

_AUTHORITY = re.compile(
    r"(?P<container>[^@:]+)@(?P<account>[a-z0-9-]+)\.(?P<zone>z\d+\.)?(?:blob|dfs)\.(?P<suffix>"
    r"core\.windows\.net|core\.chinacloudapi\.cn|core\.usgovcloudapi\.net|storage\.azure\.net)"
)
_STRING = "AZURE_STORAGE_CONNECTION_STRING"
# The emulator's account and key, which are documented and the same everywhere.
_EMULATOR = (
    "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlm"
    "EtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;"
    "BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL says: account and endpoint are None where it leaves them open."""

    container: str
    account: str | None = None
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """An account: `endpoint` is the address of its blobs, without a slash behind.

    `key` is the account's own, `sas` a permission that somebody gave; without both,
    an identity has to do.
    """

    name: str
    endpoint: str
    key: bytes | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)


def place_of(root: str) -> Place:
    """Read `wasbs://CONTAINER@ACCOUNT.blob.core.windows.net` and its like; raises UsageError."""
    scheme, _, authority = root.partition("://")
    if scheme == "az":
        if "@" in authority:
            raise UsageError("az:// names a container only", hint="write az://CONTAINER/PATH")
        return Place(authority)
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        host = "dfs" if scheme == "abfss" else "blob"
        raise UsageError(
            f"{scheme}:// names no container and account of Azure Storage",
            hint=f"write {scheme}://CONTAINER@ACCOUNT.{host}.core.windows.net/PATH; other addresses"
            f" come from {_STRING}",
        )
    protocol = "http" if scheme == "wasb" else "https"
    # A Data Lake has the same blobs at both of its addresses.
    host = f"{found['account']}.{found['zone'] or ''}blob.{found['suffix']}"
    return Place(found["container"], found["account"], f"{protocol}://{host}")


def account_of(place: Place, settings: Settings) -> Account:
    """Return the account of a place, with what the settings say of it; raises UsageError."""
    if settings.azure_connection_string:
        account = _connected(settings.azure_connection_string)
        if place.account not in {None, account.name}:
            raise UsageError(
                f"the URL names the account {place.account}, {_STRING} the account {account.name}",
                hint="change one of them",
            )
        if account.key or account.sas:
            return account
        return _with_credentials(account.name, account.endpoint, settings)
    name = place.account or settings.azure_account
    if name is None:
        raise UsageError(
            "az:// does not say which account", hint=f"set AZURE_STORAGE_ACCOUNT or {_STRING}"
        )
    endpoint = place.endpoint or f"https://{name}.blob.core.windows.net"
    return _with_credentials(name, endpoint, settings)


def _with_credentials(name: str, endpoint: str, settings: Settings) -> Account:
    if settings.azure_access_key:
        key = _key(settings.azure_access_key, "AZURE_STORAGE_ACCESS_KEY")
        return Account(name, endpoint, key=key)
    if settings.azure_sas_token:
        sas = _sas(settings.azure_sas_token, "AZURE_STORAGE_SAS_TOKEN")
        return Account(name, endpoint, sas=sas)
    return Account(name, endpoint)


def _connected(text: str) -> Account:
    said = fields_of(text)
    if said.get("usedevelopmentstorage", "").lower() == "true":
        said = fields_of(_EMULATOR)
    endpoint = said.get("blobendpoint", "").rstrip("/")
    name = said.get("accountname") or _name_in(endpoint)
    if not name:
        raise UsageError(f"{_STRING} names neither AccountName nor BlobEndpoint")
    if not endpoint:
        protocol = said.get("defaultendpointsprotocol", "https")
        suffix = said.get("endpointsuffix", "core.windows.net")
        endpoint = f"{protocol}://{name}.blob.{suffix}"
    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"the BlobEndpoint in {_STRING} is no http:// or https:// address")
    key, sas = said.get("accountkey"), said.get("sharedaccesssignature")
    return Account(
        name,
        endpoint,
        key=_key(key, _STRING) if key else None,
        sas=_sas(sas, _STRING) if sas and not key else None,
    )


def fields_of(text: str) -> dict[str, str]:
    """Return the fields of a connection string by their names in lower case; raises UsageError."""
    pairs = [pair.partition("=") for pair in text.strip().split(";") if pair.strip()]
    if not pairs or not all(name.strip() and equals for name, equals, _ in pairs):
        raise UsageError(
            f"{_STRING} is no connection string", hint="copy it whole: NAME=VALUE;NAME=VALUE;..."
        )
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _name_in(endpoint: str) -> str:
    """The account is the first label of the host, or the first segment of the path."""
    parts = urlsplit(endpoint)
    path = parts.path.strip("/").partition("/")[0]
    return path or (parts.hostname or "").partition(".")[0]


def _key(text: str, variable: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"the key in {variable} is not base64", hint="copy it whole") from None


def _sas(text: str, variable: str) -> str:
    token = text.strip().lstrip("?")
    if "sig=" not in token or not token.isascii() or " " in token:
        raise UsageError(f"{variable} holds no SAS token", hint="it looks like sv=...&sig=...")
    return token
