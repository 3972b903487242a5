"""Bearer tokens: 256 random bits, shown once, stored as a hash, bound to a prefix.

The same token serves as a password: `Authorization: Basic name:token` is what
MLflow's clients send for `MLFLOW_TRACKING_USERNAME` and `..._PASSWORD`. The
functions at the end are for the command line and run a loop of their own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio
from sqlalchemy import delete, insert, select

from transfer.coordinator.access import Principal, RefusedCredentialsError, normal_prefix
from transfer.coordinator.database import TOKENS, default_uri, open_database
from transfer.errors import ExistsError, NotFoundError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from transfer.coordinator.database import Database
    from transfer.settings import Settings

    T = TypeVar("T")

_MARK = "trf_"
# A revoked token stops working after at most this long, in seconds.
_REMEMBERED = 5.0
_MAX_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A token as it may be listed; `created` in seconds since 1970."""

    id: str
    name: str
    prefix: str
    read_only: bool
    created: float


class Tokens:
    """The tokens of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[str, tuple[float, Principal, str]] = {}

    async def create(self, name: str, prefix: str, *, read_only: bool) -> str:
        """Make a token and return it: nobody can see it again."""
        if not name or not name.isprintable() or ":" in name:
            raise UsageError("a token's name is printable, not empty and without a colon")
        secret = _MARK + secrets.token_urlsafe(32)
        row = {
            "id": secrets.token_hex(8),
            "name": name,
            "prefix": normal_prefix(prefix),
            "read_only": read_only,
            "digest": _digest(secret),
            "created": time.time(),
        }
        async with self._database.writing() as connection:
            taken = await connection.execute(select(TOKENS.c.id).where(TOKENS.c.name == name))
            if taken.first() is not None:
                raise ExistsError(f"there is a token named {name}", hint="revoke it first")
            await connection.execute(insert(TOKENS).values(row))
        return secret

    async def all(self) -> list[TokenRow]:
        """List all tokens by name."""
        columns = (TOKENS.c.id, TOKENS.c.name, TOKENS.c.prefix, TOKENS.c.read_only)
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(*columns, TOKENS.c.created).order_by(TOKENS.c.name)
            )
            return [TokenRow(*row) for row in rows]

    async def revoke(self, token: str) -> None:
        """Remove a token by its id or its name."""
        chosen = (TOKENS.c.id == token) | (TOKENS.c.name == token)
        async with self._database.writing() as connection:
            gone = await connection.execute(delete(TOKENS).where(chosen))
        if not gone.rowcount:
            raise NotFoundError(f"there is no token {token}", hint="see `transfer token list`")

    async def authenticate(self, authorization: str) -> Principal:
        """Return who an Authorization header speaks for; RefusedCredentialsError if nobody."""
        name, secret = _credentials(authorization)
        digest = _digest(secret)
        principal = self._recall(digest) or await self._look_up(digest)
        if principal is None or (name is not None and name != principal.name):
            raise RefusedCredentialsError("this token is not known here")
        return principal

    def _recall(self, digest: str) -> Principal | None:
        found = self._remembered.get(digest)
        return found[1] if found and time.monotonic() - found[0] < _REMEMBERED else None

    async def _look_up(self, digest: str) -> Principal | None:
        async with self._database.reading() as connection:
            rows = await connection.execute(
                select(TOKENS.c.name, TOKENS.c.prefix, TOKENS.c.read_only).where(
                    TOKENS.c.digest == digest
                )
            )
            row = rows.first()
        self._remembered.pop(digest, None)
        if row is None:
            return None
        principal = Principal(row.name, row.prefix, row.read_only)
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = time.monotonic(), principal, digest
        return principal


def create_token(
    settings: Settings, backend_store_uri: str | None, name: str, prefix: str, *, read_only: bool
) -> str:
    """Make a token in a database; blocks."""
    return _with_tokens(
        settings,
        backend_store_uri,
        lambda tokens: tokens.create(name, prefix, read_only=read_only),
    )


def list_tokens(settings: Settings, backend_store_uri: str | None) -> list[TokenRow]:
    """List the tokens of a database; blocks."""
    return _with_tokens(settings, backend_store_uri, Tokens.all)


def revoke_token(settings: Settings, backend_store_uri: str | None, token_id: str) -> None:
    """Remove a token from a database; blocks."""
    _with_tokens(settings, backend_store_uri, lambda tokens: tokens.revoke(token_id))


def _with_tokens(settings: Settings, uri: str | None, use: Callable[[Tokens], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_database(uri or default_uri(settings), settings) as database:
            return await use(Tokens(database))

    return anyio.run(partial(run))


def _credentials(authorization: str) -> tuple[str | None, str]:
    """Return the user, if one is named, and the secret of a header."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value:
        return None, value.strip()
    if scheme.lower() == "basic":
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            user = colon = password = ""
        if colon:
            return user, password
    raise RefusedCredentialsError("the Authorization header is neither Bearer nor Basic")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
