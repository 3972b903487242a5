"""A TCP proxy that breaks connections on purpose, at a given byte of a given direction.

`async with ChaosProxy(store.port, [Reset(at=1000)]) as proxy:` and send the client
to `proxy.url`. The plan is a list of faults for every connection, a mapping from
the number of a connection (from 1) to its faults, or a function of that number.
It runs on its caller's event loop, like the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import anyio

from tests.faults.harness.listener import Listener, close
from tests.faults.harness.messages import Messages
from tests.faults.harness.network import REQUEST, RESPONSE, AnyFault, Refused, Way
from tests.faults.harness.pump import Pump
from tests.faults.harness.refusals import Hangup
from tests.faults.harness.sockets import reset

Plan: TypeAlias = (
    Sequence[AnyFault] | Mapping[int, Sequence[AnyFault]] | Callable[[int], Sequence[AnyFault]]
)
# Of the kernel, for what clients send. With less, TCP waits for its own timers.
_BUFFER = 256 * 1024
_LIMIT = 32 * 1024


@dataclass
class Connection:
    """One connection through the proxy: bytes that passed, and faults that took effect."""

    number: int
    faults: Sequence[AnyFault]
    passed: dict[Way, int] = field(default_factory=lambda: {REQUEST: 0, RESPONSE: 0})
    hits: list[AnyFault] = field(default_factory=list)
    black: bool = False
    ended: bool = False


class ChaosProxy:
    """Listens on a free port, and passes bytes on to `upstream` on this machine."""

    def __init__(self, upstream: int, plan: Plan = (), *, host: str = "127.0.0.1") -> None:
        self.plan = plan
        self.connections: list[Connection] = []
        self._upstream = upstream
        self._host = host
        self._listener = Listener(self._serve, limit=_LIMIT, host=host, receive_buffer=_BUFFER)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Where a client goes instead of to the server."""
        return f"http://{self._host}:{self.port}"

    @property
    def hits(self) -> list[AnyFault]:
        """All faults that took effect, in the order of their connections."""
        return [fault for connection in self.connections for fault in connection.hits]

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def up(self) -> None:
        """Listen, on the same port as before."""
        await self._listener.open()

    async def down(self) -> None:
        """Refuse connections from now on, and reset those there are."""
        await self._listener.close()

    async def until(self, condition: Callable[[Self], object], seconds: float = 10.0) -> None:
        """Wait until something is true of the proxy; TimeoutError if it does not become so."""
        with anyio.fail_after(seconds):
            while not condition(self):  # noqa: ASYNC110 - conditions are the test's own
                await anyio.sleep(0.002)

    async def cut(self) -> None:
        """Reset all connections there are; new ones are welcome."""
        await self._listener.cut()

    def _faults_of(self, number: int) -> Sequence[AnyFault]:
        if callable(self.plan):
            return self.plan(number)
        if isinstance(self.plan, Mapping):
            return self.plan.get(number, ())
        return self.plan

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections) + 1
        connection = Connection(number, self._faults_of(number))
        self.connections.append(connection)
        refused = [fault for fault in connection.faults if isinstance(fault, Refused)]
        try:
            if refused:
                connection.hits += refused
                raise Hangup(rst=True)
            await self._carry(connection, reader, writer)
        finally:
            connection.ended = True

    async def _carry(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        up_reader, up_writer = await asyncio.open_connection(
            self._host, self._upstream, limit=_LIMIT
        )
        methods: list[bytes] = []
        there = Pump(connection, REQUEST, reader, up_writer, Messages(methods, responses=False))
        back = Pump(connection, RESPONSE, up_reader, writer, Messages(methods, responses=True))
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(there.run)
                group.start_soon(back.run)
        except* Hangup as ended:
            if any(isinstance(one, Hangup) and one.rst for one in ended.exceptions):
                reset(up_writer)
                reset(writer)
        except* OSError:
            reset(up_writer)
            reset(writer)
        finally:
            await close(up_writer)
