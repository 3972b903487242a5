"""Who we are to Google: credentials found, tokens kept fresh, signatures where possible.

gcloud-aio-auth knows the kinds of credentials and how each gets a token; when to
ask for one is decided here, because its own cache starts tasks that outlive their
owner, is cancelled for all who wait when one of them is, and tries again five
times where the engine is the one authority for that.
"""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
from gcloud.aio.auth import IamClient, Token, decode
from gcloud.aio.auth.token import GCE_METADATA_BASE, GCE_METADATA_HEADERS, Type

from backends.gcs.errors import KEYS_HINT
from backends.gcs.session import MoverSession
from backends.gcs.signing import KeySigner
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    StoreError,
    TemporaryError,
    TransferError,
    UnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gcloud.aio.auth import AioSession

    from backends.gcs.signing import BlobSigner
    from transfer.store import Mover

# Objects are read and written, signBlob is asked for.
_SCOPES = [
    "https://www.googleapis.com/auth/devstorage.read_write",
    "https://www.googleapis.com/auth/iam",
]
_SECONDS = 10
# A token this close to its end, in seconds, is not used for a new request.
_MARGIN = 60.0
_EMAIL_URL = f"{GCE_METADATA_BASE}/instance/service-accounts/default/email"


class Bearer(Token):
    """An access token that is fetched when it is needed, once for all who wait for it."""

    def __init__(self, mover: Mover, service_file: io.StringIO | None = None) -> None:
        super().__init__(service_file=service_file, scopes=_SCOPES)
        self.session = _session(mover)
        self._lock = anyio.Lock()
        self._value = ""
        self._until = 0.0
        self._since = 0.0

    async def get(self) -> str:
        """Return a token; CredentialsError if these credentials get none."""
        async with self._lock:
            if time.monotonic() >= self._until:
                found = await self._fetched()
                self._value = found.value
                self._since = time.monotonic()
                self._until = self._since + found.expires_in - _MARGIN
        return self._value

    def drop(self) -> bool:
        """Forget a token that was refused; tell whether it was so old that a new one may do.

        A machine that slept, for one, has not seen its time pass.
        """
        self._until = 0.0
        return time.monotonic() - self._since > _MARGIN

    async def _fetched(self) -> Any:
        try:
            return await self.refresh(timeout=_SECONDS)
        except TransferError as error:
            raise self.failure("get an access token", error) from None
        except Exception as error:  # noqa: BLE001 - the library raises bare ones
            reason = f"the credentials are incomplete ({type(error).__name__})"
            raise CredentialsError(f"get an access token: {reason}", hint=KEYS_HINT) from None

    def failure(self, what: str, error: TransferError) -> TransferError:
        """Return what an error of the token service means for who asked."""
        if isinstance(error, ConnectionLostError) and self.token_type is Type.GCE_METADATA:
            hint = KEYS_HINT.replace("check", "set")
            return CredentialsError("no Google credentials found", hint=hint)
        if isinstance(error, StoreError) and not isinstance(error, TemporaryError):
            return CredentialsError(f"{what}: {error.message}", hint=KEYS_HINT)
        return error


async def find_credentials(mover: Mover, file: Path | None) -> Bearer:
    """Return the credentials of a file, else those that gcloud or the machine has.

    Raises CredentialsError for a file that cannot be used.
    """
    return await anyio.to_thread.run_sync(_find, mover, file)


async def find_signer(bearer: Bearer, mover: Mover) -> BlobSigner | None:
    """Return what signs URLs, None where these credentials cannot.

    A key at hand can; others are tried once through IAM, because only that tells
    whether they may. Raises CredentialsError for a key that cannot be used.
    """
    data = bearer.service_data
    if bearer.token_type is Type.SERVICE_ACCOUNT:
        return await anyio.to_thread.run_sync(
            KeySigner, str(data.get("client_email", "")), str(data.get("private_key", ""))
        )
    email = await _email_of(bearer)
    if email is None:
        return None
    signer = IamSigner(email, bearer, mover)
    try:
        await signer.sign(b"may these credentials sign?")
    except CredentialsError:
        raise
    except AccessError:
        return None
    return signer


class IamSigner:
    """Signs by IAM's signBlob: a key that Google holds, one call for each signature."""

    def __init__(self, email: str, bearer: Bearer, mover: Mover) -> None:
        self.email = email
        self._client = IamClient(token=bearer)
        self._client.session = _session(mover)

    async def sign(self, data: bytes) -> bytes:
        """Return the signature of `data`; AccessError without the right to it."""
        try:
            answer = await self._client.sign_blob(data, self.email, timeout=_SECONDS)
            return decode(answer["signedBlob"])
        except (KeyError, TypeError, ValueError):
            raise UnavailableError(f"sign as {self.email}: the answer has no signature") from None


def _session(mover: Mover) -> AioSession:
    return cast("AioSession", MoverSession(mover))


def _find(mover: Mover, file: Path | None) -> Bearer:
    text = None
    if file is not None:
        try:
            text = file.read_text()
            json.loads(text)
        except OSError as error:
            raise _unusable(file, error.strerror or "it cannot be read") from None
        except ValueError:
            raise _unusable(file, "it is no JSON") from None
    try:
        return Bearer(mover, io.StringIO(text) if text is not None else None)
    except Exception as error:  # noqa: BLE001 - the library raises bare ones
        reason = f"a kind of credentials that is not known ({type(error).__name__})"
        raise _unusable(file, reason) from None


def _unusable(file: Path | None, reason: str) -> CredentialsError:
    what = str(file) if file is not None else "gcloud's default credentials"
    return CredentialsError(f"{what} cannot be used: {reason}", hint=KEYS_HINT)


async def _email_of(bearer: Bearer) -> str | None:
    """Return the service account that credentials without a key stand for, if there is one."""
    if bearer.token_type is not Type.GCE_METADATA:
        return _impersonated(bearer.impersonation_uri)
    try:
        found = await bearer.session.get(_EMAIL_URL, headers=GCE_METADATA_HEADERS, timeout=_SECONDS)
        email = (await found.text()).strip()
    except TemporaryError as error:
        raise bearer.failure("ask the metadata server", error) from None
    except TransferError:
        return None
    return email if "@" in email else None


def _impersonated(uri: str | None) -> str | None:
    """Return the account in ".../serviceAccounts/EMAIL:generateAccessToken"."""
    _, found, rest = (uri or "").partition("/serviceAccounts/")
    return rest.partition(":")[0] or None if found else None
