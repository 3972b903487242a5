"""A server before Azurite that answers what Azurite never does: `AzureFront(host, port)`.

Requests go on to the real thing, one on each connection, unless a fault is planned
for their operation: then the answer is ours (the codes and bodies that Azure
documents), or the real answer is kept back after all was done. Signatures do not
cover the host, so they hold.

One call that Azurite lacks is made here of those it has: Put Block From URL reads
what it is told to from the real thing, which checks whether that is permitted, and
puts it there as a block.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.faults.harness.http1 import MAX_HEAD, Body, read_request
from tests.faults.harness.listener import Listener
from tests.faults.harness.refusals import Hangup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.harness.http1 import Request

_OF_A_COPY = ("x-ms-copy-source", "x-ms-source-if-match", "x-ms-source-range", "connection")


@dataclass(frozen=True)
class Fault:
    """`status` and `code` are answered instead; with `lost`, it is done and nothing is said."""

    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    detail: str = ""
    lost: bool = False


class AzureFront:
    """Faults by operation, each for one request, in turn; `asked` counts all requests."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._listener = Listener(self._serve, limit=MAX_HEAD)
        self.faults: dict[str, list[Fault]] = {}
        self.asked: Counter[str] = Counter()

    @property
    def port(self) -> int:
        return self._listener.port

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        if request is None:
            return
        operation = operation_of(request)
        self.asked[operation] += 1
        body = await Body(reader, request).read()
        planned = self.faults.get(operation)
        fault = planned.pop(0) if planned else None
        if fault is None or fault.lost:
            if operation == "Put Block From URL":
                answer = await self._put_from_url(request)
            else:
                answer = await self._forward(request, body)
        else:
            answer = made_up(fault)
        if fault is not None and fault.lost:
            raise Hangup(rst=True)
        writer.write(answer)
        await writer.drain()

    async def _put_from_url(self, request: Request) -> bytes:
        told = dict(request.headers)
        source = urlsplit(told["x-ms-copy-source"])
        wanted = {"if-match": told["x-ms-source-if-match"], "x-ms-range": told["x-ms-source-range"]}
        read = await self._send("GET", f"{source.path}?{source.query}", {**wanted, "host": "front"})
        head, _, data = read.partition(b"\r\n\r\n")
        status = int(head.split(b" ", 2)[1])
        if status == 206:
            kept = {name: value for name, value in told.items() if name not in _OF_A_COPY}
            return await self._send(
                "PUT", request.target, {**kept, "content-length": str(len(data))}, data
            )
        code = "SourceConditionNotMet" if status == 412 else "CannotVerifyCopySource"
        return made_up(Fault(status, code))

    async def _forward(self, request: Request, body: bytes) -> bytes:
        headers = {name: value for name, value in request.headers if name != "connection"}
        return await self._send(request.method, request.target, headers, body)

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> bytes:
        reader, writer = await asyncio.open_connection(*self._behind)
        lines = [f"{method} {target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join([*lines, "connection: close", "", ""])
        writer.write(head.encode("latin-1") + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def operation_of(request: Request) -> str:
    """Return what the Blob REST reference calls it."""
    copied = " From URL" if any(name == "x-ms-copy-source" for name, _ in request.headers) else ""
    kind = {"block": f"Put Block{copied}", "blocklist": "Block List"}.get(
        request.param("comp") or ""
    )
    if kind == "Block List":
        return f"{'Put' if request.method == 'PUT' else 'Get'} Block List"
    if request.param("comp") == "list":
        return "List Blobs"
    if copied and not kind:
        return "Copy Blob From URL"
    return kind or {"PUT": "Put Blob", "HEAD": "Get Blob Properties"}.get(
        request.method, f"{request.method.capitalize()} Blob"
    )


def made_up(fault: Fault) -> bytes:
    """Return an error as Azure writes it."""
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{fault.code}</Code>'
        f"<Message>As planned.\nRequestId:0\nTime:0</Message>{fault.detail}</Error>"
    )
    headers = {
        "content-type": "application/xml",
        "content-length": str(len(text)),
        "connection": "close",
        "x-ms-request-id": "0",
        "x-ms-error-code": fault.code,
        **fault.headers,
    }
    lines = [f"HTTP/1.1 {fault.status} Planned", *(f"{n}: {v}" for n, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()
