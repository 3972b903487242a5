"""Resumable uploads: one object, in order, from one place.

A session is opened, the bytes follow in chunks, and after a failure the store is
asked how far it got: what it has is not sent again. A later attempt of the same
intention goes on with its session. The address of a session is a secret, and
whoever has it can write the object: it stays in this process.

Source: "Resumable uploads" of the Cloud Storage documentation.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from backends.gcs.headers import info_of_resource
from backends.gcs.presigner import content_type
from backends.marks import MARK
from transfer.errors import ConnectionLostError, ProtocolError, TransferError
from transfer.files import FileSource
from transfer.model import Span
from transfer.sizes import KIB
from transfer.store import Request
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from backends.gcs.json_api import JsonApi
    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo
    from transfer.store import Mover, Response, Sink, Source

ErrorOf: TypeAlias = "Callable[[Response], TransferError]"
# All chunks but the last are multiples of it.
GRANULARITY = 256 * KIB
_COMPLETE_PATIENCE = 900.0
# How long giving up a session may take, in seconds.
_TO_CANCEL = 3.0
# Sessions that are remembered for a next attempt, which may never come.
_MOST = 256
_GONE = {404, 410}
_RECEIVED = re.compile(r"bytes=0-(\d+)")


class Sessions:
    """The sessions of one bucket that are under way, by the nonce of their intention."""

    def __init__(self, api: JsonApi, mover: Mover, chunk: int) -> None:
        self._api = api
        self._mover = mover
        self._chunk = chunk
        self._open: dict[str, str] = {}

    async def put(
        self,
        key: str,
        source: Source,
        intent: Intent,
        tally: Tally,
        *,
        checksum: Checksum | None,
        condition: str | None,
        error_of: ErrorOf,
    ) -> ObjectInfo:
        """Store an object; `condition` is the generation that it may replace, "0" for none.

        Raises TransferError; after a TemporaryError the session is kept for the next attempt.
        """
        uri = self._open.get(intent.nonce)
        upload = _Upload(key, source, tally, self._mover, chunk=self._chunk, error_of=error_of)
        try:
            if uri is None:
                query = {"ifGenerationMatch": condition} if condition is not None else {}
                resource = _resource(key, intent, checksum)
                answer = await self._api.open_session(key, resource, query, source.size)
                if not answer.ok:
                    raise error_of(answer)
                uri = await self._opened(intent.nonce, answer.headers.get("location", ""))
                done = None
            else:
                done = await upload.ask(uri)
            while done is None:
                done = await upload.step(uri)
        except TransferError as error:
            if not error.retryable or isinstance(error, _LostSessionError):
                await self.forget(intent.nonce)
            raise
        except BaseException:
            await self.forget(intent.nonce)
            raise
        self._open.pop(intent.nonce, None)
        return info_of_resource(done, key)

    async def forget(self, nonce: str) -> None:
        """Give a session up, if there is one; nobody waits long for that."""
        uri = self._open.pop(nonce, None)
        if uri is None:
            return
        with anyio.move_on_after(_TO_CANCEL, shield=True):
            try:
                await self._mover.exchange(Request("DELETE", uri, {"Content-Length": "0"}))
            except TransferError:
                # What cannot be given up expires in a week, and costs nothing until then.
                return

    async def close(self) -> None:
        """Give up what is left."""
        for nonce in list(self._open):
            await self.forget(nonce)

    async def _opened(self, nonce: str, uri: str) -> str:
        """Remember a session; of too many, the oldest is given up."""
        if not uri.startswith(("https://", "http://")):
            raise ProtocolError(f"write to gs://{self._api.bucket}: no session was opened")
        self._open[nonce] = uri
        if len(self._open) > _MOST:
            await self.forget(next(iter(self._open)))
        return uri


def _resource(key: str, intent: Intent, checksum: Checksum | None) -> dict[str, object]:
    """Return what the object is to be; content with another checksum will be refused."""
    resource: dict[str, object] = {
        "name": key,
        "contentType": content_type(key, intent),
        "metadata": {**intent.metadata, MARK: intent.nonce},
    }
    if checksum is not None:
        resource["crc32c"] = checksum.base64
    return resource


class _LostSessionError(ConnectionLostError):
    """The store does not know the session any more: the next attempt opens another."""


class _Upload:
    """One attempt: what is still to be sent, and how."""

    def __init__(
        self,
        key: str,
        source: Source,
        tally: Tally,
        mover: Mover,
        *,
        chunk: int,
        error_of: ErrorOf,
    ) -> None:
        self._key = key
        self._source = source
        self._tally = tally
        self._mover = mover
        self._error_of = error_of
        self._chunk = chunk
        self._offset = 0

    async def ask(self, uri: str) -> Mapping[str, Any] | None:
        """Ask how far a former attempt got; return the object if it is there already."""
        headers = {"Content-Range": f"bytes */{self._source.size}", "Content-Length": "0"}
        answer = await self._mover.exchange(Request("PUT", uri, headers))
        return self._result(answer)

    async def step(self, uri: str) -> Mapping[str, Any] | None:
        """Send a chunk, or all that is left; return the object when it is there."""
        before, size = self._offset, self._source.size
        piece, counted = self._next()
        span = Span(before, before + piece.size)
        asked = f"bytes {span.start}-{span.stop - 1}/{size}" if span.size else f"bytes */{size}"
        # The last answer comes when the object has been put together.
        patience = _COMPLETE_PATIENCE if span.stop == size else None
        request = Request("PUT", uri, {"Content-Range": asked}, patience=patience)
        answer = await self._mover.exchange(request, source=piece, tally=counted)
        done = self._result(answer)
        if done is None and self._offset <= before:
            raise ConnectionLostError(
                f"write {self._key}: the store took none of {piece.size} bytes"
            )
        return done

    def _result(self, answer: Response) -> Mapping[str, Any] | None:
        if answer.status == 308:
            self._offset = received(answer.headers.get("range", ""), self._source.size)
            return None
        if answer.status in _GONE:
            raise _LostSessionError(f"write {self._key}: the upload session is gone")
        if not answer.ok:
            raise self._error_of(answer)
        try:
            found: object = json.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProtocolError(f"write {self._key}: the answer is no JSON object")
        return found

    def _next(self) -> tuple[Source, Tally]:
        """Return what is to be sent next, and what counts it.

        Only of a file whose checksum is known before can a chunk be cut: else
        every byte passes through the tally, in order, and all that is left goes at once.
        """
        extent = self._source.extent
        if extent is None or self._tally.hashes:
            if not self._offset:
                return self._source, self._tally
            rest = _Rest(self._source, self._offset, self._tally)
            return rest, rest.sent
        stop = min(self._offset + self._chunk, self._source.size)
        start = extent.span.start
        last = stop == self._source.size
        span = Span(start + self._offset, start + stop)
        source = FileSource(extent.fd, span, extent.check if last else None)
        return source, _Portion(self._tally, self._offset)


def received(header: str, size: int) -> int:
    """Return from where to go on, by the Range of a 308: whole granules only."""
    match = _RECEIVED.fullmatch(header.strip())
    count = int(match[1]) + 1 if match else 0
    return min(count, size) // GRANULARITY * GRANULARITY


class _Portion(Tally):
    """Counts one chunk, and the whole with it."""

    __slots__ = ("_before", "_whole")

    def __init__(self, whole: Tally, before: int) -> None:
        super().__init__()
        self._whole = whole
        self._before = before
        whole.moved = before

    def restart(self) -> None:
        """Begin the chunk again."""
        super().restart()
        self._whole.moved = self._before

    def update(self, data: Buffer) -> None:
        """Count bytes."""
        self.advance(len(memoryview(data)))

    def advance(self, count: int) -> None:
        """Count bytes, here and in all."""
        super().advance(count)
        self._whole.moved = self._before + self.moved


class _Rest:
    """What is left of a source that can only be read from its start; all of it is hashed."""

    extent = None
    origin = None

    def __init__(self, source: Source, offset: int, whole: Tally) -> None:
        self._source = source
        self._offset = offset
        self._whole = whole
        self.size = source.size - offset
        self.sent = Tally()

    async def pour(self, sink: Sink, tally: Tally) -> None:
        """Read everything, pass on what is behind the offset."""
        self._whole.restart()
        await self._source.pour(_Behind(sink, self._offset, tally), self._whole)


class _Behind:
    extent = None

    def __init__(self, sink: Sink, offset: int, tally: Tally) -> None:
        self._sink = sink
        self._offset = offset
        self._tally = tally

    async def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        skipped = min(max(0, self._offset - offset), len(view))
        if skipped == len(view):
            return
        rest = view[skipped:]
        self._tally.update(rest)
        await self._sink.write(offset + skipped - self._offset, rest)
