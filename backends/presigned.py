"""Reading and writing through presigned requests: shared by the stores that use them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from transfer.checksums import Checksum, differ
from transfer.errors import (
    DamagedInTransitError,
    ExpiredError,
    PreconditionError,
    SourceChangedError,
)
from transfer.mover.ranges import total_of
from transfer.sources import checksum_of_source
from transfer.store import Origin, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from transfer.checksums import Algorithm
    from transfer.errors import TransferError
    from transfer.model import ObjectInfo, Span
    from transfer.store import Mover, Response, SignedRequest, Sink, Source, Tls
    from transfer.tally import Tally

ErrorOf: TypeAlias = "Callable[[Response], TransferError]"
# Asked with True when the last permission turned out to have expired.
Sign: TypeAlias = "Callable[[bool], Awaitable[SignedRequest]]"
# Google Cloud Storage names a version by its generation, beside an ETag.
_GENERATION = "x-goog-generation"
_PINNED = "x-goog-if-generation-match"


def version_in(headers: Mapping[str, str]) -> str | None:
    """Return the version that an answer, to a read or to a write, speaks of."""
    return headers.get(_GENERATION) or headers.get("etag")


async def bind(source: Source, algorithm: Algorithm | None, tally: Tally) -> Checksum | None:
    """Return the checksum that a request is to be bound to, known before it is signed.

    It is the tally's own then, if it is of the same kind: nothing is hashed twice.
    """
    if algorithm is None:
        return None
    checksum = await checksum_of_source(source, algorithm)
    if tally.algorithm is algorithm:
        tally.adopt(checksum)
    return checksum


async def arrived_before(
    info: ObjectInfo, source: Source, tally: Tally, error: TransferError
) -> ObjectInfo:
    """Count a source as sent that an attempt before has stored, whose answer was lost.

    What this attempt has hashed of it may not be all. Raises `error` for another size.
    """
    if info.size != source.size:
        raise error
    if tally.algorithm is not None and tally.hashes:
        tally.adopt(await checksum_of_source(source, tally.algorithm))
    tally.restart()
    tally.advance(source.size)
    return info


async def send_signed(
    mover: Mover,
    signed: SignedRequest,
    source: Source,
    tally: Tally,
    *,
    tls: Tls | None,
    error_of: ErrorOf,
) -> Response:
    """Send a source with a presigned PUT; anything but 2xx is raised."""
    request = Request(signed.method, signed.url, signed.headers, tls=tls)
    answer = await mover.exchange(request, source=source, tally=tally)
    if not answer.ok:
        raise error_of(answer)
    return answer


def check_echo(what: str, echoed: str | None, tally: Tally) -> None:
    """Compare the checksum that a server computed of what it got with our own."""
    if echoed is None or tally.checksum is None:
        return
    try:
        theirs = Checksum.parse(echoed)
    except ValueError:
        return
    if differ(theirs, tally.checksum):
        raise DamagedInTransitError(f"{what}: the server got other bytes than were sent")


class RemoteObject:
    """An object read by presigned ranged requests, pinned to its version.

    `sign` is asked for a permission before each range: it may keep one until it
    expires. `ranged` False means that the whole is asked for without a range.
    `checksum_of` finds the object's checksum in the headers of an answer,
    `version_in` its version, `condition_of` makes the header that asks for one.
    `realm`, `place` and `look` are for stores that can copy the object by themselves.
    """

    def __init__(
        self,
        info: ObjectInfo,
        mover: Mover,
        sign: Sign,
        *,
        tls_for: Callable[[str], Tls],
        error_of: ErrorOf,
        ranged: bool = True,
        checksum_of: Callable[[Mapping[str, str]], Checksum | None] | None = None,
        condition_of: Callable[[str], Mapping[str, str]] = lambda version: {"If-Match": version},
        version_in: Callable[[Mapping[str, str]], str | None] = version_in,
        realm: str = "",
        place: str = "",
        look: Callable[[], Awaitable[ObjectInfo]] | None = None,
    ) -> None:
        self.info = info
        self._look = look
        self._realm = realm
        self._place = place
        self._mover = mover
        self._sign = sign
        self._tls_for = tls_for
        self._error_of = error_of
        self._ranged = ranged
        self._checksum_of = checksum_of
        self._condition_of = condition_of
        self._version_in = version_in
        self._expired = False
        self._seen: str | None = None

    def source(self, span: Span) -> Source:
        """Return a range."""
        return _RemoteSpan(self, span)

    def origin(self, span: Span) -> Origin:
        """Say what a range is a range of."""
        version, check = self.info.version, self._check_still_there
        return Origin(span, self._realm, self._place, version, check)

    async def _check_still_there(self) -> None:
        if self._look is not None and (await self._look()).version != self.info.version:
            raise self._changed()

    async def read(self, span: Span, sink: Sink, tally: Tally) -> None:
        """Pour one range into a sink."""
        if not span.size:
            return
        signed = await self._sign(self._expired)
        self._expired = False
        headers = dict(signed.headers)
        version = self.info.version
        if version and _PINNED not in headers:
            headers.update(self._condition_of(version))
        tls = self._tls_for(signed.url)
        asked = span if self._ranged or span.size != self.info.size else None
        request = Request(signed.method, signed.url, headers, span=asked, tls=tls)
        answer = await self._mover.exchange(request, sink=sink, tally=tally)
        if not answer.ok:
            error = self._error_of(answer)
            self._expired = isinstance(error, ExpiredError)
            raise self._changed() if isinstance(error, PreconditionError) else error
        if asked is not None and total_of(answer.headers) not in {None, self.info.size}:
            raise self._changed()
        self._check_version(answer.headers, span)
        if self._checksum_of is not None and span.size == self.info.size:
            self._check_content(self._checksum_of(answer.headers), tally)
        if tally.moved != span.size:
            raise DamagedInTransitError(
                f"{self.info.key}: {tally.moved} bytes arrived, {span.size} were asked for"
            )

    def _check_content(self, said: Checksum | None, tally: Tally) -> None:
        """The answer with a whole object may say its checksum: then it is known from now on."""
        if differ(said, tally.checksum):
            raise DamagedInTransitError(
                f"{self.info.key}: the content has checksum {tally.checksum}, not {said}"
            )
        if said is not None:
            self.info = replace(self.info, checksum=said)

    def _check_version(self, headers: Mapping[str, str], span: Span) -> None:  # noqa: ARG002
        """Servers that ignore If-Match, or gave no version before, still say what they sent."""
        seen = (self._version_in(headers) or "").strip('"')
        known = (self.info.version or self._seen or "").strip('"')
        if seen and known and seen != known:
            raise self._changed()
        self._seen = seen or self._seen

    def _changed(self) -> SourceChangedError:
        return SourceChangedError(
            f"{self.info.key} was replaced while it was read",
            hint="transfer it again to get the new version",
        )


class _RemoteSpan:
    extent = None

    def __init__(self, remote: RemoteObject, span: Span) -> None:
        self._remote = remote
        self._span = span

    @property
    def size(self) -> int:
        return self._span.size

    @property
    def origin(self) -> Origin:
        return self._remote.origin(self._span)

    async def pour(self, sink: Sink, tally: Tally) -> None:
        await self._remote.read(self._span, sink, tally)
