"""Control connections to one FTP server: a bounded number, logged in, used by one at a time.

A connection goes back only from an operation that ended in an orderly way, so
that no reply of one is ever read by the next; what was cut or cancelled is closed.
One that has been idle is asked whether it is still alive before it is used.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

import aioftp
import anyio
import anyio.to_thread
from aioftp.client import DataConnectionThrottleStreamIO

from backends.ftp.greeting import hear
from backends.ftp.replies import Features, error_of, parse_features
from transfer.errors import (
    BadKeyError,
    ConnectionLostError,
    ProtocolError,
    StalledError,
    TlsError,
    TransferError,
    UnavailableError,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Generator

    from backends.authority import Authority
    from transfer.settings import Settings

MOST_CONNECTIONS = 8
# Servers throw idle clients out after a minute or more; seconds.
_FRESH = 15.0
_ALIVE = 5.0
_GOODBYE = 1.0
# How long a server may take to notice that a data connection was cut, and to put its file away.
_TO_SETTLE = 2.0

LIBRARY_ERRORS = (aioftp.AIOFTPException, OSError, EOFError, ValueError)


@contextmanager
def ftp_errors(what: str) -> Generator[None]:
    """Translate what the library raises: "cannot <what>: why"."""
    try:
        yield
    except TransferError:
        raise
    except LIBRARY_ERRORS as error:
        raise translated(error, what) from error


def translated(error: Exception, what: str) -> TransferError:
    """Return our error for one of the library's."""
    match error:
        case aioftp.StatusCodeError():
            return error_of(what, str(error.received_codes[-1]), error.info)
        case ssl.SSLCertVerificationError():
            return TlsError(
                f"cannot {what}: the server's certificate does not hold: {error.verify_message}",
                hint="name the CA that has signed it in SSL_CERT_FILE",
            )
        case ssl.SSLError():
            return TlsError(f"cannot {what}: TLS failed ({error.reason})")
        case UnicodeEncodeError() | aioftp.errors.InvalidCommand():
            return BadKeyError(f"cannot {what}: FTP has no way to write this name")
        case ValueError():
            return ProtocolError(f"cannot {what}: the server's answer cannot be read")
        case TimeoutError():
            return ConnectionLostError(f"cannot {what}: the server does not answer")
        case OSError() if error.strerror:
            return ConnectionLostError(f"cannot {what}: {error.strerror}")
        case _:
            return ConnectionLostError(f"cannot {what}: the connection ended")


class Connection:
    """One control connection, logged in."""

    def __init__(self, client: aioftp.Client, patience: float) -> None:
        self._client = client
        self._patience = patience
        self._used = anyio.current_time()
        # Whether the reply that ends a transfer is still to come.
        self._owed = False

    async def ask(self, command: str, *codes: str) -> list[str]:
        """Send a command; return the lines of its reply, which must have one of the codes."""
        with anyio.fail_after(self._patience):
            _, lines = await self._client.command(command, codes or ("2xx",))
        return lines

    async def works(self, command: str, *codes: str) -> bool:
        """Send a command; tell whether its reply is positive. One that ends all is an error."""
        try:
            await self.ask(command, *codes)
        except aioftp.StatusCodeError as error:
            if error.received_codes[-1].matches("421"):
                raise
            return False
        return True

    @asynccontextmanager
    async def data(
        self, command: str, start: int = 0
    ) -> AsyncIterator[DataConnectionThrottleStreamIO]:
        """Open a data connection for a command; it is cut at the end of the block.

        The reply that follows is for `finish` or `give_up` to read, in the block.
        """
        with anyio.fail_after(self._patience):
            reader, writer = await self._client.get_passive_connection()
        stream = DataConnectionThrottleStreamIO(self._client, reader, writer, {})
        try:
            if start:
                await self.ask(f"REST {start}", "350")
            self._owed = True
            try:
                await self.ask(command, "1xx")
            except aioftp.StatusCodeError:
                self._owed = False
                raise
            yield stream
        finally:
            _cut(writer)

    async def finish(self, stream: DataConnectionThrottleStreamIO) -> list[str]:
        """Close a data connection whose bytes are all through; return what the server says to it.

        It must agree.
        """
        with anyio.fail_after(self._patience):
            await _shut(stream.writer)
            return await self._end("2xx")

    async def verdict(self, stream: DataConnectionThrottleStreamIO) -> None:
        """Read why the server has cut a data connection; raises that, if it says so."""
        _cut(stream.writer)
        with anyio.fail_after(_ALIVE):
            await self._end("2xx")

    async def give_up(self, stream: DataConnectionThrottleStreamIO) -> None:
        """Cut a data connection in the middle; what the server says to that does not matter."""
        _cut(stream.writer)
        with anyio.fail_after(_ALIVE):
            await self._end("2xx", "4xx", "5xx")

    async def settle(self) -> bool:
        """Wait a moment for the reply to a transfer that was cut; tell whether it is there.

        Until then the server may still be writing, and make a file of what has arrived.
        """
        with anyio.move_on_after(_TO_SETTLE, shield=True), suppress(*LIBRARY_ERRORS):
            if self._owed:
                await self._end("2xx", "4xx", "5xx")
        return not self._owed

    async def _end(self, *codes: str) -> list[str]:
        """Return the reply that ends a transfer, which must have one of the codes."""
        try:
            _, lines = await self._client.command(None, codes, "1xx")
        except aioftp.StatusCodeError:
            self._owed = False
            raise
        self._owed = False
        return lines

    async def alive(self) -> bool:
        """Tell whether it can be used again."""
        reader = self._client.stream.reader
        if reader.at_eof() or reader.exception() is not None:
            return False
        if anyio.current_time() - self._used < _FRESH:
            return True
        try:
            with anyio.fail_after(_ALIVE):
                await self._client.command("NOOP", "2xx")
        except LIBRARY_ERRORS:
            return False
        return True

    def rest(self) -> None:
        """Note that it was used until now."""
        self._used = anyio.current_time()

    def cut(self) -> None:
        """Close it at once."""
        _cut(self._client.stream.writer)

    async def quit(self) -> None:
        """Say goodbye, and close it."""
        with anyio.move_on_after(_GOODBYE), suppress(*LIBRARY_ERRORS):
            await self._client.command("QUIT", "2xx")
        self.cut()


