"""What may be shown of a URL.

A presigned URL is a bearer secret: whoever reads its query can use it. Messages
show scheme, host, port and path, and say that there was a query or a user.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def redact(url: str) -> str:
    """Return `url` without query, fragment, user and password.

    Text that is no URL comes back as "<not a URL>": it may be anything.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "<not a URL>"
    if ":" in host:
        host = f"[{host}]"
    if port is not None:
        host += f":{port}"
    return urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?…" if parts.query else "")


def host_of(url: str) -> str:
    """Return host and port of `url`, for messages."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "<not a URL>"
    return f"{parts.hostname}:{port}" if port else parts.hostname or ""
