"""What every route of one coordinator shares."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from transfer.coordinator.access import LOOPBACK
from transfer.coordinator.counters import Counters
from transfer.coordinator.database import SECRETS, Database, default_uri, open_database
from transfer.coordinator.links import Links
from transfer.coordinator.objects import Destination, Objects
from transfer.coordinator.permits import Permits
from transfer.coordinator.tokens import Tokens
from transfer.coordinator.uploads import Uploads
from transfer.errors import UsageError
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_folder
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from transfer.settings import Settings


# Whoever sees one signed URL can try keys without asking us.
_SHORTEST_KEY = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What `transfer serve` was told; see its help."""

    artifacts_destination: str
    host: str = "127.0.0.1"
    port: int = 5500
    backend_store_uri: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    public_url: str | None = None
    public_endpoint_url: str | None = None
    insecure_no_auth: bool = False
    require_auth: bool = False
    allowed_hosts: tuple[str, ...] = ()

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK

    @property
    def open_to_anybody(self) -> bool:
        """Whether requests without credentials are let in."""
        return self.insecure_no_auth or (self.on_loopback and not self.require_auth)


@dataclass(frozen=True, slots=True)
class Coordinator:
    """A destination with everything around it."""

    options: ServeOptions
    settings: Settings
    destination: Destination
    database: Database
    uploads: Uploads
    objects: Objects
    tokens: Tokens
    permits: Permits
    links: Links
    counters: Counters

    @property
    def public_url(self) -> str | None:
        """This coordinator's address as clients reach it, where somebody said it."""
        url = self.options.public_url or self.settings.public_url
        return url.rstrip("/") if url else None

    @property
    def reads_enabled(self) -> bool:
        """Whether presigned reads are handed out."""
        return self.settings.enable_download is not False


@asynccontextmanager
async def open_coordinator(
    options: ServeOptions, settings: Settings, destination: Destination | None = None
) -> AsyncIterator[Coordinator]:
    """Open the database and the destination (or take the one given, as tests do)."""
    uri = options.backend_store_uri or default_uri(settings)
    async with open_database(uri, settings) as database, open_mover(settings) as mover:
        if destination is not None:
            yield await _assemble(options, settings, destination, database)
            return
        public = options.public_endpoint_url or settings.public_endpoint_url
        context = Context(replace(settings, public_endpoint_url=public), mover, confined=True)
        opened, prefix = open_folder(locate(options.artifacts_destination), context)
        async with opened as store:
            yield await _assemble(options, settings, Destination(store, prefix), database)


async def _assemble(
    options: ServeOptions, settings: Settings, destination: Destination, database: Database
) -> Coordinator:
    counters = Counters()
    permits = Permits(await _signing_key(settings, database))
    return Coordinator(
        options,
        settings,
        destination,
        database,
        Uploads(destination, database, enabled=settings.enable_upload is not False),
        Objects(destination, database),
        Tokens(database),
        permits,
        Links(destination, permits, counters),
        counters,
    )


async def _signing_key(settings: Settings, database: Database) -> bytes:
    """Return the key for our own URLs: it must be the same after a restart, and on all replicas."""
    if settings.signing_key:
        if len(settings.signing_key) < _SHORTEST_KEY:
            raise UsageError(
                f"TRANSFER_SIGNING_KEY has fewer than {_SHORTEST_KEY} characters",
                hint="make one with `openssl rand -hex 32`",
            )
        return settings.signing_key.encode()
    chosen = select(SECRETS.c.value).where(SECRETS.c.name == "signing-key")
    async with database.writing() as connection:
        value = (await connection.execute(chosen)).scalar()
        if value is None:
            value = secrets.token_hex(32)
            await connection.execute(insert(SECRETS).values(name="signing-key", value=value))
    return bytes.fromhex(value)
