"""How this process itself is let in, and what signs for those that have no credentials.

With the account's key, requests carry a SAS of an hour for the container; with a SAS
that somebody gave, that one; else an identity's token, in a header. A key signs for
others too, an identity by a key that the account delegates to it; a given SAS cannot
be narrowed, so it is handed to nobody.
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, cast

import anyio
import anyio.to_thread

from backends.azure.documents import delegation
from backends.azure.errors import error_of
from backends.azure.sas import VERSION, Key, sign
from transfer.errors import (
    ConnectionLostError,
    CredentialsError,
    MissingExtraError,
    ProtocolError,
    StalledError,
    UsageError,
)
from transfer.redaction import host_of
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from azure.core.credentials_async import AsyncTokenCredential

    from backends.azure.account import Account
    from transfer.store import Mover, Tls

_SCOPE = "https://storage.azure.com/.default"
# What this process does: read, create, write, delete, list.
_ALL = "rcwdl"
_OWN_LIFETIME = 3600.0
# Seconds that a token or a key must still be good for when it is used.
_MARGIN = 300.0
_PATIENCE = 60.0
# The service delegates keys for a week at most.
_DELEGATED_FOR = 24 * 3600.0
_LOGIN_HINT = (
    "set AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN,"
    " or log in (`az login`, a managed identity, AZURE_CLIENT_ID and its like)"
)


class Access(Protocol):
    """Adds to a request what lets it in."""

    async def admit(self, url: str) -> tuple[str, dict[str, str]]:
        """Return the URL (which may have a query) and the headers to ask with."""
        ...

    async def admit_to_read(
        self, url: str, container: str, blob: str
    ) -> tuple[str, dict[str, str]]:
        """Return what lets the service itself read a blob of the account, for a copy."""
        ...


class KeyRing(Protocol):
    """Has a key to sign with for others."""

    async def current(self, lifetime: float) -> Key:
        """Return a key that is good for `lifetime` more seconds."""
        ...


class KeyAccess:
    """With the account's key."""

    def __init__(self, account: Account, container: str, key: Key) -> None:
        self._container = container
        self._key = key
        self._secure = account.endpoint.startswith("https:")
        self._sas = ""
        self._until = 0.0

    async def admit(self, url: str) -> tuple[str, dict[str, str]]:
        """Add a SAS for the container, which is signed anew now and then."""
        now = time.time()
        if now > self._until:
            self._until = now + _OWN_LIFETIME / 2
            expires = now + _OWN_LIFETIME
            self._sas = sign(
                self._key, self._container, None, _ALL, expires=expires, secure=self._secure
            )
        return with_sas(url, self._sas), {}

    async def admit_to_read(
        self, url: str, container: str, blob: str
    ) -> tuple[str, dict[str, str]]:
        """Add a SAS for this blob only."""
        expires = time.time() + _OWN_LIFETIME
        sas = sign(self._key, container, blob, "r", expires=expires, secure=self._secure)
        return with_sas(url, sas), {}

    async def current(self, lifetime: float) -> Key:
        """The account's key does not run out."""
        del lifetime
        return self._key


class SasAccess:
    """With a SAS that somebody gave."""

    def __init__(self, sas: str) -> None:
        self._sas = sas

    async def admit(self, url: str) -> tuple[str, dict[str, str]]:
        """Add it as it is; it may be of an older version of the service than we speak."""
        return with_sas(url, self._sas), {"x-ms-version": VERSION}

    async def admit_to_read(
        self, url: str, container: str, blob: str
    ) -> tuple[str, dict[str, str]]:
        """Add it here too: it may be for the whole account."""
        del container, blob
        return await self.admit(url)


