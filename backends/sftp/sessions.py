"""SSH connections to one server, each with an SFTP session, shared by all operations.

The user's own ssh configuration decides: host aliases, jumps, keys, the agent,
known hosts. A host whose key is not known is never trusted. Operations go to the
connection with the least to do; another one is made, up to a few, when all are
busy. A connection that is lost is replaced when it is asked for next.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import asyncssh

from backends.sftp.errors import LIBRARY_ERRORS, sftp_errors
from transfer.errors import (
    ConnectionLostError,
    CredentialsError,
    HostKeyError,
    StalledError,
    TransferError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from backends.authority import Authority
    from transfer.settings import Settings

# One connection is one stream of TCP and one cipher: several fill a long way.
MOST_CONNECTIONS = 4
# A server that says nothing at all for so many seconds, times three, is gone.
_KEEPALIVE = 15
# Where the user has no wish of their own: what processors have instructions for comes first.
_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
# What every server takes in one request (draft-ietf-secsh-filexfer-02, section 3).
_SAFE_BLOCK = 32 * 1024
# The library's own value for a server that says nothing of its limits.
_UNSAID = 16 * 1024
# Servers that say their limits take more; beyond this nothing is gained.
_LARGEST_BLOCK = 128 * 1024


class Session:
    """One connection with its SFTP session; `jobs` are the operations on it now.

    Whoever makes folders on the server holds `making`, which all its sessions share.
    """

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        sftp: asyncssh.SFTPClient,
        making: anyio.Lock,
    ) -> None:
        self.sftp = sftp
        self.making = making
        self.jobs = 0
        self.broken = False
        self._connection = connection
        said = min(sftp.limits.max_read_len, sftp.limits.max_write_len)
        # Whether the server copies from file to file by itself.
        self.copies = sftp.supports_remote_copy
        self.block = _SAFE_BLOCK if said == _UNSAID else min(said, _LARGEST_BLOCK)

    @property
    def usable(self) -> bool:
        """Whether more can be asked of it."""
        return not self.broken and not self._connection.is_closed()

    async def open(
        self, path: str, mode: int, permissions: int | None = None
    ) -> asyncssh.SFTPClientFile:
        """Open a file; each read or write of it is one request, of at most `block` bytes."""
        attrs = asyncssh.SFTPAttrs(permissions=permissions)
        return await self.sftp.open(path, mode, attrs, encoding=None, block_size=0)

    @contextmanager
    def within(self, seconds: float, *, hint: str = "") -> Generator[None]:
        """Give the block so long; a server that was too slow is not asked again on this one."""
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError:
            self.drop()
            message = f"the server did not answer for {seconds:.0f} s"
            raise StalledError(message, hint=hint) from None

    def drop(self) -> None:
        """Cut the connection: what is under way on it is not waited for."""
        self.broken = True
        self._connection.abort()

    async def close(self) -> None:
        """End the connection, waiting for it for a moment."""
        self.broken = True
        with anyio.move_on_after(2, shield=True), suppress(*LIBRARY_ERRORS):
            self.sftp.exit()
            self._connection.close()
            await self._connection.wait_closed()
            return
        self._connection.abort()


class Sessions:
    """The connections of one store; `close` ends them."""

    def __init__(self, authority: Authority, settings: Settings) -> None:
        self._authority = authority
        self._settings = settings
        self._open: list[Session] = []
        self._lock = anyio.Lock()
        self._making = anyio.Lock()

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Give a session for one operation; ConnectionLostError if none can be made."""
        session = await self._take()
        session.jobs += 1
        try:
            yield session
        finally:
            session.jobs -= 1

    async def close(self) -> None:
        """End all connections."""
        open_, self._open = self._open, []
        async with anyio.create_task_group() as group:
            for session in open_:
                group.start_soon(session.close)

    async def _take(self) -> Session:
        session = self._idlest()
        if session is not None and (self._lock.locked() or not self._wants_more(session)):
            # While somebody else connects, what there is will do.
            return session
        async with self._lock:
            session = self._idlest()
            if session is None or self._wants_more(session):
                session = await self._connect_or_share(session)
        return session

    def _wants_more(self, idlest: Session) -> bool:
        return idlest.jobs > 0 and len(self._open) < MOST_CONNECTIONS

    def _idlest(self) -> Session | None:
        self._open = [session for session in self._open if session.usable]
        return min(self._open, key=lambda session: session.jobs, default=None)

    async def _connect_or_share(self, other: Session | None) -> Session:
        """Connect; where the server allows no more connections, share one that is there."""
        try:
            session = await self._connect()
        except ConnectionLostError:
            if other is None or not other.usable:
                raise
            return other
        self._open.append(session)
        return session

    async def _connect(self) -> Session:
        what = f"connect to {self._authority.address}"
        try:
            with anyio.fail_after(self._settings.connect_timeout), sftp_errors(what):
                return await self._log_in()
        except TimeoutError:
            seconds = self._settings.connect_timeout
            raise ConnectionLostError(f"cannot {what}: no answer in {seconds:.0f} s") from None

    async def _log_in(self) -> Session:
        # Configuration, keys and known hosts are files: read in a thread.
        options = await _options(self._authority)
        known = await anyio.to_thread.run_sync(_known_hosts, options)
        host = self._authority.host
        try:
            connection = await asyncssh.connect(host, options=options, known_hosts=known)
        except asyncssh.PermissionDenied:
            raise self._refused(options) from None
        except asyncssh.HostKeyNotVerifiable:
            raise _not_trusted(self._authority, options, known) from None
        try:
            sftp = await connection.start_sftp_client(path_errors="surrogateescape")
        except BaseException:
            connection.abort()
            raise
        return Session(connection, sftp, self._making)

    def _refused(self, options: asyncssh.SSHClientConnectionOptions) -> TransferError:
        why = "the password is wrong" if self._authority.password else "no key fits"
        return CredentialsError(
            f"{self._authority.address} does not let {options.username} in: {why}",
            hint="add a key to the ssh agent or to ~/.ssh, or set TRANSFER_STORE_PASSWORD",
        )


