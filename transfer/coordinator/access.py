"""Who may do what: a principal has a prefix, and everything is decided by key.

One function decides, for all routes, on whole segments of the key: a token for
`team-a/` does not reach `team-ab/`, nor an object `team-a`. Nothing is public but a short list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.errors import AccessError, CredentialsError, ExpiredError, NotFoundError
from transfer.keys import check_key, check_prefix, within

if TYPE_CHECKING:
    from typing import Final

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Refusal:
    """Marks what this coordinator refuses itself; the same error without it is the store's."""


class RefusedAccessError(Refusal, AccessError):
    """The principal, or the signed URL, does not reach so far."""


class RefusedCredentialsError(Refusal, CredentialsError):
    """No token, or none that is known here."""


class RefusedPermitError(Refusal, ExpiredError):
    """A URL that was signed here is too old."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who makes requests; `prefix` is "" or ends with a slash."""

    name: str
    prefix: str = ""
    read_only: bool = False


ANYBODY = Principal("anybody")


def allow_read(principal: Principal, key: str) -> str:
    """Return the key if it is canonical and the principal may read it, else raise."""
    _inside(principal, check_key(key))
    if not key.startswith(principal.prefix):
        # Whoever pulls a folder asks first whether its name is an object's.
        raise NotFoundError(f"{key} is no object that the token {principal.name} reaches")
    return key


def allow_write(principal: Principal, key: str) -> str:
    """Return the key if it is canonical and the principal may write it, else raise."""
    if not check_key(key).startswith(principal.prefix):
        raise _out_of_reach(principal)
    if principal.read_only:
        raise RefusedAccessError(f"the token {principal.name} may only read")
    return key


def allow_list(principal: Principal, prefix: str) -> str:
    """Return the prefix, with a slash behind if not empty, if the principal may list it."""
    check_prefix(prefix)
    stem = prefix.removesuffix("/")
    if stem or principal.prefix:
        _inside(principal, stem)
    return f"{stem}/" if stem else ""


def normal_prefix(prefix: str) -> str:
    """Return a token's prefix in the form that is compared: "" or segments with a slash behind."""
    stem = prefix.strip("/")
    check_prefix(stem)
    return f"{stem}/" if stem else ""


def _inside(principal: Principal, key: str) -> None:
    if not within(key, principal.prefix):
        raise _out_of_reach(principal)


def _out_of_reach(principal: Principal) -> RefusedAccessError:
    return RefusedAccessError(
        f"the token {principal.name} reaches only below {principal.prefix}",
        hint="use a key below it, or another token",
    )
