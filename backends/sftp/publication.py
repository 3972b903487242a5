"""Giving a file on an SFTP server its name, and the permissions of what had it before.

Where no rename replaces, the old file steps aside first. Until it is known that the
new one has the name, the upload is among `asides`: whatever ends it, `settle` is asked
over any connection.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import asyncssh

from backends.partial_file import permissions_until_shown
from backends.sftp.attributes import is_special
from transfer.errors import ExistsError, StoreError

if TYPE_CHECKING:
    from backends.sftp.partial import Partial
    from backends.sftp.sessions import Session


async def check_target(session: Session, path: str, *, no_clobber: bool) -> int | None:
    """Return the mode of what will be replaced; None for nothing that can be looked at.

    Raises for a target that cannot be written, before any byte is moved.
    """
    found = await _look(session, path)
    if found is None:
        return None
    if found.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
        raise _is_folder(path)
    if is_special(found):
        raise StoreError(f"{path} is not a regular file: it is not replaced")
    if no_clobber:
        raise ExistsError(f"{path} exists")
    return found.permissions


async def mode_of(session: Session, path: str) -> int | None:
    """Return the mode of what is there; None for nothing that can be looked at."""
    found = await _look(session, path)
    return found.permissions if found is not None else None


async def _look(session: Session, path: str) -> asyncssh.SFTPAttrs | None:
    try:
        return await session.sftp.stat(path)
    except asyncssh.SFTPError:  # whoever may write need not be allowed to look
        return None


def is_private(found: asyncssh.SFTPAttrs) -> bool:
    """Tell whether a temporary file may have been made to replace something."""
    mode = found.permissions
    return mode is not None and mode & 0o777 == permissions_until_shown(mode)


async def keep_permissions(file: asyncssh.SFTPClientFile, replaced: int | None) -> None:
    """Give a file the permissions of the one that it replaces, where the server can."""
    if replaced is not None:
        with suppress(asyncssh.SFTPError):
            await file.chmod(replaced & 0o777)


async def publish(
    session: Session, partial: Partial, asides: set[Partial], *, no_clobber: bool
) -> None:
    """Give the file its name, at once; ExistsError if there is one and it must stay."""
    if no_clobber:
        await _link(session, partial)
        return
    try:
        await session.sftp.posix_rename(partial.temporary, partial.path)
    except asyncssh.SFTPOpUnsupported:
        await _swap(session, partial, asides)
    except (asyncssh.SFTPFailure, asyncssh.SFTPPermissionDenied):
        await _refuse_folder(session, partial.path)
        raise


async def settle(session: Session, partial: Partial, asides: set[Partial]) -> None:
    """Take the old file away if there is a new one, else give it its name back."""
    if partial not in asides:
        return
    with suppress(asyncssh.SFTPNoSuchFile):  # it did not come to step aside
        if await session.sftp.lexists(partial.path):
            await session.sftp.remove(partial.aside)
        else:
            await session.sftp.rename(partial.aside, partial.path)
    asides.discard(partial)


async def _link(session: Session, partial: Partial) -> None:
    """Give the file its name only if that is free."""
    sftp = session.sftp
    try:
        await sftp.link(partial.temporary, partial.path)
    except asyncssh.SFTPError:
        # No links here, or the name is taken, which has no code of its own.
        if await sftp.lexists(partial.path):
            raise ExistsError(f"{partial.path} exists") from None
        # By the protocol's version 3, this refuses to replace too.
        await sftp.rename(partial.temporary, partial.path)
    else:
        await sftp.remove(partial.temporary)


async def _swap(session: Session, partial: Partial, asides: set[Partial]) -> None:
    """Replace by a rename that does not: the old file steps aside."""
    sftp = session.sftp
    await settle(session, partial, asides)  # an earlier attempt may have come half as far
    if await sftp.lexists(partial.path):
        await _refuse_folder(session, partial.path)
        asides.add(partial)
        await sftp.rename(partial.path, partial.aside)
    await sftp.rename(partial.temporary, partial.path)
    # Or one that waits since a process before this one had the same upload.
    with suppress(asyncssh.SFTPNoSuchFile):
        await sftp.remove(partial.aside)
    asides.discard(partial)


async def _refuse_folder(session: Session, path: str) -> None:
    if await session.sftp.isdir(path):
        raise _is_folder(path)


def _is_folder(path: str) -> StoreError:
    return StoreError(f"cannot write {path}: it is a folder", hint="name a file in it")
