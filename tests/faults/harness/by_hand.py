"""Requests made by hand: signed by botocore, changed by the test, sent down a raw socket.

So a test can send what no client library would, and see exactly what comes back.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import anyio
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.faults.harness.strict_store import BUCKET, DEFAULT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.faults.harness.signatures import Key
    from tests.faults.harness.strict_store import StrictStore


@dataclass(frozen=True)
class Message:
    """A request as it will be sent; change it with `but`."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    def but(
        self, *, without: str = "", more: Mapping[str, str] | None = None, **changes: Any
    ) -> Self:
        """Return it with other values, a header less, or headers more."""
        headers = {n: v for n, v in self.headers.items() if n.lower() != without.lower()}
        return replace(self, headers=headers | dict(more or {}), **changes)

    def swap(self, old: str, new: str) -> Self:
        """Return it with something else in its target."""
        assert old in self.target
        return replace(self, target=self.target.replace(old, new, 1))

    @property
    def head(self) -> bytes:
        """What goes out before the body."""
        headers = dict(self.headers)
        names = {name.lower() for name in headers}
        if not names & {"content-length", "transfer-encoding"} and (
            self.body or self.method in {"PUT", "POST"}
        ):
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.method} {self.target} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass
class Reply:
    """What came back, up to the end of the connection; names of headers in lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    interim: bool = False

    @property
    def code(self) -> str:
        """The store's word for an error."""
        return self.tag("Code")

    def tag(self, name: str) -> str:
        """Return the text of an element of the body."""
        found = re.search(f"<{name}>(.*?)</{name}>".encode(), self.body, re.DOTALL)
        return found[1].decode() if found else ""


def path_of(key: str) -> str:
    """Return the path of a key in the bucket of the tests."""
    return f"/{BUCKET}/{quote(key, safe='/~')}"


def signed(
    store: StrictStore,
    method: str,
    key: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    payload: str | None = None,
    by: Key = DEFAULT_KEY,
    region: str = "us-east-1",
) -> Message:
    """Return a request with an Authorization header; `payload` is the body's hash, or a word."""
    request = _request(store, method, key, query, headers, body=body)
    request.context["payload_signing_enabled"] = payload is None
    request.context["signing"] = {}
    if payload is not None:
        request.headers["X-Amz-Content-SHA256"] = payload
    auth = _HeaderAuth(_credentials(by), "s3", region)
    auth.forced = payload
    auth.add_auth(request)
    return _message(request, body)


def presigned(
    store: StrictStore,
    method: str,
    key: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    lifetime: int = 900,
    by: Key = DEFAULT_KEY,
    region: str = "us-east-1",
) -> Message:
    """Return a request with its signature in the query; `headers` are signed."""
    request = _request(store, method, key, query, headers)
    S3SigV4QueryAuth(_credentials(by), "s3", region, expires=lifetime).add_auth(request)
    return _message(request, body)


async def send(store_or_port: Any, message: Message, *, seconds: float = 10.0) -> Reply:
    """Send a request on a connection of its own, and read the answer to the end of that."""
    port = getattr(store_or_port, "port", store_or_port)
    message = message.but(without="connection", more={"Connection": "close"})
    return parsed(await exchange(port, message.head + message.body, seconds=seconds))


async def exchange(
    port: int, data: bytes, *, seconds: float = 10.0, half_close: bool = False
) -> bytes:
    """Send bytes, and return all that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = bytearray()
    try:
        with anyio.fail_after(seconds):
            writer.write(data)
            if half_close:
                writer.write_eof()
            while piece := await reader.read(65536):
                got += piece
    except ConnectionError:
        # A reset behind an answer, or instead of one.
        pass
    finally:
        writer.transport.abort()
    return bytes(got)


async def begun(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection and send the first bytes; close the writer yourself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await writer.drain()
    return reader, writer


def parsed(data: bytes) -> Reply:
    """Read an answer; a status of 0 is none."""
    interim = data.startswith(b"HTTP/1.1 100 ")
    if interim:
        data = data.partition(b"\r\n\r\n")[2]
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    if not lines[0].startswith("HTTP/1.1 "):
        return Reply(0, body=data)
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    return Reply(int(lines[0].split(" ")[1]), headers, body, interim)


def _unchunked(body: bytes) -> bytes:
    found = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", body):
        size = int(match[1], 16)
        found += body[match.end() : match.end() + size]
        body = body[match.end() + size + 2 :]
    return found


class _HeaderAuth(S3SigV4Auth):
    """botocore's, told what to say of the body."""

    forced: str | None = None

    def payload(self, request: AWSRequest) -> str:
        return self.forced or super().payload(request)


def _credentials(key: Key) -> Credentials:
    return Credentials(key.access, key.secret, key.token)


def _request(
    store: StrictStore,
    method: str,
    key: str,
    query: str,
    headers: Mapping[str, str] | None,
    *,
    body: bytes = b"",
) -> AWSRequest:
    path = path_of(key) if key else f"/{BUCKET}"
    url = f"{store.url}{path}" + (f"?{query}" if query else "")
    return AWSRequest(method=method, url=url, headers=dict(headers or {}), data=body)


def _message(request: AWSRequest, body: bytes) -> Message:
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, **dict(request.headers.items())}
    return Message(request.method, target, headers, body)
