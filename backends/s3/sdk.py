"""What the SDK knows of S3 and nobody else need know: where keys are, and where buckets.

It makes no request to a bucket. Its client is made only because it holds the
rules for addresses.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio.to_thread
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as sdk

from backends.s3.access import Access, Signing
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

_CREDENTIALS_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"


class ChainKeyring:
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


async def find_access(bucket: str, settings: Settings) -> Access:
    """Return how a bucket is reached; UsageError for a profile or an endpoint of no use."""
    session = await anyio.to_thread.run_sync(_session_with_models)
    async with _client(session, settings, settings.s3_endpoint_url) as client:
        base = await _base_url(client, bucket)
        region = client.meta.region_name or "us-east-1"
        headers = extra_headers(client, settings)
    public = base
    if settings.public_endpoint_url:
        async with _client(session, settings, settings.public_endpoint_url) as client:
            public = await _base_url(client, bucket)
    return Access(base, public, Signing(ChainKeyring(session), region, settings, headers))


@asynccontextmanager
async def _client(
    session: AioSession, settings: Settings, endpoint_url: str | None
) -> AsyncIterator[S3Client]:
    with sdk_errors("find the S3 server"):
        opened = session.create_client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=settings.aws_region,
            config=AioConfig(
                signature_version="s3v4", s3={"addressing_style": settings.s3_addressing_style}
            ),
        )
        client = await opened.__aenter__()
    try:
        yield client
    finally:
        await opened.__aexit__(None, None, None)


def _session_with_models() -> AioSession:
    """Make a session that has read the SDK's large files already: not on the event loop."""
    session = get_session()
    session.warm_up_loader_caches("s3")  # type: ignore[attr-defined]  # newer than the stubs
    return session


@contextmanager
def sdk_errors(what: str, seconds: float = 60.0) -> Generator[None]:
    """Translate the SDK's exceptions; `what` was asked, and may take so many seconds."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise StalledError(f"{what}: no answer for {seconds:.0f} s") from None
    except sdk.BotoCoreError as error:
        raise _translated(what, error) from None
    except ValueError as error:
        raise UsageError(f"{what}: {_short(str(error))}") from None


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


async def _base_url(client: S3Client, bucket: str) -> str:
    """Return the address of a bucket without a slash behind; the SDK knows the rules for it."""
    with sdk_errors(f"find s3://{bucket}"):
        url = await client.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": "k"}, ExpiresIn=60
        )
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/k')}"


def extra_headers(client: S3Client, settings: Settings) -> dict[str, str]:
    """Return the extra arguments as headers of a PUT, by the SDK's own model of it."""
    shape = client.meta.service_model.operation_model("PutObject").input_shape
    members = shape.members if shape else {}
    headers: dict[str, str] = {}
    for name, value in settings.s3_extra_args.items():
        place = members[name].serialization if name in members else {}
        if place.get("location") == "header":
            headers[place["name"].lower()] = str(value)
        elif place.get("location") == "headers" and isinstance(value, dict):
            headers |= {f"{place['name']}{key}".lower(): str(v) for key, v in value.items()}
        else:
            raise UsageError(f"MLFLOW_S3_UPLOAD_EXTRA_ARGS: {name} is no argument of an upload")
    return headers
