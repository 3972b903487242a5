"""An SSH server in this process, for what no real one can be told to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh

from bench.servers import free_port
from tests.support.file_servers import make_home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class FakeSsh:
    """Serves `folder` to whoever has the key in `home`; `make` makes what answers a connection."""

    def __init__(
        self,
        folder: Path,
        make: Callable[[asyncssh.SSHServerChannel[bytes], bytes], asyncssh.SFTPServer],
    ) -> None:
        self.folder = folder / "served"
        self.folder.mkdir()
        self.home = folder / "home"
        self._port = free_port()
        self._hostkey = make_home(self.home, self._port)
        self.url = f"sftp://u@127.0.0.1:{self._port}/"
        self._make = make
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def up(self) -> None:
        """Let connections in."""
        self._acceptor = await asyncssh.listen(
            "127.0.0.1",
            self._port,
            server_host_keys=[str(self._hostkey)],
            authorized_client_keys=str(self.home / ".ssh" / "id_ed25519.pub"),
            sftp_factory=lambda channel: self._make(channel, str(self.folder).encode()),
        )

    def down(self) -> None:
        """Let no more in; those that are there stay."""
        if self._acceptor is not None:
            self._acceptor.close()
