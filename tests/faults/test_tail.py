"""A path that has gone bad for one connection does not hold up the end."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import anyio
import pytest

from backends.s3 import parts as s3_parts
from tests.faults.harness import AWS, BUCKET, ChaosProxy, StrictStore, network
from tests.faults.harness.network import REQUEST, RESPONSE
from transfer.engine import Engine
from transfer.engine.tail import Tail
from transfer.settings import Settings
from transfer.sizes import MIB

PART = 4 * MIB
SIZE = 12 * PART
TARGET = f"s3://{BUCKET}/a"
# One part would take more than a minute so.
SLOW = 60_000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(s3_parts.S3Parts, "limits", replace(s3_parts.LIMITS, min_size=1))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
async def store():
    async with StrictStore(AWS.but(min_part=1)) as store:
        yield store


@pytest.fixture
def settings(store, monkeypatch, tmp_path):
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    return Settings(
        aws_region="us-east-1",
        upload_part_size=PART,
        download_part_size=PART,
        concurrency=4,
        durability="none",
        state_dir=str(tmp_path / "state"),
    )


@pytest.fixture
def cuts(monkeypatch):
    """The tails of all runs, to be asked how much they have cut."""
    tails = []
    begin = Tail.__init__

    def noted(self, *args):
        begin(self, *args)
        tails.append(self)

    monkeypatch.setattr(Tail, "__init__", noted)
    return lambda: sum(tail.cuts for tail in tails)


async def test_a_part_on_a_slow_connection_is_sent_again_on_another(store, settings, source, cuts):
    plan = {3: [network.Rate(SLOW, REQUEST)]}
    async with ChaosProxy(store.port, plan) as proxy:
        async with Engine(replace(settings, s3_endpoint_url=proxy.url)) as engine:
            with anyio.fail_after(40):
                report = await engine.push(source, TARGET)
        # What was cut is not a second attempt behind our back: it never got there.
        assert proxy.connections[2].passed[REQUEST] < PART
    assert store.objects["a"].data == source.read_bytes()
    assert cuts() == 1
    assert report.retries == 0
    assert report.done[0].verified == "content"
    parts = Counter(entry.part for entry in store.seen("UploadPart", status=200))
    assert set(parts.values()) == {1}
    assert report.moved == SIZE


async def test_a_range_on_a_slow_connection_is_read_again_on_another(
    store, settings, source, cuts, tmp_path
):
    async with Engine(replace(settings, s3_endpoint_url=store.url)) as engine:
        await engine.push(source, TARGET)
    plan = {3: [network.Rate(SLOW, RESPONSE)]}
    copy = tmp_path / "copy.bin"
    async with (
        ChaosProxy(store.port, plan) as proxy,
        Engine(replace(settings, s3_endpoint_url=proxy.url)) as engine,
    ):
        with anyio.fail_after(40):
            report = await engine.pull(TARGET, copy)
    assert copy.read_bytes() == source.read_bytes()
    assert cuts() == 1
    assert report.retries == 0


async def test_parts_that_are_all_slow_are_left_alone(store, settings, source, cuts):
    plan = [network.Rate(3_000_000, REQUEST)]
    async with (
        ChaosProxy(store.port, plan) as proxy,
        Engine(replace(settings, s3_endpoint_url=proxy.url)) as engine,
    ):
        await engine.push(source, TARGET)
    assert store.objects["a"].data == source.read_bytes()
    assert cuts() == 0


async def test_stopping_while_a_part_is_being_cut_leaves_what_stopping_leaves(
    store, settings, source, cuts
):
    plan = {3: [network.Rate(SLOW, REQUEST)]}
    async with (
        ChaosProxy(store.port, plan) as proxy,
        Engine(replace(settings, s3_endpoint_url=proxy.url)) as engine,
    ):
        with anyio.fail_after(40):
            async with anyio.create_task_group() as group:
                group.start_soon(engine.run, source, TARGET)
                while not cuts():  # noqa: ASYNC110 - nobody tells
                    await anyio.sleep(0.001)
                group.cancel_scope.cancel()
    (upload,) = store.open_uploads
    assert len(upload.parts) >= 8
    async with Engine(replace(settings, s3_endpoint_url=store.url)) as engine:
        report = await engine.push(source, TARGET)
    assert store.objects["a"].data == source.read_bytes()
    assert report.done[0].verified == "content"
