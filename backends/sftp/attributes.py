"""What an SFTP server says of a file, as the contract has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.model import ObjectInfo

if TYPE_CHECKING:
    import asyncssh


def version_of(found: asyncssh.SFTPAttrs) -> str:
    """Return what a file is pinned by: size and time of change, in whole seconds."""
    return f"{found.size or 0:x}-{found.mtime or 0:x}"


def info_of(key: str, found: asyncssh.SFTPAttrs) -> ObjectInfo:
    """Return what the server says of a file."""
    modified = float(found.mtime) if found.mtime is not None else None
    return ObjectInfo(key, found.size or 0, version_of(found), modified)
