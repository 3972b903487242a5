"""What an SFTP server says of a file, as the contract has it."""

from __future__ import annotations

import asyncssh

from transfer.model import ObjectInfo

_FILES_AND_FOLDERS = (
    asyncssh.FILEXFER_TYPE_REGULAR,
    asyncssh.FILEXFER_TYPE_DIRECTORY,
    asyncssh.FILEXFER_TYPE_UNKNOWN,
)


def version_of(found: asyncssh.SFTPAttrs) -> str:
    """Return what a file is pinned by: size and time of change, in whole seconds."""
    return f"{found.size or 0:x}-{found.mtime or 0:x}"


def info_of(key: str, found: asyncssh.SFTPAttrs) -> ObjectInfo:
    """Return what the server says of a file."""
    modified = float(found.mtime) if found.mtime is not None else None
    return ObjectInfo(key, found.size or 0, version_of(found), modified)


def is_special(found: asyncssh.SFTPAttrs) -> bool:
    """Tell whether something is a pipe, a socket or a device; not where the server says nothing."""
    return found.type not in _FILES_AND_FOLDERS


def listed_as(key: str, found: asyncssh.SFTPAttrs) -> ObjectInfo:
    """Return what is listed of a file; of what is none the name only: opening it says why."""
    return ObjectInfo(key, 0) if is_special(found) else info_of(key, found)
