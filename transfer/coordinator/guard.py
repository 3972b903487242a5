"""What is decided about a request before any route sees it.

The Host header must be one of ours (a page in somebody's browser must not reach
a coordinator on loopback under a name of its own), bodies of messages are
bounded before they are parsed, and every request leaves one line in the log:
without its query, which may be a permission.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from starlette.responses import PlainTextResponse

from transfer.coordinator.problems import TooLargeError
from transfer.sizes import MIB

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("transfer.coordinator.requests")

MAX_MESSAGE = 4 * MIB
# MLflow's clients send every part's whole URL back.
MAX_MLFLOW_COMPLETE = 24 * MIB
_HOST = re.compile(r"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:\d{0,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Guard:
    """Middleware around the whole application; `hosts` None lets every Host through."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request, pass it on, log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value for name, value in scope["headers"]}
        watched = _Watched(scope, send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await PlainTextResponse(refusal[1], refusal[0])(scope, receive, watched.send)
            watched.log()
            return
        limit = _limit(scope)
        try:
            bounded = receive if limit is None else _bounded(receive, limit)
            await self._app(scope, bounded, watched.send)
        finally:
            watched.log()

    def _refusal(self, scope: Scope, headers: dict[str, bytes]) -> tuple[int, str] | None:
        host = headers.get("host", b"").decode("latin-1")
        if not _HOST.fullmatch(host):
            return 400, "the Host header cannot be read"
        if self._hosts is not None and _name(host) not in self._hosts:
            return 400, "this Host is not served here: see --allowed-hosts"
        if not _is_text(unquote_to_bytes(scope["raw_path"])):
            # Decoded leniently, or matched by a "$", many such paths would be one and the same.
            return 400, "the path is not UTF-8, or has a control character"
        if "transfer-encoding" in headers and "content-length" in headers:
            return 400, "a body has a length or is chunked, not both"
        limit = _limit(scope)
        length = headers.get("content-length", b"0")
        if limit is not None and (not length.isdigit() or int(length[:20]) > limit):
            return 413, "the body is too large"
        return None


class _Watched:
    """Remembers how an answer began."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started = time.monotonic()
        self._status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await self._send(message)

    def log(self) -> None:
        client = self._scope.get("client") or ("-", 0)
        _LOG.info(
            "%s %s %s %d %.3f s",
            client[0],
            self._scope["method"],
            ascii(self._scope["path"])[1:-1],
            self._status,
            time.monotonic() - self._started,
        )


def _limit(scope: Scope) -> int | None:
    """Return how long a body may be; None where it is an object."""
    if scope["method"] == "PUT":
        return None
    return MAX_MLFLOW_COMPLETE if "/mpu/complete" in scope["path"] else MAX_MESSAGE


def _bounded(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise TooLargeError("the body is too large")
        return message

    return bounded


def _is_text(data: bytes) -> bool:
    try:
        return not _CONTROL.search(data.decode())
    except UnicodeDecodeError:
        return False


def _name(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[")
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()
