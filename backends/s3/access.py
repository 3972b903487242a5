"""How a bucket is reached: its address, and the keys to sign with.

Where the settings say it all (a key, a region, an endpoint), that is all it
takes. Else the SDK is asked (`backends.s3.sdk`), which knows profiles, single
sign-on, roles and the rules for Amazon's endpoints. Loading it takes longer than
to move many a file, so it is not loaded for what is known already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from backends.s3.requests import S3Requests
from transfer.signing import Credentials
from transfer.store import Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.settings import Settings

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Keyring(Protocol):
    """Where keys come from."""

    async def current(self) -> Credentials:
        """Return credentials to sign with now; CredentialsError if there are none."""
        ...


class FixedKeyring:
    """Keys that stay as they are."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def current(self) -> Credentials:
        """Return them."""
        return self._credentials


@dataclass(frozen=True, slots=True)
class Signing:
    """What it takes to sign for a bucket, but for its address.

    `put_headers` go with every object that is written.
    """

    keyring: Keyring
    region: str
    settings: Settings
    put_headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def owner_header(self) -> dict[str, str]:
        """The account that must own the bucket, sent and signed with every request."""
        owner = self.settings.s3_bucket_owner
        return {"x-amz-expected-bucket-owner": owner} if owner else {}

    def requests(self, base: str) -> S3Requests:
        """Return how a bucket is asked at an address."""
        return S3Requests(base, self.region, self.owner_header, self.put_headers)

    @property
    def tls(self) -> Tls:
        """How the server is trusted."""
        return Tls(verify=not self.settings.s3_ignore_tls, ca_file=self.settings.aws_ca_bundle)


@dataclass(frozen=True, slots=True)
class Access:
    """A bucket's address, for us and for others, and how to sign for it."""

    base: str
    public: str
    signing: Signing


def access_by_settings(bucket: str, settings: Settings) -> Access | None:
    """Return what the settings alone say; None if the SDK has to be asked."""
    base = _base(bucket, settings.s3_endpoint_url)
    public = _base(bucket, settings.public_endpoint_url or settings.s3_endpoint_url)
    region, access, secret = settings.aws_region, settings.aws_access_key, settings.aws_secret_key
    if not (base and public and region and access and secret):
        return None
    if settings.s3_extra_args or settings.s3_addressing_style == "virtual":
        return None
    credentials = Credentials(access, secret, settings.aws_session_token)
    return Access(base, public, Signing(FixedKeyring(credentials), region, settings))


def _base(bucket: str, endpoint: str | None) -> str | None:
    """Return the address of a bucket at an endpoint of one's own: it goes into the path."""
    if endpoint is None or not _BUCKET.fullmatch(bucket):
        return None
    parts = urlsplit(endpoint)
    plain = parts.scheme in {"http", "https"} and parts.hostname and "@" not in parts.netloc
    if not plain or parts.query or parts.fragment:
        return None
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/{bucket}"
