"""What an SSH server or its library says, as our errors.

SFTP version 3 has few codes: OpenSSH says "Failure" for a full disk, a file that
exists and a folder that is not empty alike. Whoever knows what was asked looks
closer. Other servers (rclone's) say it for what they do not permit, too: only their
words tell.
"""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncssh

from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DiskFullError,
    ExistsError,
    NotFoundError,
    RejectedError,
    StalledError,
    StoreError,
    TransferError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Generator

# In the order of asking: the first class that fits decides.
_KINDS: tuple[tuple[tuple[type[Exception], ...], type[TransferError]], ...] = (
    ((asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath), NotFoundError),
    ((asyncssh.SFTPPermissionDenied, asyncssh.SFTPWriteProtect), AccessError),
    ((asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded), DiskFullError),
    ((asyncssh.SFTPFileAlreadyExists,), ExistsError),
    ((asyncssh.SFTPOpUnsupported,), UnsupportedError),
    ((asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection), ConnectionLostError),
    ((asyncssh.SFTPBadMessage, asyncssh.SFTPInvalidFilename), RejectedError),
    ((asyncssh.SFTPError,), StoreError),
    ((asyncssh.PermissionDenied,), CredentialsError),
    ((TimeoutError,), StalledError),
    ((asyncssh.Error, OSError, EOFError), ConnectionLostError),
)
_DENIED = re.compile(r"permission denied|access denied|not permitted|read.?only", re.IGNORECASE)
LIBRARY_ERRORS = (asyncssh.Error, OSError, EOFError)
_HINTS: dict[type[TransferError], str] = {
    AccessError: "check the permissions on the server",
    DiskFullError: "free some space on the server and run it again",
}


@contextmanager
def sftp_errors(what: str) -> Generator[None]:
    """Translate what the library raises: "cannot <what>: why"."""
    try:
        yield
    except TransferError:
        raise
    except LIBRARY_ERRORS as error:
        raise translated(error, what) from error


def translated(error: Exception, what: str) -> TransferError:
    """Return our error for one of the library's."""
    kind = _kind(error)
    return kind(f"cannot {what}: {_reason(error)}", hint=_HINTS.get(kind, ""))


def _kind(error: Exception) -> type[TransferError]:
    if isinstance(error, asyncssh.SFTPFailure) and _DENIED.search(error.reason):
        return AccessError
    return next(ours for theirs, ours in _KINDS if isinstance(error, theirs))


def _reason(error: Exception) -> str:
    """Return in few words what is known: servers' own words are often one, and empty."""
    match error:
        case asyncssh.SFTPNoSuchFile():
            return "there is no such file or folder"
        case asyncssh.SFTPPermissionDenied():
            return "permission denied"
        case asyncssh.SFTPBadMessage():
            return f"the server does not accept the name or the request ({said(error)})"
        case asyncssh.SFTPError():
            return f"the server says {said(error)}"
        case socket.gaierror():
            return "the name of the host does not resolve"
        case TimeoutError():
            return "the server does not answer"
        case asyncssh.Error():
            return f"the connection ended ({said(error)})"
        case OSError() if error.strerror:
            return error.strerror
        case _:
            return "the connection ended"


def said(error: asyncssh.Error) -> str:
    """Return a server's words, which are foreign text: in one line, not too long."""
    return ascii(" ".join(error.reason.split())[:200] or "nothing more")
