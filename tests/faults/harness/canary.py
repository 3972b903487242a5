"""A server that nobody should talk to: `seen` is who did, and what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from tests.faults.harness.answers import Answer, write_answer
from tests.faults.harness.http1 import MAX_HEAD, BadHttpError, Body, TruncatedError, read_request
from tests.faults.harness.listener import Listener

if TYPE_CHECKING:
    import asyncio

    from tests.faults.harness.http1 import Request


class Canary:
    """`async with Canary() as canary:`; answers everything with 200 and an ETag."""

    def __init__(self) -> None:
        self.seen: list[tuple[Request, bytes]] = []
        self.connections = 0
        self._listener = Listener(self._serve, limit=MAX_HEAD)

    @property
    def url(self) -> str:
        """Where it listens: another origin than that of any store."""
        return f"http://localhost:{self._listener.port}/elsewhere"

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await read_request(reader)) is not None:
                self.seen.append((request, await Body(reader, request).read()))
                await write_answer(writer, Answer(200, {"ETag": '"canary"'}), head_only=False)
        except (BadHttpError, TruncatedError):
            return
