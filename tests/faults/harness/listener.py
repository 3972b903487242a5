"""A listening socket whose connections are tasks: the shell of every server here.

It lives on its caller's event loop and holds no task group open, so that an async
fixture may yield between opening and closing it.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import anyio
import anyio.lowlevel

from tests.faults.harness.refusals import Hangup
from tests.faults.harness.sockets import reset

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Calls `serve` for each connection, and ends the connection when that returns.

    `serve` may raise Hangup to say how. `receive_buffer` is the kernel's, in bytes:
    a small one lets a client notice soon that nobody reads.
    """

    def __init__(
        self,
        serve: Serve,
        *,
        limit: int,
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.port = 0
        self._serve = serve
        self._limit = limit
        self._host = host
        self._tls = tls
        self._receive_buffer = receive_buffer
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen on a free port; the second time, on the same one."""
        # Spelled out, or asyncio does not set TCP_NODELAY on what is accepted.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listener.bind((self._host, self.port))
        self._server = await asyncio.start_server(
            self._connected, sock=listener, limit=self._limit, ssl=self._tls, backlog=1024
        )
        self.port = listener.getsockname()[1]

    async def close(self) -> None:
        """Refuse connections from now on, and end those there are."""
        if self._server is not None:
            self._server.close()
        self._server = None
        await self.cut()

    async def cut(self) -> None:
        """End all connections there are; new ones are welcome."""
        # What was accepted a moment ago has its task, which has not run yet.
        await anyio.lowlevel.checkpoint()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._to_the_end(reader, writer)
        except asyncio.CancelledError:
            # Swallowed: asyncio's streams would log the end of their task as an error.
            reset(writer)
        finally:
            self._tasks.discard(task)

    async def _to_the_end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            reset(writer)
        except Hangup as hangup:
            if hangup.rst:
                reset(writer)
        finally:
            await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close in good order if the peer lets us, and anyhow within a second."""
    writer.close()
    with suppress(OSError), anyio.move_on_after(1):
        await writer.wait_closed()
    writer.transport.abort()
