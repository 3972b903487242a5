"""What the store for HDFS must do beyond the contract, on a real one."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager

import anyio
import pytest
from hdfs_native import Client

from bench.servers import free_port
from tests.conformance.suite import BreakingSource, get, keys, put
from transfer.errors import (
    AccessError,
    BadKeyError,
    ConnectionLostError,
    NotFoundError,
    RejectedError,
    SourceChangedError,
    TransferError,
    UsageError,
)
from transfer.model import Intent, Span
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_root
from transfer.settings import Settings
from transfer.sources import BytesSink
from transfer.store import Context
from transfer.tally import Tally

pytestmark = [pytest.mark.servers, pytest.mark.slow]


@asynccontextmanager
async def opened(url: str, **environ: str):
    settings = Settings.from_env(environ)
    async with (
        open_mover(settings) as mover,
        open_root(locate(url), Context(settings, mover)) as store,
    ):
        yield store


@pytest.fixture
async def store(hdfs):
    async with opened(hdfs.url) as store:
        yield store


@pytest.fixture
def room():
    return f"room-{secrets.token_hex(6)}/"


def files(hdfs, room: str) -> list[str]:
    """List all files that are there, the unfinished ones too."""
    found = Client(hdfs.url).list_status(f"/{room}", recursive=True)
    return [item.path for item in found if not item.isdir]


async def test_nothing_is_left_of_a_put_that_broke(hdfs, store, room):
    await put(store, room + "a", b"old")
    with pytest.raises(TransferError):
        await store.put(room + "a", BreakingSource(400_000), Intent(400_000), Tally())
    assert await anyio.to_thread.run_sync(files, hdfs, room) == [f"/{room}a"]
    assert await get(store, room + "a") == b"old"


async def test_a_folder_is_never_replaced_and_never_deleted(store, room):
    await put(store, room + "dir/inside", b"precious")
    with pytest.raises(RejectedError, match="is a folder"):
        await put(store, room + "dir", b"x")
    await store.delete(room + "dir")
    with pytest.raises(NotFoundError):
        await store.stat(room + "dir")
    assert await keys(store, room) == [room + "dir/inside"]


async def test_a_file_is_no_folder(store, room):
    await put(store, room + "a", b"x")
    with pytest.raises(TransferError) as caught:
        await put(store, room + "a/b", b"x")
    assert not caught.value.retryable
    assert await keys(store, room + "a/") == []


@pytest.mark.parametrize("done", [True, False])
async def test_a_rename_whose_answer_was_lost_is_looked_at(store, room, monkeypatch, done):
    def losing(self, src, dst, overwrite=False):
        if done:
            rename(self, src, dst, overwrite)
        raise OSError("Connection reset, as it was told to be")

    await put(store, room + "a", b"old")
    rename = Client.rename
    monkeypatch.setattr(Client, "rename", losing)
    if done:
        await put(store, room + "a", b"new")
    else:
        with pytest.raises(ConnectionLostError):
            await put(store, room + "a", b"new")
    assert await get(store, room + "a") == (b"new" if done else b"old")


async def test_a_file_that_was_listed_and_replaced_is_not_read(store, room):
    await put(store, room + "a", b"1")
    info = await store.stat(room + "a")
    await put(store, room + "a", b"2")
    with pytest.raises(SourceChangedError):
        async with store.open(room + "a", info) as it:
            await it.source(Span(0, 1)).pour(BytesSink(), Tally())


async def test_a_file_that_became_shorter_is_noticed_before_its_end_is_asked_for(store, room):
    """To read behind the end is a panic of the library."""
    await put(store, room + "a", bytes(1000))
    async with store.open(room + "a") as it:
        await put(store, room + "a", b"short")
        with pytest.raises(SourceChangedError):
            await it.source(Span(900, 1000)).pour(BytesSink(), Tally())


@pytest.mark.parametrize("key", ["a:b", "x" * 300, "\udcff", "a//b", "a/../b"])
async def test_names_that_hdfs_does_not_take_are_said_to_be_bad(store, room, key):
    with pytest.raises(BadKeyError):
        await put(store, room + key, b"x")


async def test_somebody_else_may_not(hdfs, store, room, monkeypatch):
    await put(store, room + "a", b"x")
    # What opening a store puts into the environment goes when the test ends.
    monkeypatch.setenv("HADOOP_USER_NAME", "")
    async with opened(hdfs.url, MLFLOW_KERBEROS_USER="stranger@EXAMPLE.ORG") as theirs:
        assert await get(theirs, room + "a") == b"x"
        with pytest.raises(AccessError, match="user=stranger,"):
            await put(theirs, room + "b", b"x")
        with pytest.raises(AccessError):
            await theirs.delete(room + "a")


async def test_hadoops_configuration_names_the_host(hdfs, store, room, monkeypatch):
    await put(store, room + "a", b"x")
    monkeypatch.setenv("HADOOP_CONF_DIR", str(hdfs.conf))
    async with opened("hdfs:/") as configured:
        assert configured.url == "hdfs:"
        assert await get(configured, room + "a") == b"x"


async def test_without_a_configuration_there_must_be_a_host(monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", "/nowhere")
    with pytest.raises(UsageError, match="defaultFS"):
        async with opened("hdfs:/a"):
            pass
    with pytest.raises(UsageError, match="NameNode"):
        async with opened("hdfs://no-port/a"):
            pass


async def test_a_namenode_that_is_not_there_is_soon_known():
    async with opened(f"hdfs://127.0.0.1:{free_port()}") as nobody:
        with anyio.fail_after(10):
            with pytest.raises(ConnectionLostError, match="refused"):
                await nobody.stat("a")
