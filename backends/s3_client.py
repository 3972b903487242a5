"""The S3 client for control calls: made from the settings, its errors translated.

SDK retries are off, because the engine is the one authority for them; checksums
are sent only where an operation requires them, because trailers that nobody
asked for have ended up inside objects of compatible stores.
"""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio.to_thread
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as sdk

from backends.s3_errors import error_of
from transfer.errors import (
    ConnectionLostError,
    CredentialsError,
    StalledError,
    StoreError,
    TlsError,
    TransferError,
    UsageError,
)
from transfer.redaction import redact
from transfer.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from aiobotocore.session import AioSession
    from types_aiobotocore_s3 import S3Client

    from transfer.settings import Settings

# Complete may keep quiet for minutes on a large object.
COMPLETE_PATIENCE = 900.0
_CREDENTIALS_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


class Keyring:
    """The credentials of the AWS chain; temporary ones are renewed as they run out."""

    def __init__(self, session: AioSession) -> None:
        self._session = session

    async def current(self) -> Credentials:
        """Return credentials to sign with now; CredentialsError if there are none."""
        with sdk_errors("find credentials"):
            found = await self._session.get_credentials()
            if found is None:
                raise CredentialsError("no AWS credentials found", hint=_CREDENTIALS_HINT)
            frozen = await found.get_frozen_credentials()
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token)


@asynccontextmanager
async def open_client(
    settings: Settings, *, endpoint_url: str | None
) -> AsyncIterator[tuple[S3Client, Keyring]]:
    """Open a client; UsageError for an endpoint or a profile that cannot be used."""
    session = await anyio.to_thread.run_sync(_session_with_models)
    verify: bool | str | None = settings.aws_ca_bundle
    if settings.s3_ignore_tls:
        verify = False
    with sdk_errors("open the S3 client"):
        opened = session.create_client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=settings.aws_region,
            verify=verify,
            config=_config(settings),
        )
        client = await opened.__aenter__()
    try:
        yield client, Keyring(session)
    finally:
        await opened.__aexit__(None, None, None)


def _session_with_models() -> AioSession:
    """Make a session that has read the SDK's large files already: not on the event loop."""
    session = get_session()
    session.warm_up_loader_caches("s3")  # type: ignore[attr-defined]  # newer than the stubs
    return session


def _config(settings: Settings) -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        retries={"total_max_attempts": 1},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": settings.s3_addressing_style},
        connect_timeout=settings.connect_timeout,
        # `sdk_errors` limits each call by what it is.
        read_timeout=COMPLETE_PATIENCE,
        max_pool_connections=64,
    )


@contextmanager
def sdk_errors(what: str, seconds: float = 60.0) -> Generator[None]:
    """Translate the SDK's exceptions; `what` was asked, and may take so many seconds."""
    try:
        with anyio.fail_after(None if math.isinf(seconds) else seconds):
            yield
    except TimeoutError:
        raise StalledError(f"{what}: no answer for {seconds:.0f} s") from None
    except sdk.ClientError as error:
        raise _refusal(what, error) from None
    except sdk.BotoCoreError as error:
        raise _translated(what, error) from None
    except ValueError as error:
        raise UsageError(f"{what}: {_short(str(error))}") from None


def _refusal(what: str, error: sdk.ClientError) -> TransferError:
    """Return the error that the store answered with."""
    said = error.response.get("Error", {})
    meta = error.response.get("ResponseMetadata", {})
    headers = {str(n).lower(): str(v) for n, v in meta.get("HTTPHeaders", {}).items()}
    code = str(said.get("Code", ""))
    return error_of(
        what,
        int(meta.get("HTTPStatusCode", 0)),
        "" if code.isdecimal() else code,
        _short(str(said.get("Message", ""))),
        headers,
    )


def _translated(what: str, error: sdk.BotoCoreError) -> TransferError:
    """Return the error for what went wrong before there was an answer."""
    url = error.kwargs.get("endpoint_url")
    endpoint = redact(str(url)) if url else "the endpoint"
    match error:
        case (
            sdk.NoCredentialsError()
            | sdk.PartialCredentialsError()
            | sdk.CredentialRetrievalError()
        ):
            return CredentialsError(f"{what}: no AWS credentials", hint=_CREDENTIALS_HINT)
        case sdk.CredentialRetrievalError():
            return CredentialsError(f"{what}: the AWS credentials cannot be had")
        case sdk.EndpointProviderError() | sdk.InvalidEndpointConfigurationError():
            return UsageError(f"{what}: the endpoint cannot be used", hint="check its URL")
        case sdk.ProfileNotFound():
            return UsageError(str(error), hint="check AWS_PROFILE")
        case sdk.SSLError():
            hint = "check the certificate, or set AWS_CA_BUNDLE"
            return TlsError(f"{what}: no secure connection to {endpoint}", hint=hint)
        case sdk.ConnectTimeoutError() | sdk.ReadTimeoutError():
            return StalledError(f"{what}: no answer from {endpoint}")
        case sdk.HTTPClientError() | sdk.ConnectionError():
            return ConnectionLostError(f"{what}: cannot reach {endpoint}")
        case sdk.ParamValidationError():
            return UsageError(f"{what}: {_short(str(error))}")
        case _:
            return StoreError(f"{what}: {type(error).__name__}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:297] + "..."
