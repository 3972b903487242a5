"""Saying who we are in a header: user and password, or a token."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from transfer.settings import Settings


def authorization(settings: Settings, user: str) -> dict[str, str]:
    """Return the header that says who we are; user and password win, as in MLflow.

    `user` is what stands before the host in a URL, "" if nothing does.
    """
    if user:
        name, _, password = user.partition(":")
        return basic(unquote(name), unquote(password))
    if settings.tracking_username and settings.tracking_password:
        return basic(settings.tracking_username, settings.tracking_password)
    if settings.bearer_token:
        return {"Authorization": f"Bearer {settings.bearer_token}"}
    return {}


def basic(user: str, password: str) -> dict[str, str]:
    """Return the header for a user with a password (RFC 7617)."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def password_seen(url: str) -> str:
    """Return the notice for a URL that has a password in it; `url` is shown, without that."""
    return (
        f"the URL of {url} holds a password, which other users of this machine can see: set"
        " TRANSFER_STORE_PASSWORD instead"
    )
