"""A store that is gone altogether: few requests, patience, and a run that can be gone on with."""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import replace

import anyio
import pytest

from backends.s3 import parts as s3_parts
from tests.faults.harness import AWS, BUCKET, ChaosProxy, StrictStore
from tests.faults.harness.kill import transfer
from tests.support.servers import clean_environment
from transfer.cli import exit_codes
from transfer.engine import Engine, run
from transfer.errors import ConnectionLostError
from transfer.events import Resumed
from transfer.settings import Settings

PART = 16 * 1024
PARTS = 200
TARGET = f"s3://{BUCKET}/a"
BUDGET = 500 // 5


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(PARTS * PART))
    return path


@pytest.fixture
async def store():
    async with StrictStore(AWS.but(min_part=1)) as store:
        yield store


@pytest.fixture
async def proxy(store):
    async with ChaosProxy(store.port) as proxy:
        yield proxy


@pytest.fixture
def settings(store, proxy, monkeypatch, tmp_path):
    """Sixty-four at once, and pauses a tenth as long as they are."""
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_parts.S3Parts, "limits", replace(s3_parts.LIMITS, min_size=1))
    policy_of = run.policy_of

    def hasty(settings, lane):
        return replace(
            policy_of(settings, lane), base=0.005, cap=0.2, throttle_base=0.05, probe_cap=0.3
        )

    monkeypatch.setattr(run, "policy_of", hasty)
    return Settings(
        s3_endpoint_url=proxy.url,
        aws_region="us-east-1",
        upload_part_size=PART,
        concurrency=64,
        durability="none",
        state_dir=str(tmp_path / "state"),
        outage_patience=20.0,
    )


@pytest.fixture
def connections(monkeypatch, proxy):
    """How often a connection was asked for while the proxy was down."""
    counted = Counter()
    connect = socket.create_connection

    def counting(address, *arguments, **more):
        counted["down" if proxy._listener._server is None else "up"] += 1
        return connect(address, *arguments, **more)

    monkeypatch.setattr(socket, "create_connection", counting)
    return counted


async def test_an_outage_shorter_than_the_patience_is_survived(
    store, proxy, settings, source, connections
):
    async with Engine(settings) as engine, anyio.create_task_group() as group:

        async def outage():
            await store.until(lambda s: s.count("UploadPart", status=200) >= 40)
            await proxy.down()
            await anyio.sleep(2.0)
            await proxy.up()

        group.start_soon(outage)
        report = await engine.push(source, TARGET)
    assert store.objects["a"].data == source.read_bytes()
    assert store.open_uploads == []
    assert report.retries > 64
    # The budget is spent once, by those under way at the time; then one probe at a time.
    assert connections["down"] <= BUDGET + 64 + 12
    parts = Counter(entry.part for entry in store.seen("UploadPart", status=200))
    assert sum(parts.values()) - PARTS <= 64


async def test_an_outage_longer_than_the_patience_ends_it_and_it_can_be_gone_on_with(
    store, proxy, settings, source, connections
):
    impatient = replace(settings, outage_patience=0.8)
    async with Engine(impatient) as engine, anyio.create_task_group() as group:

        async def outage():
            await store.until(lambda s: s.count("UploadPart", status=200) >= 40)
            await proxy.down()

        group.start_soon(outage)
        with anyio.fail_after(30):
            report = await engine.run(source, TARGET)
    error = report.failed[0].error
    assert isinstance(error, ConnectionLostError)
    assert "goes on from there" in str(error)
    assert report.kept == 1
    assert connections["down"] <= BUDGET + 64 + 12
    await proxy.up()
    there = len(store.open_uploads[0].parts)
    before = store.count("UploadPart", status=200)
    events = []
    async with Engine(settings) as engine:
        await engine.push(source, TARGET, on_event=events.append)
    assert store.objects["a"].data == source.read_bytes()
    assert [event.parts for event in events if isinstance(event, Resumed)] == [there]
    assert store.count("UploadPart", status=200) - before == PARTS - there


async def test_refused_connections_at_sixty_four_at_once_kill_nothing(
    store, proxy, settings, source
):
    """All of them fail at the same moment, again and again: that says nothing of any of them."""
    async with Engine(settings) as engine, anyio.create_task_group() as group:

        async def stutter():
            for count in (20, 60, 100, 140):
                await store.until(lambda s, n=count: s.count("UploadPart", status=200) >= n, 60)
                await proxy.down()
                await anyio.sleep(0.3)
                await proxy.up()

        group.start_soon(stutter)
        await engine.push(source, TARGET)
    assert store.objects["a"].data == source.read_bytes()


async def test_the_command_ends_in_five_and_goes_on_later(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(8 * 5 * 1024**2))
    async with StrictStore() as store, ChaosProxy(store.port) as proxy:
        environ = clean_environment(
            {
                **store.environ_for(proxy.url),
                "TRANSFER_STATE_DIR": str(tmp_path / "state"),
                "TRANSFER_OUTAGE_PATIENCE": "1",
            }
        )
        line = ("push", "--concurrency", "2", "--part-size", "5MiB", source, TARGET)
        async with transfer(*line, environ=environ, folder=tmp_path) as command:
            await store.until(lambda s: s.count("UploadPart", status=200) >= 3, 30)
            await proxy.down()
            assert await command.ended(60) == exit_codes.TEMPORARY, command.text
        assert f"transfer push --concurrency 2 --part-size 5MiB {source} {TARGET}" in command.text
        there = len(store.open_uploads[0].parts)
        before = store.count("UploadPart")
        await proxy.up()
        async with transfer(*line, environ=environ, folder=tmp_path) as command:
            assert await command.ended(60) == 0, command.text
        assert store.count("UploadPart") - before == 8 - there
        assert store.objects["a"].data == source.read_bytes()
