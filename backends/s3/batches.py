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
        self, what: str, signed: SignedRequest, headers: dict[str, str], *, body: bytes, most: int
    ) -> Steps[Response]:
        request = Request(
            signed.method, signed.url, headers, tls=self._tls, body=body, most=max(most, 64 * 1024)
        )
        answer = yield from self._quick.exchange_in_steps(request)
        if not answer.ok:
            raise self._bucket.error(what, answer)
        return answer


class _Reader:
    def __init__(self, bucket: S3Bucket, wire: _Wire) -> None:
        self._bucket = bucket
        self._wire = wire

    def read(self, info: ObjectInfo) -> Steps[tuple[bytes, Checksum | None]]:
        what = f"read {self._bucket.url}/{info.key}"
        signed = self._bucket.presigner.read_by(self._wire.credentials, info, LIFETIME)
        headers = dict(signed.headers)
        if info.version:
            headers["If-Match"] = info.version
        answer = yield from self._wire.send(what, signed, headers, body=b"", most=info.size)
        if answer.status != 200 or len(answer.body) != info.size:
            raise DamagedInTransitError(
                f"{what}: {len(answer.body)} bytes arrived, {info.size} were listed"
            )
        seen = answer.headers.get("etag", "").strip('"')
        if seen and info.version and seen != info.version.strip('"'):
            raise SourceChangedError(f"{info.key} was replaced while it was read")
        return answer.body, s3_checksums.of_headers(answer.headers)


class _Writer:
    def __init__(self, bucket: S3Bucket, wire: _Wire, intent: Intent) -> None:
        self._bucket = bucket
        self._wire = wire
        self._intent = intent
        self._bound = bucket.checksumming(intent)

    @property
    def algorithm(self) -> Algorithm | None:
        return self._bound

    def write(self, key: str, data: bytes, checksum: Checksum) -> Steps[Checksum | None]:
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
        answer = yield from self._wire.send(what, signed, dict(signed.headers), body=data, most=0)
        return s3_checksums.of_headers(answer.headers)

    def finish(self, wanted: Callable[[], bool]) -> Steps[dict[str, TransferError]]:
        del wanted
        yield from ()
        return {}
