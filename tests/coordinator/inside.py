"""A coordinator in this process: its stores, its clients, and requests byte for byte."""

from __future__ import annotations

import mimetypes
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import anyio
import httpx

from backends.memory import MemoryParts, MemoryStore
from transfer.checksums import Algorithm
from transfer.coordinator import app as app_module
from transfer.coordinator.database import open_database
from transfer.coordinator.objects import Destination
from transfer.coordinator.state import ServeOptions, open_coordinator
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.store import SignedRequest
from transfer.tally import Tally
from transfer.wire import API_PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from transfer.coordinator.state import Coordinator
    from transfer.model import Intent, Part, Receipt, Upload
    from transfer.store import Store

ADDRESS = "127.0.0.1:5500"
OWN = API_PATH
# As the registry does when it opens a store: it reads files of the system.
mimetypes.init()
MLFLOW = "/api/2.0/mlflow-artifacts"
JSON = "application/json"


class SigningStore(MemoryStore):
    """A store that can presign, like S3; its URLs lead nowhere, the tests send parts by hand."""

    def __init__(self) -> None:
        super().__init__(url="memory://signing")
        self.signer = FakeSigner()
        self.parts = RecordingParts(self)

    async def send(self, upload: Upload, part: Part, data: bytes) -> Receipt:
        """Put a part there, as a client with its URL would."""
        return await self.parts.send(upload, part, BytesSource(data), Tally(Algorithm.CRC32C))


class RecordingParts(MemoryParts):
    """Remembers which keys uploads were opened for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.created: list[Upload] = []

    async def create(self, key: str, intent: Intent) -> Upload:
        upload = await super().create(key, intent)
        self.created.append(upload)
        return upload

    @property
    def opened(self) -> list[str]:
        """The keys of what is open now."""
        return [u.key for u in self.created if u.id in self._store.shelf.uploads]


class FakeSigner:
    """Says in the URL what was asked for."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    async def sign_part(self, upload, part, checksum, lifetime):
        query = f"partNumber={part.number}&uploadId={upload.id}&X-Amz-Signature=5ec2e7"
        return self._signed("PUT", upload.key, query, lifetime)

    async def sign_put(self, key, intent, lifetime):
        return self._signed("PUT", key, f"length={intent.size}&X-Amz-Signature=5ec2e7", lifetime)

    async def sign_read(self, info, lifetime):
        return self._signed("GET", info.key, f"expires={lifetime:.0f}", lifetime)

    def _signed(self, method: str, key: str, query: str, lifetime: float) -> SignedRequest:
        url = f"https://store.example/bucket/{key}?{query}"
        return SignedRequest(method, url, self.headers, lifetime)


@dataclass
class Asker:
    """Makes requests of an application, with a token or without."""

    client: httpx.AsyncClient
    token: str | None = None

    async def __call__(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self.client.request(method, path, headers=own | (headers or {}), **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self("GET", path, **more)

    async def put(self, path: str, content: Any, **more: Any) -> httpx.Response:
        return await self("PUT", path, content=content, **more)

    async def post(self, path: str, message: object, **more: Any) -> httpx.Response:
        return await self("POST", path, json=message, **more)


@dataclass
class Inside:
    """A running coordinator."""

    coordinator: Coordinator
    app: ASGIApp
    store: Any
    _stack: AsyncExitStack = field(repr=False)

    async def asker(self, token: str | None = None, *, host: str = ADDRESS) -> Asker:
        """Return a client of its own."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=f"http://{host}")
        return Asker(await self._stack.enter_async_context(client), token)

    async def tenant(self, name: str, prefix: str = "", *, read_only: bool = False) -> Asker:
        """Make a token, and return a client that shows it."""
        token = await self.coordinator.tokens.create(name, prefix, read_only=read_only)
        return await self.asker(token)


@asynccontextmanager
async def inside(
    folder: Path, store: Store, settings: Settings | None = None, prefix: str = "", **options: Any
) -> AsyncIterator[Inside]:
    """Run a coordinator on a store; its database lies in the folder."""
    database = folder / "sessions.db"
    if not database.exists():
        database.write_bytes(await _empty_tables())
    options.setdefault("backend_store_uri", f"sqlite:///{database}")
    chosen = ServeOptions(artifacts_destination="(given)", **options)
    # One that is given need not be kept.
    settings = replace(settings or Settings(), signing_key="k" * 32)
    async with (
        AsyncExitStack() as stack,
        open_coordinator(chosen, settings, Destination(store, prefix)) as coordinator,
    ):
        routes = _routes.pop() if _routes else app_module.make_routes()
        stack.callback(_routes.append, routes)
        with patch.object(app_module, "make_routes", lambda: routes):
            app = app_module.create_app(coordinator)
        yield Inside(coordinator, app, store, stack)


# Used again: the first request works out the routes, which takes longer than most tests.
_routes: list[FastAPI] = []
_tables: list[bytes] = []


async def _empty_tables() -> bytes:
    """Return a database with nothing in it: making one takes some writes to the disk."""
    if not _tables:
        with TemporaryDirectory() as folder:
            async with open_database(f"sqlite:///{folder}/new.db", Settings()):
                pass
            _tables.append(await anyio.Path(folder, "new.db").read_bytes())
    return _tables[0]


@dataclass(frozen=True)
class Answer:
    """What came back: header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


async def exact(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    host: str = ADDRESS,
    breaks_off: bool = False,
    stays_away: bool = False,
) -> Answer:
    """Make a request whose target no client library has normalised, and whose body may be cut.

    One that stays away has more to send, and does not.
    """
    path, _, query = target.partition("?")
    given = {"host": host, "content-length": str(len(body))} | (headers or {})
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "server": ("127.0.0.1", 5500),
        "client": ("127.0.0.1", 1),
        "root_path": "",
        # As uvicorn does it.
        "path": unquote(path),
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in given.items()],
        "state": {},
    }
    sent: list[Any] = []
    bodies = [{"type": "http.request", "body": body, "more_body": breaks_off or stays_away}]

    async def receive() -> Any:
        if not bodies and not breaks_off:
            await anyio.sleep_forever()
        return bodies.pop() if bodies else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Answer(
        sent[0]["status"],
        {n.decode(): v.decode("latin-1") for n, v in sent[0]["headers"]},
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


def new_upload(key: str, size: int = 10, part_size: int = 4, **more: object) -> dict[str, object]:
    """Return the message that opens an upload; ten bytes in parts of 4, 4 and 2."""
    request_id = secrets.token_hex(16)
    return {"request_id": request_id, "key": key, "size": size, "part_size": part_size} | more


def local(url: str) -> str:
    """Return path and query of a URL."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def files_below(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, links not followed."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in _walk(folder)
        if path.is_file() and not path.is_symlink()
    }


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
