"""Reading an object of a web server: its own bytes, and never those of two objects.

A version that can be asked for is asked for. Where there is none yet, but a date
that is too young to be one, a range waits until it is. Where there will be none, the
marks of each range are compared with those of the first look, and without a mark
there are no ranges: what comes in one piece is of one object.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from backends.presigned import RemoteObject
from backends.web.answers import (
    answered_version,
    checksum_of,
    condition_of,
    info_of_head,
    is_young,
    marks_of,
    versions_differ,
)
from transfer.errors import ProtocolError
from transfer.store import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backends.web.site import Site
    from transfer.model import ObjectInfo, Span
    from transfer.store import Response, Sink
    from transfer.tally import Tally

# Dates are of whole seconds: after one more, what is written has another date.
_UNTIL_OLD = 1.0


class Opened(RemoteObject):
    """An object of a web server; a range is asked for only where part of it is wanted.

    `headers` are those of the look that `info` comes from, if there was one; `head` looks again.
    """

    def __init__(
        self,
        site: Site,
        info: ObjectInfo,
        headers: Mapping[str, str],
        head: Callable[[], Awaitable[Response]],
        *,
        realm: str,
        ranged: bool,
    ) -> None:
        self._site = site
        self._head = head
        self._marks = marks_of(headers)
        self._young = info.version is None and is_young(headers)
        self._growing_old = anyio.Lock()
        request = SignedRequest("GET", site.url(info.key), site.headers, float("inf"))

        async def sign(renew: bool) -> SignedRequest:  # noqa: FBT001 - a callback
            del renew
            return request

        super().__init__(
            info,
            site.mover,
            sign,
            tls_for=lambda _: site.tls,
            error_of=lambda answer: site.error("read", info.key, answer),
            ranged=ranged,
            checksum_of=checksum_of,
            condition_of=condition_of,
            version_in=lambda answered: answered_version(self.info.version, answered),
            realm=realm,
            place=info.key,
            look=self._look_again,
        )

    async def read(self, span: Span, sink: Sink, tally: Tally) -> None:
        """Pour one range into a sink."""
        if self._young and self._is_part(span):
            async with self._growing_old:
                await self._grow_old()
        await super().read(span, sink, tally)

    async def _grow_old(self) -> None:
        """Wait until the date is a version: twice in one second, nobody could tell."""
        if not self._young:
            return
        await anyio.sleep(_UNTIL_OLD)
        answer = await self._head()
        found = info_of_head(self.info.key, self._site.shown(self.info.key), answer)
        if found.size != self.info.size:
            raise self._changed()
        self._compare(marks_of(answer.headers))
        self.info = replace(self.info, version=found.version)
        self._young = False

    def _check_version(self, headers: Mapping[str, str], span: Span) -> None:
        if self.info.version is not None:
            super()._check_version(headers, span)
        elif self._is_part(span):
            self._compare(marks_of(headers))

    def _compare(self, marks: Mapping[str, str]) -> None:
        shared = marks.keys() & self._marks.keys()
        if any(marks[name] != self._marks[name] for name in shared):
            raise self._changed()
        if not shared:
            raise ProtocolError(
                f"{self._site.shown(self.info.key)}: the server does not say of which version a"
                " range is, so that ranges of two could come together",
                hint="read it in one piece: set the part size to no less than its size",
            )

    def _is_part(self, span: Span) -> bool:
        return span.size != self.info.size

    async def _look_again(self) -> ObjectInfo:
        """Return what is known if that is still there; a listing may have said it otherwise."""
        known, answer = self.info, await self._head()
        found = info_of_head(known.key, self._site.shown(known.key), answer)
        other = found.size != known.size or versions_differ(known.version, found.version)
        return found if other else known
