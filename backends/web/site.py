"""A web server as its client sees it: address, who we are, how it is trusted.

Credentials go to the server that they were given for and to nobody else: user
and password of the URL to its host, what `MLFLOW_TRACKING_*` says to the host
and port that `MLFLOW_TRACKING_URI` names. Redirects are not followed, so
nothing takes them further.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from backends.logins import authorization, basic
from backends.web.answers import error_of_answer
from backends.web.dav_xml import encoded
from transfer.errors import UsageError
from transfer.redaction import redact
from transfer.sizes import MIB
from transfer.store import Request, Tls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.errors import TransferError
    from transfer.settings import Settings
    from transfer.store import Mover, Response, Source
    from transfer.tally import Tally

_SCHEMES = {"http": "http", "https": "https", "webdav": "http", "webdavs": "https"}
_PORTS = {"http": 80, "https": 443}
# A server may check or copy a whole object before it answers; in seconds.
PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Site:
    """One server; `base` has no slash behind, and neither user nor password."""

    base: str
    headers: Mapping[str, str]
    tls: Tls
    mover: Mover
    timeout: float

    def __repr__(self) -> str:
        return f"<Site {self.base}>"

    def url(self, key: str) -> str:
        """Return the address of a key, or of a folder: "" or "a/b/"."""
        folder = key.endswith("/")
        path = encoded(key.removesuffix("/")) if key else ""
        return f"{self.base}/{path}{'/' if folder else ''}"

    def shown(self, key: str) -> str:
        """Return the address for messages: it holds no secret."""
        return f"{self.base}/{key}"

    async def ask(
        self,
        method: str,
        key: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        most: int = MIB,
        patience: float | None = None,
    ) -> Response:
        """Make a request without an object in it; return the answer, whatever its status."""
        said = {**self.headers, **(headers or {})}
        request = Request(
            method,
            self.url(key),
            said,
            patience=patience or self.timeout,
            tls=self.tls,
            body=body,
            most=most,
        )
        return await self.mover.exchange(request)

    async def send(
        self, key: str, headers: Mapping[str, str], source: Source, tally: Tally
    ) -> Response:
        """PUT a source; anything but success is raised."""
        request = Request(
            "PUT",
            self.url(key),
            {**self.headers, **headers},
            patience=PATIENCE,
            tls=self.tls,
        )
        answer = await self.mover.exchange(request, source=source, tally=tally)
        if not answer.ok:
            raise self.error("write", key, answer)
        return answer

    def error(self, verb: str, key: str, answer: Response) -> TransferError:
        """Return the error for an answer that is no success."""
        return error_of_answer(f"{verb} {self.shown(key)}", self.url(key), answer)


def site_of(root: str, settings: Settings, mover: Mover) -> Site:
    """Return the server of a root such as `https://user:password@host:port`."""
    scheme, _, rest = root.partition(":")
    user, _, host = rest.removeprefix("//").rpartition("@")
    base = f"{_SCHEMES[scheme]}://{host}"
    if not host or _origin(base) is None:
        raise UsageError(f"{redact(root)} names no host", hint=f"write {scheme}://HOST:PORT/PATH")
    tracked = _origin(base) == _origin((settings.tracking_uri or "").rstrip("/"))
    return Site(
        base,
        _headers(user, settings, tracked=tracked),
        _tls(settings, tracked=tracked),
        mover,
        settings.request_timeout,
    )


def _headers(user: str, settings: Settings, *, tracked: bool) -> dict[str, str]:
    if user and ":" not in user and settings.store_password:
        # In the URL, it would stand in the list of processes.
        return basic(unquote(user), settings.store_password)
    return authorization(settings, user) if user or tracked else {}


def _tls(settings: Settings, *, tracked: bool) -> Tls:
    if tracked:
        return Tls(
            verify=not settings.tracking_insecure_tls,
            ca_file=settings.tracking_server_cert or settings.http_ca_bundle,
            client_cert=settings.tracking_client_cert,
        )
    return Tls(verify=not settings.http_insecure_tls, ca_file=settings.http_ca_bundle)


def _origin(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port, None where these cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _PORTS[parts.scheme]
