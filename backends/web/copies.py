"""Copies that a WebDAV server makes from one of its files to another (RFC 4918, 9.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.server_copies import ServerCopies
from backends.web.site import PATIENCE
from transfer.errors import RejectedError

if TYPE_CHECKING:
    from backends.web.site import Site
    from transfer.model import Intent
    from transfer.store import Source
    from transfer.tally import Tally


class DavCopies(ServerCopies):
    """Copies on one server, of what is there for the same user: names may be each user's own."""

    def __init__(self, site: Site) -> None:
        who = hash(tuple(sorted(site.headers.items())))
        super().__init__(f"http {site.base} {who:x}", f"{site.base}/", proved=False)
        self._site = site
        # Where a server may be copying to that has not answered, and goes on all the same.
        self.unanswered: set[str] = set()

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> bool:
        """COPY a whole file to a name where nothing is; tell whether it could be done."""
        origin = self.usable(source)
        if origin is None or origin.span.start or intent.must_verify:
            return False
        if await self.made(origin, self._copy(origin.place, key)) is None:
            return False
        tally.skip(origin.span.size)
        return True

    async def _copy(self, place: str, key: str) -> int:
        headers = {"Destination": self._site.url(key), "Overwrite": "F"}
        self.unanswered.add(key)
        answer = await self._site.ask("COPY", place, headers, patience=PATIENCE)
        self.unanswered.discard(key)
        if not answer.ok:
            raise self._site.error("copy", place, answer)
        if answer.status == 207:
            raise RejectedError(
                f"copy {self._site.shown(place)}: the server could not do all of it"
            )
        return answer.status
