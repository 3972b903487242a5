"""An S3 that believes nothing: `async with StrictStore() as store:` serves it on a free port.

It speaks the path-style API that the project needs, checks what Amazon checks,
and refuses, with 501 and a name, what it does not know, so that nothing passes
by being overlooked. It runs on the event loop of its caller; what it keeps, and a
log of all requests, are plain attributes for tests to look at. No task group is
held open between entering and leaving, so an async fixture may yield inside.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

import anyio
import anyio.lowlevel

from tests.faults.harness import completing, listing, multipart, objects
from tests.faults.harness.answers import CONTINUE, Answer, write_answer
from tests.faults.harness.clock import Clock
from tests.faults.harness.documents import error_document
from tests.faults.harness.exchange import Entry, Exchange, operation_of
from tests.faults.harness.http1 import (
    MAX_HEAD,
    BadHttpError,
    Body,
    TruncatedError,
    decoded,
    read_request,
)
from tests.faults.harness.listener import Listener
from tests.faults.harness.personality import AWS
from tests.faults.harness.refusals import Hangup, Refusal
from tests.faults.harness.rules import Lies, around
from tests.faults.harness.shelf import Shelf
from tests.faults.harness.signatures import Key, verify

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import Callable, Iterable

    from tests.faults.harness.http1 import Request
    from tests.faults.harness.personality import Personality
    from tests.faults.harness.shelf import Stored, Upload

BUCKET = "tests"
DEFAULT_KEY = Key("STRICTKEY", "strict/secret+key")
HANDLERS = {
    "HeadBucket": listing.head_bucket,
    "GetBucketLocation": listing.get_bucket_location,
    "ListObjectsV2": listing.list_objects_v2,
    "ListMultipartUploads": listing.list_multipart_uploads,
    "PutObject": objects.put_object,
    "GetObject": objects.get_object,
    "HeadObject": objects.head_object,
    "DeleteObject": objects.delete_object,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "UploadPart": multipart.upload_part,
    "ListParts": multipart.list_parts,
    "CompleteMultipartUpload": completing.complete_multipart_upload,
    "AbortMultipartUpload": multipart.abort_multipart_upload,
}
# What is read of a body nobody wants, so that the client sees the answer and no reset.
_DRAINED = 64 * 1024**2
_PATIENCE = 2.0


class StrictStore:
    """The server and its oracles; make as many as a test needs."""

    def __init__(
        self,
        personality: Personality = AWS,
        *,
        clock: Clock | None = None,
        buckets: tuple[str, ...] = (BUCKET,),
        keys: Iterable[Key] = (DEFAULT_KEY,),
        seed: int = 0,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.personality = personality
        self.clock = clock or Clock()
        self.keys = {key.access: key for key in keys}
        self.shelf = Shelf(buckets, personality, seed)
        self.lies = Lies()
        self.log: list[Entry] = []
        self.crashes: list[BaseException] = []
        self.accepted = 0
        self.peak = 0
        self._host = host
        self._tls = tls
        self._under_way = 0
        self._listener = Listener(self._connected, limit=16 * MAX_HEAD, host=host, tls=tls)

    # --- lifetime

    async def __aenter__(self) -> Self:
        await self._listener.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._listener.close()
        if self.crashes and kind is None:
            raise self.crashes[0]

    # --- what a client needs to know

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.port

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """The variables of somebody who may use it."""
        return self.environ_for(self.url)

    def environ_for(self, url: str) -> dict[str, str]:
        """The same for somebody who reaches it through something else."""
        key = next(iter(self.keys.values()))
        return {
            "AWS_ACCESS_KEY_ID": key.access,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            **({"AWS_SESSION_TOKEN": key.token} if key.token else {}),
            "AWS_DEFAULT_REGION": self.personality.region,
            "MLFLOW_S3_ENDPOINT_URL": url,
        }

    # --- oracles

    @property
    def objects(self) -> dict[str, Stored]:
        """The objects of the first bucket, by key."""
        return next(iter(self.shelf.buckets.values()))

    @property
    def open_uploads(self) -> list[Upload]:
        """Uploads that are neither complete nor aborted."""
        return list(self.shelf.uploads.values())

    def seen(
        self,
        operation: str | None = None,
        *,
        status: int | None = None,
        key: str | None = None,
        part: int | None = None,
    ) -> list[Entry]:
        """Return the log's lines that fit; a status of 0 is a request without an answer."""
        return [
            entry
            for entry in self.log
            if operation in {None, entry.operation}
            and status in {None, entry.status}
            and key in {None, entry.key}
            and part in {None, entry.part}
        ]

    def count(self, operation: str | None = None, **wanted: object) -> int:
        """Return how many lines `seen` would."""
        return len(self.seen(operation, **wanted))

    @property
    def bytes_received(self) -> int:
        """Bytes of all request bodies, those of failed attempts too."""
        return sum(entry.received for entry in self.log)

    async def cut(self) -> None:
        """Reset all connections there are: of a request that was late, nothing comes any more."""
        await self._listener.cut()

    async def until(
        self, condition: Callable[[StrictStore], object], seconds: float = 10.0
    ) -> None:
        """Wait until something is true of the store; TimeoutError if it does not become so."""
        with anyio.fail_after(seconds):
            while not condition(self):  # noqa: ASYNC110 - conditions are the test's own
                await anyio.sleep(0.002)

    def now(self) -> float:
        """The store's own time: its clock's, and its skew."""
        return self.clock.time() + self.personality.clock_skew

    # --- connections

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            await self._serve(reader, writer, self.accepted)
        except (OSError, Hangup):
            raise
        except (TruncatedError, BadHttpError):
            return
        except Exception as error:  # noqa: BLE001 - kept, and raised when the store is left
            self.crashes.append(error)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        while True:
            try:
                request = await read_request(reader)
                if request is None:
                    return
                body = Body(reader, request, self._go_ahead(request, writer))
            except BadHttpError:
                answer = Answer(400, closes=True, code="BadRequest")
                await write_answer(writer, answer, head_only=False)
                return
            entry = Entry(len(self.log) + 1, "?", began=self.clock.time(), connection=connection)
            self.log.append(entry)
            if not await self._one(request, body, entry, writer):
                return

    def _go_ahead(
        self, request: Request, writer: asyncio.StreamWriter
    ) -> Callable[[], None] | None:
        if (request.header("expect") or "").lower() != "100-continue":
            return None
        return functools.partial(writer.write, CONTINUE)

    async def _one(
        self, request: Request, body: Body, entry: Entry, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; return whether the connection can take another."""
        self._under_way += 1
        self.peak = max(self.peak, self._under_way)
        try:
            answer = await self._answer(request, body, entry)
            answer.closes = answer.closes or not body.ended
            entry.status, entry.code = answer.status, answer.code
            entry.sent = await write_answer(writer, answer, head_only=request.method == "HEAD")
        finally:
            self._under_way -= 1
            entry.received, entry.ended = body.received, self.clock.time()
        if answer.rst:
            raise Hangup(rst=True)
        if not body.ended and answer.raw is None:
            await _let_go(body, writer)
            return False
        ending = answer.closes or answer.cut is not None or answer.framing == "close"
        return body.ended and request.keeps_alive and not ending and answer.raw is None

    # --- requests

    async def _answer(self, request: Request, body: Body, entry: Entry) -> Answer:
        exchange = self._exchange(request, body, entry)

        async def work() -> Answer:
            try:
                answer = await self._truth(exchange)
            except Refusal as refusal:
                answer = self._refused(refusal, request, entry)
            entry.did = answer.status
            return answer

        for lie in reversed(self.lies.about(exchange)):
            work = around(lie, exchange, work)
        answer = await work()
        answer.headers = self._common_headers(entry) | answer.headers
        return answer

    def _exchange(self, request: Request, body: Body, entry: Entry) -> Exchange:
        bucket, _, key = request.path.lstrip("/").partition("/")
        entry.bucket, entry.key = decoded(bucket), decoded(key)
        number = request.param("partNumber") or ""
        entry.part = int(number) if number.isdecimal() else None
        entry.upload_id = request.param("uploadId")
        entry.headers = dict(request.headers)
        entry.operation = operation_of(request, key)
        exchange = Exchange(self, request, body, entry, entry.operation, entry.bucket, entry.key)
        exchange.range = request.header("range")
        return exchange

    async def _truth(self, exchange: Exchange) -> Answer:
        exchange.payload = verify(
            exchange.request,
            self.keys,
            region=self.personality.region,
            # When it arrived: what takes long does not expire on the way.
            now=exchange.entry.began + self.personality.clock_skew,
            expired_status=self.personality.expired_status,
        )
        exchange.check()
        return await HANDLERS[exchange.operation](exchange)

    def _refused(self, refusal: Refusal, request: Request, entry: Entry) -> Answer:
        headers = self._common_headers(entry)
        if request.method == "HEAD":
            return Answer(refusal.status, headers, code=refusal.code)
        resource = request.target.partition("?")[0]
        body = error_document(refusal, headers["x-amz-request-id"], resource)
        headers["Content-Type"] = "application/xml"
        return Answer(refusal.status, headers, body, code=refusal.code)

    def _common_headers(self, entry: Entry) -> dict[str, str]:
        shift = self.personality.clock_skew
        return {
            "x-amz-request-id": f"STRICT{entry.number:010}",
            "Date": self.clock.http_date(shift),
            "Server": "StrictStore",
        }


async def _let_go(body: Body, writer: asyncio.StreamWriter) -> None:
    """End a connection whose client still sends: let it read the answer, then close."""
    if body.awaited:
        return
    if writer.can_write_eof():
        writer.write_eof()
    with anyio.move_on_after(_PATIENCE):
        await body.discard(_DRAINED)
