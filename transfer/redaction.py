"""What may be shown of a URL.

A presigned URL is a bearer secret: whoever reads its query can use it. Messages
show scheme, host, port and path, and say that there was a query.
"""

from __future__ import annotations

from urllib.parse import urlsplit

_NO_URL = "<not a URL>"
# Where the user is part of the place, and never a token.
_ACCOUNTS = frozenset({"sftp", "ftp", "ftps"})
# Where what stands before the host is a container.
_CONTAINERS = frozenset({"wasb", "wasbs", "abfss"})


def redact(url: str) -> str:
    """Return `url` without query, fragment, user and password.

    `sftp:` and `ftp:` keep the user, Azure's schemes the container. What is no
    URL, or cannot be taken apart, comes back as "<not a URL>": it may be anything.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return _NO_URL
    if not parts.scheme:
        return _NO_URL
    # Not `hostname`, which is in lower case: a bucket's name is not.
    account, at, host = parts.netloc.rpartition("@")
    if parts.scheme in _ACCOUNTS and "@" in parts.query + parts.fragment:
        return _NO_URL  # a password that should have been percent-encoded
    if at and parts.scheme in _ACCOUNTS | _CONTAINERS:
        host = f"{account.partition(':')[0]}@{host}"
    slashes = "//" if url[len(parts.scheme) + 1 :].startswith("//") else ""
    return f"{parts.scheme}:{slashes}{host}{parts.path}{'?…' if parts.query else ''}"


def host_of(url: str) -> str:
    """Return host and port of `url`, for messages."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return _NO_URL
    return f"{parts.hostname}:{port}" if port else parts.hostname or ""
