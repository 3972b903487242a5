"""The mover on aiohttp, for what threads cannot do: bodies that pass through, and proxies.

Presigned URLs pass unchanged (`encoded=True`: yarl would rewrite their query),
redirects are answers, bodies are not decompressed, cookies and `.netrc` do not
exist. No exception of aiohttp leaves this file: their texts hold whole URLs.
Lengths are compared here, because a chunked or close-delimited body that was
cut passes silently.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import anyio.to_thread
from aiohttp import hdrs
from yarl import URL

from transfer.errors import (
    ConnectionLostError,
    DamagedInTransitError,
    ProtocolError,
    StalledError,
    TlsError,
    TransferError,
    UsageError,
)
from transfer.files import local_errors, read_chunk, write_fully
from transfer.mover.proxies import Proxies
from transfer.mover.ranges import check_placement, range_header
from transfer.mover.stall import StallWatch
from transfer.mover.trust import Trust
from transfer.redaction import host_of, redact
from transfer.sizes import MIB
from transfer.store import Response, Tls
from transfer.tally import Tally

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from aiohttp.abc import AbstractStreamWriter
    from typing_extensions import Buffer

    from transfer.settings import Settings
    from transfer.store import Extent, Mover, Request, Sink, Source

    Body: TypeAlias = "bytes | memoryview | SourceBody"

# Read from a file, hashed and handed to the socket in one piece. Larger pieces
# fall out of the cache between the three.
CHUNK = 256 * 1024
# Collected before one write to a file.
GATHER = MIB

_NO_TLS = Tls()


class AiohttpMover:
    """Moves bodies with aiohttp; make it with `open_aiohttp_mover`."""

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        self._session = session
        self._stall = settings.stall_timeout
        self._proxies = Proxies.from_settings(settings)
        self._trust = Trust()

    async def exchange(
        self,
        request: Request,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        tally: Tally | None = None,
    ) -> Response:
        """Send a request and take its answer; see `Mover`."""
        tally = Tally() if tally is None else tally
        body = _body(request, source, tally)
        watch = StallWatch(lambda: tally.moved, lambda: self._limit(request, source, tally))
        answer: Response | None = None
        try:
            with watch:
                answer = await self._send(request, body, sink, tally)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(body, SourceBody) and body.error is not None:
                raise body.error from None
            raise _translated(error, request) from None
        if answer is None:
            raise StalledError(
                f"{request.method} {redact(request.url)}: no byte moved for"
                f" {self._limit(request, source, tally):.0f} s"
            )
        _check_sent(request, answer, source, tally)
        return answer

    def _limit(self, request: Request, source: Source | None, tally: Tally) -> float:
        """The body moves, or the server thinks; only the latter may have patience of its own."""
        if request.patience is None or (source is not None and tally.moved < source.size):
            return self._stall
        return request.patience

    async def _send(
        self, request: Request, body: Body, sink: Sink | None, tally: Tally
    ) -> Response:
        headers = dict(request.headers)
        headers.setdefault(hdrs.ACCEPT_ENCODING, "identity")
        if request.span is not None:
            headers[hdrs.RANGE] = range_header(request.span)
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            data=body or None,
            headers=headers,
            allow_redirects=False,
            ssl=await self._ssl(request),
            proxy=self._proxies.choose(request.url),
        ) as answer:
            return await _receive(request, answer, sink, tally)

    async def _ssl(self, request: Request) -> ssl.SSLContext | bool:
        if not request.url.startswith("https:"):
            return True
        return await self._trust.context(request.tls or _NO_TLS)


@asynccontextmanager
async def open_aiohttp_mover(settings: Settings) -> AsyncIterator[Mover]:
    """Open a mover with its pool of connections; how many run at once is the caller's choice."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=CHUNK,
        trust_env=False,
        skip_auto_headers=[hdrs.CONTENT_TYPE, hdrs.ACCEPT],
        headers={hdrs.USER_AGENT: "multipart-transfer"},
    )
    async with session:
        yield AiohttpMover(session, settings)


class SourceBody(aiohttp.payload.Payload):
    """A source as a request body; `error` keeps what the source raised, which aiohttp wraps."""

    _autoclose = True

    def __init__(self, source: Source, tally: Tally) -> None:
        super().__init__(source)
        self._size = source.size
        self._source = source
        self._tally = tally
        self.error: TransferError | None = None

    def __bool__(self) -> bool:
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Not text."""
        raise TypeError

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body; a second call (aiohttp repeats on a stale connection) starts afresh."""
        self._tally.restart()
        try:
            extent = self._source.extent
            if extent is None:
                await self._source.pour(_SocketSink(writer), self._tally)
            else:
                await _write_file(extent, writer, self._tally)
        except TransferError as error:
            self.error = error
            raise


