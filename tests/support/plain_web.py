"""A web server of one object, as a mover: what it says of itself is up to the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

from backends.web.dav import Kinds
from backends.web.site import Site
from backends.web.store import HttpStore
from transfer.mover.ranges import check_placement
from transfer.sources import BytesSink
from transfer.store import Response, Tls
from transfer.tally import Tally

if TYPE_CHECKING:
    from transfer.store import Request, Sink, Source

URL = "http://host"


@dataclass
class PlainWeb:
    """Answers have the headers of `marks`; those to GET, of `marks_of_get` if that is set.

    A PUT fails with the next of `breaks`, and leaves that share of it.
    """

    data: bytes | None = None
    marks: dict[str, str] = field(default_factory=dict[str, str])
    marks_of_get: dict[str, str] | None = None
    breaks: list[tuple[Exception, float]] = field(default_factory=list[tuple[Exception, float]])
    requests: list[Request] = field(default_factory=list["Request"])

    def store(self) -> HttpStore:
        """Return a store on it that knows it for a server without WebDAV."""
        site = Site(URL, {}, Tls(), self, 10.0)
        return HttpStore(URL, site, Kinds(site, known=False))

    def asked(self, method: str) -> list[Request]:
        """Return the requests of one method so far."""
        return [request for request in self.requests if request.method == method]

    async def exchange(
        self,
        request: Request,
        *,
        source: Source | None = None,
        sink: Sink | None = None,
        tally: Tally | None = None,
    ) -> Response:
        """Answer as a mover does."""
        self.requests.append(request)
        if request.method == "PUT":
            return await self._put(source, tally)
        if self.data is None:
            return Response(404, {})
        size = len(self.data)
        if request.method == "HEAD":
            return Response(
                200, {"content-length": str(size), "accept-ranges": "bytes", **self.marks}
            )
        assert sink is not None
        assert tally is not None
        marks = self.marks if self.marks_of_get is None else self.marks_of_get
        span = request.span
        if span is None:
            status, body, headers = 200, self.data, {"content-length": str(size), **marks}
        else:
            status, body = 206, self.data[span.start : span.stop]
            stop = span.start + len(body)
            headers = {"content-range": f"bytes {span.start}-{stop - 1}/{size}", **marks}
            check_placement(status, headers, span)
        tally.restart()
        tally.update(body)
        await sink.write(0, body)
        return Response(status, headers)

    async def _put(self, source: Source | None, tally: Tally | None) -> Response:
        assert source is not None
        kept = BytesSink()
        await source.pour(kept, tally or Tally())
        if self.breaks:
            error, share = self.breaks.pop(0)
            self.data = bytes(kept.data[: int(source.size * share)]) if share else self.data
            raise error
        self.data = bytes(kept.data)
        return Response(201, {})


def dates(modified: float, told: float) -> dict[str, str]:
    """Return the headers that say when something was written, and when that was told."""
    return {
        "last-modified": formatdate(modified, usegmt=True),
        "date": formatdate(told, usegmt=True),
    }
