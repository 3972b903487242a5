"""Small objects of S3 by the many: one presigned request each, in one thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.s3 import checksums as s3_checksums
from backends.s3.errors import error_of_answer
from backends.s3.requests import LIFETIME
from transfer.checksums import Algorithm
from transfer.content_types import known_types, learn_types
from transfer.errors import DamagedInTransitError, SourceChangedError
from transfer.model import Intent
from transfer.quick import quick_of
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from backends.s3.bucket import S3Bucket
    from backends.s3.requests import S3Requests
    from transfer.checksums import Checksum
    from transfer.errors import TransferError
    from transfer.model import ObjectInfo
    from transfer.quick import Batcher, BatchReader, BatchWriter, Exchanges, Steps
    from transfer.signing import Credentials
    from transfer.store import Response, SignedRequest, Tls
    from transfer.tally import Tally

# As far as it matters here: with what the store checks by, where it can.
_CHECKED = Intent(None, algorithm=Algorithm.CRC32C)


class S3Batches:
    """The facet of an S3 store."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self._last: S3Batcher | None = None

    async def batcher(self) -> Batcher | None:
        """Return what carries with the keys of now."""
        bucket = self._bucket
        quick = quick_of(bucket.mover)
        requests = bucket.presigner.requests
        if quick is None or not quick.reaches(requests.base):
            return None
        found = S3Batcher(
            bucket.url,
            requests,
            await bucket.signing.keyring.current(),
            bucket.signing.tls,
            bucket.checksumming(_CHECKED),
        )
        if found != self._last:
            self._last = found
        return self._last


@dataclass(frozen=True, slots=True)
class S3Batcher:
    """A bucket, at one address, with keys; `algorithm` is what it checks by."""

    url: str
    requests: S3Requests
    credentials: Credentials
    tls: Tls
    algorithm: Algorithm | None

    def __reduce__(self) -> tuple[Callable[..., S3Batcher], tuple[object, ...]]:
        """A process that has it pickled guesses types as this one does."""
        fields = self.url, self.requests, self.credentials, self.tls, self.algorithm
        return _batcher, (known_types(), *fields)

    def reader(self, exchanges: Exchanges) -> BatchReader:
        """Return a reader."""
        return _Reader(self, exchanges)

    def writer(self, exchanges: Exchanges, intent: Intent) -> BatchWriter:
        """Return a writer."""
        return _Writer(self, exchanges, intent)

    def clear(self, intent: Intent, keys: Iterable[str]) -> None:
        """Do nothing: an object that is not whole is none."""

    def send(
        self,
        exchanges: Exchanges,
        what: str,
        signed: SignedRequest,
        tally: Tally,
        *,
        match: str | None = None,
        body: bytes | memoryview = b"",
        into: memoryview | None = None,
    ) -> Steps[Response]:
        """Send a request from a thread; raises what the store says instead of a success."""
        headers = dict(signed.headers) | ({"If-Match": match} if match else {})
        request = Request(
            signed.method, signed.url, headers, tls=self.tls, body=body, most=64 * 1024
        )
        answer = yield from exchanges.exchange_in_steps(request, tally, into=into)
        if not answer.ok:
            raise error_of_answer(what, answer.status, answer.headers, answer.body)
        return answer


def _batcher(types: tuple[dict[str, str], ...], *fields: Any) -> S3Batcher:
    learn_types(types)
    return S3Batcher(*fields)


class _Reader:
    def __init__(self, bucket: S3Batcher, exchanges: Exchanges) -> None:
        self._bucket = bucket
        self._exchanges = exchanges

    def read(
        self, info: ObjectInfo, room: memoryview, tally: Tally
    ) -> Steps[tuple[memoryview, Checksum | None]]:
        bucket = self._bucket
        what = f"read {bucket.url}/{info.key}"
        signed = bucket.requests.read(bucket.credentials, info, LIFETIME)
        data = room[: info.size]
        answer = yield from bucket.send(
            self._exchanges, what, signed, tally, match=info.version, into=data
        )
        if answer.status != 200:
            raise DamagedInTransitError(f"{what}: the server answered {answer.status}, not 200")
        seen = answer.headers.get("etag", "").strip('"')
        if seen and info.version and seen != info.version.strip('"'):
            raise SourceChangedError(f"{info.key} was replaced while it was read")
        return data, s3_checksums.of_headers(answer.headers)


class _Writer:
    def __init__(self, bucket: S3Batcher, exchanges: Exchanges, intent: Intent) -> None:
        self._bucket = bucket
        self._exchanges = exchanges
        self._intent = intent
        self._bound = bucket.algorithm if intent.algorithm is not None else None

    @property
    def algorithm(self) -> Algorithm | None:
        return self._bound

    def write(
        self, key: str, data: memoryview, checksum: Checksum, tally: Tally
    ) -> Steps[Checksum | None]:
        bucket = self._bucket
        signed = bucket.requests.put(
            bucket.credentials,
            key,
            self._intent,
            size=len(data),
            checksum=checksum if self._bound is not None else None,
            lifetime=LIFETIME,
        )
        what = f"write {bucket.url}/{key}"
        answer = yield from bucket.send(self._exchanges, what, signed, tally, body=data)
        return s3_checksums.of_headers(answer.headers)

    def finish(self, wanted: Callable[[], bool]) -> Steps[dict[str, TransferError]]:
        del wanted
        yield from ()
        return {}
