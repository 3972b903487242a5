"""Copies that an SSH server makes from one of its files into another.

Source: the extension copy-data (draft-ietf-secsh-filexfer-extensions-00, section 7),
which OpenSSH has from version 9.0 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh

from backends.server_copies import ServerCopies
from backends.sftp.errors import sftp_errors, translated
from transfer.errors import SourceChangedError

if TYPE_CHECKING:
    from backends.authority import Authority
    from backends.sftp.bytes import OpenedFile
    from backends.sftp.sessions import Session
    from transfer.store import Origin, Source
    from transfer.tally import Tally

# A server does nothing else on a connection while it copies: others there wait so long.
_SLICE = 8 << 20
# What is said by servers that have it, and by which it is forbidden.
_REFUSALS = (asyncssh.SFTPOpUnsupported, asyncssh.SFTPPermissionDenied)


class SftpCopies(ServerCopies):
    """Copies for one account of a server; it has `patience` seconds for each slice."""

    def __init__(self, authority: Authority, patience: float) -> None:
        account = f"{authority.user or ''}@{authority.address}"
        super().__init__(f"sftp {account}", f"sftp://{authority.address}", proved=False)
        self._patience = patience

    async def put(
        self, session: Session, opened: OpenedFile, start: int, source: Source, tally: Tally
    ) -> bool:
        """Copy a range into an open file, from byte `start` on; tell whether it could be done."""
        origin = self.usable(source)
        if origin is None or not session.copies:
            return False
        copied = await self.made(origin, self._copy(session, origin, opened, start, tally))
        if copied is None:
            tally.restart()
        return copied is not None

    async def _copy(
        self, session: Session, origin: Origin, opened: OpenedFile, start: int, tally: Tally
    ) -> bool:
        with session.within(self._patience), sftp_errors(f"read {self._prefix}{origin.place}"):
            file = await session.open(origin.place, asyncssh.FXF_READ)
        async with file:
            for offset in range(0, origin.span.size, _SLICE):
                size = min(_SLICE, origin.span.size - offset)
                at = origin.span.start + offset
                with session.within(self._patience):
                    try:
                        await session.sftp.remote_copy(file, opened.file, at, size, start + offset)
                    except asyncssh.SFTPEOFError:
                        raise SourceChangedError(
                            f"{self._prefix}{origin.place} became shorter while it was copied"
                        ) from None
                    except _REFUSALS as error:
                        raise translated(error, f"copy {self._prefix}{origin.place}") from error
                tally.skip(size)
        return True