class _SocketSink:
    extent = None

    def __init__(self, writer: AbstractStreamWriter) -> None:
        self._writer = writer

    async def write(self, offset: int, data: Buffer) -> None:
        del offset
        # The transport may keep what it could not send at once; the caller's
        # buffer is its own again when this returns. bytes() of bytes is free.
        await self._writer.write(bytes(data))


async def _write_file(extent: Extent, writer: AbstractStreamWriter, tally: Tally) -> None:
    offset = 0
    while offset < extent.span.size:
        data = await anyio.to_thread.run_sync(read_chunk, extent, offset, CHUNK, tally)
        await writer.write(data)
        offset += len(data)


async def _receive(
    request: Request, answer: aiohttp.ClientResponse, sink: Sink | None, tally: Tally
) -> Response:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    if sink is None or not 200 <= answer.status < 300:
        return Response(answer.status, headers, await _read_capped(request, answer))
    if request.span is not None:
        check_placement(answer.status, headers, request.span)
    expected = request.span.size if request.span is not None else answer.content_length
    tally.restart()
    async for pieces in _gathered(answer.content):
        size = sum(map(len, pieces))
        if expected is not None and tally.moved + size > expected:
            raise ProtocolError(
                f"{request.method} {redact(request.url)}: more than the {expected} bytes announced"
            )
        await _deliver(pieces, sink, tally)
    if expected is not None and tally.moved != expected:
        raise DamagedInTransitError(
            f"{request.method} {redact(request.url)}: the answer broke off after {tally.moved} of"
            f" {expected} bytes"
        )
    return Response(answer.status, headers)


async def _gathered(content: aiohttp.StreamReader) -> AsyncIterator[list[bytes]]:
    """Collect what arrives into pieces worth a write."""
    pieces: list[bytes] = []
    size = 0
    async for data in content.iter_any():
        pieces.append(data)
        size += len(data)
        if size >= GATHER:
            yield pieces
            pieces, size = [], 0
    if pieces:
        yield pieces


async def _deliver(pieces: list[bytes], sink: Sink, tally: Tally) -> None:
    if sink.extent is not None:
        await anyio.to_thread.run_sync(_write_and_count, sink.extent, pieces, tally)
        return
    for piece in pieces:
        offset = tally.moved
        tally.update(piece)
        await sink.write(offset, piece)


def _write_and_count(extent: Extent, pieces: list[bytes], tally: Tally) -> None:
    with local_errors("write", "the file"):
        write_fully(extent.fd, pieces, extent.span.start + tally.moved)
    for piece in pieces:
        tally.update(piece)


async def _read_capped(request: Request, answer: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for data in answer.content.iter_any():
        size += len(data)
        if size > request.most:
            raise ProtocolError(
                f"{request.method} {redact(request.url)}: an answer of more than"
                f" {request.most} bytes where a short one belongs"
            )
        pieces.append(data)
    return b"".join(pieces)


def _body(request: Request, source: Source | None, tally: Tally) -> Body:
    return request.body if source is None else SourceBody(source, tally)


def _check_sent(request: Request, answer: Response, source: Source | None, tally: Tally) -> None:
    """A server that says yes before it has everything has not got everything."""
    if source is not None and answer.status < 300 and tally.moved != source.size:
        raise DamagedInTransitError(
            f"{request.method} {redact(request.url)}: the server answered {answer.status} after"
            f" {tally.moved} of {source.size} bytes"
        )


def _translated(error: Exception, request: Request) -> TransferError:
    """Return our error; never the text of aiohttp's, which may hold a signature."""
    where = f"{request.method} {redact(request.url)}"
    host = host_of(request.url)
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return TlsError(
                f"{where}: no secure connection: {_tls_reason(error)}",
                hint="check the certificate, or name the CA bundle that it was signed with",
            )
        case aiohttp.ClientConnectorDNSError():
            return ConnectionLostError(f"{where}: the name {host} cannot be resolved")
        case aiohttp.ConnectionTimeoutError():
            return ConnectionLostError(f"{where}: {host} did not accept a connection in time")
        case aiohttp.ClientConnectorError():
            return ConnectionLostError(f"{where}: cannot connect to {host}: {_reason(error)}")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return UsageError(f"{where}: not an address that can be requested")
        case aiohttp.ClientPayloadError():
            return DamagedInTransitError(f"{where}: the answer broke off")
        case aiohttp.ClientResponseError():
            return ProtocolError(f"{where}: {host} answered what is not HTTP")
        case aiohttp.ClientError() | OSError():
            return ConnectionLostError(f"{where}: the connection broke: {_reason(error)}")
        case _:
            return UsageError(f"{where}: not an address that can be requested")


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    cause = getattr(error, "os_error", None) or error
    number = number or getattr(cause, "errno", None)
    return os.strerror(number) if number else type(cause).__name__


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    return getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "TLS failed"
