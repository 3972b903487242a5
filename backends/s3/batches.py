"""Small objects of S3 by the many: one presigned request each, in one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.s3 import checksums as s3_checksums
from backends.s3.parts import LIFETIME
from transfer.errors import DamagedInTransitError, SourceChangedError
from transfer.quick import quick_of
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.s3.bucket import S3Bucket
    from transfer.checksums import Algorithm, Checksum
    from transfer.errors import TransferError
    from transfer.model import Intent, ObjectInfo
    from transfer.quick import BatchReader, BatchWriter, Quick, Steps
    from transfer.signing import Credentials
    from transfer.store import Response, SignedRequest
    from transfer.tally import Tally


class S3Batches:
    """The facet of an S3 store."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    async def reader(self) -> BatchReader | None:
        """Return a reader; its keys are those of now."""
        wire = await self._wire()
        return None if wire is None else _Reader(self._bucket, wire)

    async def writer(self, intent: Intent) -> BatchWriter | None:
        """Return a writer; its keys are those of now."""
        wire = await self._wire()
        return None if wire is None else _Writer(self._bucket, wire, intent)

    async def _wire(self) -> _Wire | None:
        bucket = self._bucket
        quick = quick_of(bucket.mover)
        if quick is None or not quick.reaches(bucket.presigner.base):
            return None
        return _Wire(bucket, quick, await bucket.signing.keyring.current())


class _Wire:
    """Requests from a thread."""

    def __init__(self, bucket: S3Bucket, quick: Quick, credentials: Credentials) -> None:
        self._bucket = bucket
        self._quick = quick
        self.credentials = credentials
        self._tls = bucket.signing.tls

    def send(
        self,
        what: str,
        signed: SignedRequest,
        tally: Tally,
        *,
        match: str | None = None,
        body: bytes | memoryview = b"",
        into: memoryview | None = None,
    ) -> Steps[Response]:
        headers = dict(signed.headers) | ({"If-Match": match} if match else {})
        request = Request(
            signed.method, signed.url, headers, tls=self._tls, body=body, most=64 * 1024
        )
        answer = yield from self._quick.exchange_in_steps(request, tally, into=into)
        if not answer.ok:
            raise self._bucket.error(what, answer)
        return answer


class _Reader:
    def __init__(self, bucket: S3Bucket, wire: _Wire) -> None:
        self._bucket = bucket
        self._wire = wire

    def read(
        self, info: ObjectInfo, room: memoryview, tally: Tally
    ) -> Steps[tuple[memoryview, Checksum | None]]:
        what = f"read {self._bucket.url}/{info.key}"
        signed = self._bucket.presigner.read_by(self._wire.credentials, info, LIFETIME)
        data = room[: info.size]
        answer = yield from self._wire.send(what, signed, tally, match=info.version, into=data)
        if answer.status != 200:
            raise DamagedInTransitError(f"{what}: the server answered {answer.status}, not 200")
        seen = answer.headers.get("etag", "").strip('"')
        if seen and info.version and seen != info.version.strip('"'):
            raise SourceChangedError(f"{info.key} was replaced while it was read")
        return data, s3_checksums.of_headers(answer.headers)


class _Writer:
    def __init__(self, bucket: S3Bucket, wire: _Wire, intent: Intent) -> None:
        self._bucket = bucket
        self._wire = wire
        self._intent = intent
        self._bound = bucket.checksumming(intent)

    @property
    def algorithm(self) -> Algorithm | None:
        return self._bound

    def write(
        self, key: str, data: memoryview, checksum: Checksum, tally: Tally
    ) -> Steps[Checksum | None]:
        bound = checksum if self._bound is not None else None
        signed = self._bucket.presigner.put_by(
            self._wire.credentials,
            key,
            self._intent,
            size=len(data),
            checksum=bound,
            lifetime=LIFETIME,
        )
        what = f"write {self._bucket.url}/{key}"
        answer = yield from self._wire.send(what, signed, tally, body=data)
        return s3_checksums.of_headers(answer.headers)

    def finish(self, wanted: Callable[[], bool]) -> Steps[dict[str, TransferError]]:
        del wanted
        yield from ()
        return {}