class Connections:
    """The pool; `close` ends what is in it. Make it with `open_connections`."""

    def __init__(self, authority: Authority, settings: Settings) -> None:
        self.most = min(MOST_CONNECTIONS, settings.concurrency or MOST_CONNECTIONS)
        self.features = Features()
        self._authority = authority
        self._settings = settings
        self._idle: list[Connection] = []
        self._in_use = 0
        self._room = anyio.Semaphore(self.most)
        self._tls: ssl.SSLContext | None = None

    async def look(self) -> None:
        """Connect, and learn what the server can."""
        if self._authority.scheme == "ftps":
            self._tls = await anyio.to_thread.run_sync(ssl.create_default_context)
        async with self.connection() as connection:
            try:
                self.features = parse_features(await connection.ask("FEAT", "211"))
            except aioftp.StatusCodeError:
                return  # from before RFC 2389
        # What is connected from now on speaks UTF-8; so does this one.
        for idle in self._idle:
            await self._set_up(idle)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Give a connection for one operation.

        It is used again if the block ends well, or in a reply that is an error.
        """
        connection = await self._take()
        kept = False
        try:
            yield connection
            kept = True
        except aioftp.StatusCodeError as error:
            # With 421 the server hangs up; a data connection may have failed half-way.
            kept = not str(error.received_codes[-1]).startswith("42")
            raise
        finally:
            self._give_back(connection, kept=kept)

    async def close(self) -> None:
        """Say goodbye on all connections."""
        idle, self._idle = self._idle, []
        async with anyio.create_task_group() as group:
            for connection in idle:
                group.start_soon(connection.quit)

    async def _take(self) -> Connection:
        while True:
            await self._room.acquire()
            try:
                connection = await self._alive_or_new()
            except UnavailableError:
                if not self._in_use:
                    self._room.release()
                    raise
                # The server allows no more of them: from now on there is one place less.
                continue
            except BaseException:
                self._room.release()
                raise
            self._in_use += 1
            return connection

    async def _alive_or_new(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if await connection.alive():
                return connection
            connection.cut()
        return await self._connect()

    def _give_back(self, connection: Connection, *, kept: bool) -> None:
        self._in_use -= 1
        self._room.release()
        if kept:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.cut()

    async def _connect(self) -> Connection:
        what = f"connect to {self._authority.address}"
        seconds = self._settings.connect_timeout
        client = aioftp.Client(connection_timeout=seconds)
        connection = Connection(client, self._settings.request_timeout)
        try:
            with ftp_errors(what):
                # Without the greeting, which the library would wait for without end.
                host, port = self._authority.host, self._authority.port or 21
                await aioftp.BaseClient.connect(client, host, port)
                await hear(client, self._authority.address, seconds)
                await self._log_in(client)
                # In the other type, which is the first, some servers tell no sizes.
                await connection.ask("TYPE I")
                await self._set_up(connection)
        except BaseException:
            with suppress(ConnectionError):
                connection.cut()
            raise
        return connection

    async def _log_in(self, client: aioftp.Client) -> None:
        with anyio.fail_after(self._settings.request_timeout):
            if self._tls is not None:
                await _encrypt(client, self._tls)
            user, password = self._authority.user, self._authority.password
            if user is None:
                await client.login()
            else:
                await client.login(user, password or "")

    async def _set_up(self, connection: Connection) -> None:
        if self.features.utf8:
            await connection.works("OPTS UTF8 ON")
        hashing = self.features.hash
        if hashing is not None and hashing.option:
            await connection.ask(f"OPTS HASH {hashing.option}")


@asynccontextmanager
async def open_connections(authority: Authority, settings: Settings) -> AsyncIterator[Connections]:
    """Connect to a server, and close all connections in the end."""
    connections = Connections(authority, settings)
    try:
        await connections.look()
        yield connections
    finally:
        with anyio.CancelScope(shield=True):
            await connections.close()


async def _encrypt(client: aioftp.Client, context: ssl.SSLContext) -> None:
    try:
        await client.upgrade_to_tls(context)
    except aioftp.StatusCodeError as error:
        raise TlsError(
            f"{client.server_host} offers no TLS: it says {error.received_codes[-1]} to AUTH TLS"
        ) from error


def _cut(writer: asyncio.StreamWriter) -> None:
    """Close at once, whatever has been closed before.

    A transport of asyncio that had to flush after its `close` has no loop any more when
    that is done, and its `abort` fails on that.
    """
    with suppress(AttributeError):
        writer.transport.abort()


async def _shut(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


def check_progress(stalled: bool, seconds: float) -> None:  # noqa: FBT001 - the question itself
    """Raise StalledError if a watch says so."""
    if stalled:
        raise StalledError(f"no byte moved for {seconds:.0f} s")
