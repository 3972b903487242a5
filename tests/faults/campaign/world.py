"""Where schedules are played: store, network, coordinator, in this process, used over and over."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import uvicorn
from sqlalchemy import delete

from tests.faults.campaign.cheap import PART, STALL, hurried
from tests.faults.campaign.zygote import Zygote
from tests.faults.harness import AWS, BUCKET, NAMED, Canary, ChaosProxy, Clock, StrictStore
from tests.faults.harness.digests import checksum_of, md5_hex
from tests.faults.harness.rules import Lies
from tests.faults.harness.shelf import Shelf, Stored
from transfer.coordinator.app import create_app
from transfer.coordinator.database import OBJECTS, PARTS, UPLOADS
from transfer.coordinator.state import Coordinator, ServeOptions, open_coordinator
from transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.campaign.schedule import Schedule

KEY = "thing.bin"
# By the coordinator, keys lie below this.
PREFIX = "co/"
URL_LIFETIME = 60.0


class Voices(logging.Handler):
    """Everything that is said to a log, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(logging.Formatter().format(record))


@dataclass
class World:
    """What is used again; `reset` makes it new."""

    folder: Path
    store: StrictStore
    proxy: ChaosProxy
    front: ChaosProxy
    coordinator: Coordinator
    zygote: Zygote
    canary: Canary
    voices: Voices
    token: str
    complaints: list[str] = field(default_factory=list)

    @property
    def source(self) -> Path:
        """The file that is pushed."""
        return self.folder / "from" / KEY

    @property
    def target(self) -> Path:
        """The file that is pulled."""
        return self.folder / "to" / KEY

    @property
    def key(self) -> str:
        """The object's key in the store; set by `reset`."""
        return self._key

    async def reset(self, schedule: Schedule) -> None:
        """Forget everything, and put what the schedule begins with in its place."""
        for proxy in (self.proxy, self.front):
            proxy.plan = ()
            await proxy.cut()
            proxy.connections.clear()
            await proxy.up_again()
        store = self.store
        await store.cut()
        store.personality = NAMED[schedule.personality].but(
            min_part=1, abort_misses_parts_in_flight=schedule.seed % 3 == 0
        )
        store.shelf = Shelf((BUCKET,), store.personality, schedule.seed)
        store.lies = Lies()
        store.clock = Clock()
        store.log.clear()
        store.crashes.clear()
        self.canary.seen.clear()
        self.voices.lines.clear()
        self.complaints.clear()
        self._key = (PREFIX if schedule.route == "coordinator" else "") + KEY
        for name in ("from", "to", "state"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
            (self.folder / name).mkdir()
        if schedule.route == "coordinator":
            # What it has learnt of another store.
            known = self.coordinator.destination.store
            known.refuses_checksums = known.confirmed = False
            async with self.coordinator.database.writing() as connection:
                for table in (PARTS, UPLOADS, OBJECTS):
                    await connection.execute(delete(table))

    def put_object(self, data: bytes, *, checksum: bool) -> None:
        """Put an object there, as somebody else's upload would."""
        shelf = self.store.shelf
        known = ("crc32c", checksum_of("crc32c", data)) if checksum else None
        etag = shelf.etag_of(data, {}) if self.store.personality.object_etags else ""
        shelf.keep(
            BUCKET,
            Stored(self.key, data, data, etag or md5_hex(data), self.store.now(), checksum=known),
        )

    def settings(self, schedule: Schedule) -> Settings:
        """Return what an engine is set up with."""
        return replace(
            reaching(self.store, self.proxy.url),
            s3_checksum=schedule.checksum,
            upload_part_size=PART,
            download_part_size=PART,
            concurrency=schedule.concurrency,
            durability="file" if schedule.durable else "none",
            state_dir=str(self.folder / "state"),
            stall_timeout=STALL,
            connect_timeout=1.0,
            request_timeout=2 * STALL,
            outage_patience=0.5,
            attempts=6,
            token=self.token,
        )

    @property
    def remote(self) -> str:
        """Where the object is, by way of the store or of the coordinator; set by `reset`."""
        if self.key.startswith(PREFIX):
            return f"transfer+http://127.0.0.1:{self.front.port}/{KEY}"
        return f"s3://{BUCKET}/{KEY}"

    _key: str = KEY


class Door(ChaosProxy):
    """A proxy that may be shut for a while."""

    async def up_again(self) -> None:
        """Open it if it is shut."""
        async with self._turn:
            if self._listener._server is None:
                await self.up()

    @cached_property
    def _turn(self) -> anyio.Lock:
        return anyio.Lock()


def reaching(store: StrictStore, url: str) -> Settings:
    """Return the settings that say all it takes to reach a store at some URL."""
    key = next(iter(store.keys.values()))
    return Settings(
        s3_endpoint_url=url,
        aws_region=store.personality.region,
        aws_access_key=key.access,
        aws_secret_key=key.secret,
        aws_session_token=key.token,
    )


def new_content(schedule: Schedule, number: int = 0) -> bytes:
    """Return content that is the same for the same seed; `number` tells versions apart."""
    return random.Random(f"{schedule.seed} {number}").randbytes(schedule.size)


@asynccontextmanager
async def open_world() -> AsyncIterator[World]:
    """Start everything; takes a second or two."""
    where = next((path for path in ["/dev/shm"] if os.path.isdir(path)), None)  # noqa: ASYNC240, PTH112
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=where)))
        stack.enter_context(hurried())
        store = await stack.enter_async_context(StrictStore(AWS.but(min_part=1)))
        proxy = await stack.enter_async_context(Door(store.port))
        zygote = await stack.enter_async_context(Zygote(folder))
        settings = reaching(store, proxy.url)
        coordinator, port = await stack.enter_async_context(_serving(folder, settings))
        front = await stack.enter_async_context(Door(port))
        voices = Voices()
        logging.getLogger().addHandler(voices)
        for name in ("transfer", "backends"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        stack.callback(logging.getLogger().removeHandler, voices)
        token = await coordinator.tokens.create("campaign", "", read_only=False)
        canary = await stack.enter_async_context(Canary())
        world = World(folder, store, proxy, front, coordinator, zygote, canary, voices, token)
        store.canary_url = canary.url
        _listen(world.complaints)
        yield world


def _listen(complaints: list[str]) -> None:
    """Whatever nobody caught is a finding."""

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        del loop
        complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    asyncio.get_running_loop().set_exception_handler(heard)


@asynccontextmanager
async def _serving(folder: Path, settings: Settings) -> AsyncIterator[tuple[Coordinator, int]]:
    options = ServeOptions(
        artifacts_destination=f"s3://{BUCKET}/{PREFIX.rstrip('/')}",
        backend_store_uri=f"sqlite:///{folder}/sessions.db",
    )
    chosen = replace(
        settings,
        signing_key="k" * 32,
        url_lifetime=URL_LIFETIME,
        stall_timeout=STALL,
    )
    async with open_coordinator(options, chosen) as coordinator:
        config = uvicorn.Config(
            create_app(coordinator),
            port=0,
            log_config=None,
            http="h11",
            ws="none",
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None
        server.capture_signals = nullcontext
        task = asyncio.ensure_future(server.serve())
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)  # noqa: TID251
        yield coordinator, server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        await task