class IdentityAccess:
    """With the token of an identity; `current` asks the account to delegate a key to it."""

    def __init__(
        self, account: Account, credential: AsyncTokenCredential, mover: Mover, tls: Tls
    ) -> None:
        self._account = account
        self._credential = credential
        self._mover = mover
        self._tls = tls
        self._token, self._token_until = "", 0.0
        self._key, self._key_until = Key(account.name, b""), 0.0
        self._renewing, self._delegating = anyio.Lock(), anyio.Lock()

    async def admit(self, url: str) -> tuple[str, dict[str, str]]:
        """Add the token, which is renewed before it runs out."""
        if not url.startswith("https:"):
            raise UsageError(
                f"{host_of(url)}: the token of an identity is not sent over plain HTTP",
                hint="use https, a key or a SAS token",
            )
        async with self._renewing:
            if time.time() + _MARGIN > self._token_until:
                await self._renew()
            return url, {"Authorization": f"Bearer {self._token}", "x-ms-version": VERSION}

    async def admit_to_read(
        self, url: str, container: str, blob: str
    ) -> tuple[str, dict[str, str]]:
        """Add the token: what may read from here may let the service read."""
        del container, blob
        return await self.admit(url)

    async def _renew(self) -> None:
        # Not at the top: it takes most of a second, and who has a key does without.
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415

        try:
            with anyio.fail_after(_PATIENCE):
                found = await self._credential.get_token(_SCOPE)
        except TimeoutError:
            raise StalledError(f"no token for Azure Storage in {_PATIENCE:.0f} s") from None
        except ClientAuthenticationError:
            raise CredentialsError(
                f"no credentials for the account {self._account.name} of Azure Storage",
                hint=_LOGIN_HINT,
            ) from None
        except (AzureError, OSError) as error:
            raise ConnectionLostError(
                f"no token for Azure Storage: {type(error).__name__}", hint=_LOGIN_HINT
            ) from None
        self._token, self._token_until = found.token, float(found.expires_on)

    async def current(self, lifetime: float) -> Key:
        """Return the delegated key; AccessError if this identity gets none."""
        async with self._delegating:
            if time.time() + lifetime + _MARGIN > self._key_until:
                await self._delegate(lifetime)
            return self._key

    async def _delegate(self, lifetime: float) -> None:
        """Get User Delegation Key."""
        now = time.time()
        until = now + max(_DELEGATED_FOR, lifetime + 2 * _MARGIN)
        body = (
            '<?xml version="1.0" encoding="utf-8"?><KeyInfo>'
            f"<Start>{_stamp(now - _MARGIN)}</Start><Expiry>{_stamp(until)}</Expiry></KeyInfo>"
        )
        url = f"{self._account.endpoint}/?restype=service&comp=userdelegationkey"
        url, headers = await self.admit(url)
        request = Request("POST", url, headers, tls=self._tls, body=body.encode())
        answer = await self._mover.exchange(request)
        if not answer.ok:
            raise error_of(f"get a key for {self._account.name} to sign with", answer)
        fields, value = delegation(answer.body)
        try:
            secret = base64.b64decode(value, validate=True)
        except binascii.Error:
            raise ProtocolError("the store delegated what is no key") from None
        self._key, self._key_until = Key(self._account.name, secret, fields), until


@asynccontextmanager
async def open_access(
    account: Account, container: str, mover: Mover, tls: Tls
) -> AsyncIterator[tuple[Access, KeyRing | None]]:
    """Yield what lets this process in, and what signs for others, if anything does."""
    if account.key is not None:
        with_key = KeyAccess(account, container, Key(account.name, account.key))
        yield with_key, with_key
    elif account.sas is not None:
        yield SasAccess(account.sas), None
    else:
        async with await anyio.to_thread.run_sync(_default_credential) as credential:
            identity = IdentityAccess(account, credential, mover, tls)
            yield identity, identity


def with_sas(url: str, sas: str) -> str:
    """Return a URL with one more query."""
    return f"{url}{'&' if '?' in url else '?'}{sas}"


def _default_credential() -> AsyncTokenCredential:
    try:
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"an identity needs the module {error.name}",
            hint="pip install 'multipart-transfer[azure]', or use a key or a SAS token",
        ) from error
    # It writes down at length what it has tried; our errors say what to do.
    logger = logging.getLogger("azure")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    return cast("AsyncTokenCredential", DefaultAzureCredential())


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