async def _options(authority: Authority) -> asyncssh.SSHClientConnectionOptions:
    """Read the user's configuration; raises UsageError where it cannot be read."""
    # An empty `config` is the user's own file; the default of the class is none.
    given: dict[str, Any] = {"host": authority.host, "config": ()}
    given["keepalive_interval"] = _KEEPALIVE
    if authority.port is not None:
        given["port"] = authority.port
    if authority.user is not None:
        given["username"] = authority.user
    if authority.password is not None:
        given["password"] = authority.password
    try:
        options: asyncssh.SSHClientConnectionOptions
        options = await asyncssh.SSHClientConnectionOptions.construct(**given)
        if options.config.get("Ciphers") is None:
            options = await asyncssh.SSHClientConnectionOptions.construct(
                options, encryption_algs=_CIPHERS
            )
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError, ValueError, OSError) as error:
        raise UsageError(f"the ssh configuration or a key in it cannot be used: {error}") from error
    return options


def _known_hosts(options: asyncssh.SSHClientConnectionOptions) -> asyncssh.SSHKnownHosts:
    """Read the files of known hosts that the configuration names; none is no file. Blocks."""
    named = options.known_hosts
    paths = [Path(str(name)).expanduser() for name in named] if isinstance(named, list) else []
    if not paths:
        paths = [Path("~/.ssh/known_hosts").expanduser(), Path("/etc/ssh/ssh_known_hosts")]
    texts = [path.read_text(errors="surrogateescape") for path in paths if path.is_file()]
    try:
        return asyncssh.import_known_hosts("\n".join(texts))
    except ValueError as error:
        raise UsageError(f"the file of known hosts cannot be read: {error}") from error


def _not_trusted(
    authority: Authority,
    options: asyncssh.SSHClientConnectionOptions,
    known: asyncssh.SSHKnownHosts,
) -> HostKeyError:
    port = options.port if options.port != 22 else None
    host = options.host_key_alias or options.host
    if any(known.match(host, "", port)[:2]):
        return HostKeyError(
            f"the host key of {authority.address} is not the one that is known",
            hint="somebody may be in between; if the server has a new key, remove the old one with"
            f" `ssh-keygen -R '{_entry(host, port)}'`",
        )
    flag = f"-p {port} " if port else ""
    return HostKeyError(
        f"the host key of {authority.address} is not known",
        hint=f"connect once with `ssh {flag}{authority.host}` and compare the fingerprint, or add"
        f" it with `ssh-keyscan {flag}{options.host} >> ~/.ssh/known_hosts`",
    )


def _entry(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if port else host
