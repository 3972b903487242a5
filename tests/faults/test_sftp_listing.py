"""Folders of SSH servers with what is no file in them, and what does not answer."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager

import anyio
import asyncssh
import pytest

from tests.conformance.suite import keys, put
from tests.support.fake_ssh import FakeSsh
from tests.support.file_servers import sshd
from transfer.engine import Engine
from transfer.errors import ConnectionLostError, StalledError, StoreError
from transfer.registry import locate, open_folder
from transfer.settings import Settings
from transfer.store import Context

pytestmark = pytest.mark.servers

__all__ = ["sshd"]

LEFTOVER = f".transfer-{'0' * 32}.partial"


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@asynccontextmanager
async def opened(url, *, confined=False):
    context = Context(Settings(request_timeout=1), None, confined)
    folder, _ = open_folder(locate(url), context)
    async with folder as store:
        yield store


class DeadDisk(asyncssh.SFTPServer):
    """A server that answers, but for what lies on a disk that does not.

    No test can take a network's disk away below a real one.
    """

    def __init__(self, channel, root):
        super().__init__(channel, chroot=root)
        self._connection = channel.get_connection()

    async def stat(self, path):
        return await self._unless_dead(super().stat, path)

    async def lstat(self, path):
        return await self._unless_dead(super().lstat, path)

    async def realpath(self, path):
        return await self._unless_dead(super().realpath, path)

    async def remove(self, path):
        return await self._unless_dead(super().remove, path)

    async def _unless_dead(self, ask, path):
        if f"{ask.__name__}-dead".encode() in path or LEFTOVER.encode() in path:
            await anyio.sleep(60)
        if f"{ask.__name__}-ends".encode() in path:
            self._connection.abort()
        return ask(path)


@pytest.fixture
async def dead_disk(tmp_path, monkeypatch):
    server = FakeSsh(tmp_path, DeadDisk)
    monkeypatch.setenv("HOME", str(server.home))
    await server.up()
    yield server
    server.down()


@pytest.mark.parametrize("ask", ["stat", "realpath"])
async def test_a_link_to_a_disk_that_does_not_answer_is_not_waited_for(dead_disk, ask):
    (dead_disk.folder / "room").mkdir()
    (dead_disk.folder / "room" / f"{ask}-dead").symlink_to(".")
    async with opened(dead_disk.url) as store:
        with (
            anyio.fail_after(10),
            pytest.raises(StalledError, match=f"link /room/{ask}-dead leads"),
        ):
            await store.scan("room/")
        # What else the server has can be had.
        await put(store, "other/a", b"x")
        assert await keys(store, "other/") == ["other/a"]


async def test_a_connection_that_ends_in_a_listing_leaves_no_link_empty(dead_disk):
    """What was not looked at is no empty file."""
    room = dead_disk.folder / "room"
    room.mkdir()
    (room / "file").write_bytes(b"x")
    (room / "stat-ends").symlink_to("file")
    async with opened(dead_disk.url) as store:
        with anyio.fail_after(10), pytest.raises(ConnectionLostError):
            await store.scan("room/")


async def test_a_folder_of_others_that_does_not_answer_is_not_waited_for(dead_disk):
    async with opened(dead_disk.url, confined=True) as store:
        with anyio.fail_after(10), pytest.raises(StalledError):
            await store.scan("lstat-dead/")


async def test_a_leftover_that_does_not_go_away_is_not_waited_for(dead_disk):
    async with opened(dead_disk.url) as store:
        with anyio.fail_after(10), pytest.raises(StalledError):
            await store.leftovers.remove(LEFTOVER)


async def test_what_is_no_file_is_named_and_left_alone(sshd, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(sshd.home))
    room, copy, local = sshd.folder / "special", tmp_path / "copy", tmp_path / "local"
    for folder in (room, local):
        folder.mkdir()
        os.mkfifo(folder / "pipe")
        (folder / "file").write_bytes(b"x")
        (folder / "to-file").symlink_to("file")
        (folder / "to-pipe").symlink_to("pipe")
    async with opened(sshd.url) as store:
        listed = {info.key: info.size for info in (await store.scan("special/")).objects}
        with pytest.raises(StoreError, match="not a regular file: it is left alone"):
            await store.stat("special/pipe")
        for name in ("pipe", "to-pipe"):
            with pytest.raises(StoreError, match="not a regular file: it is not replaced"):
                await put(store, f"special/{name}", b"new")
    assert (room / "pipe").is_fifo()
    wanted = {"special/file": 1, "special/pipe": 0, "special/to-file": 1, "special/to-pipe": 0}
    assert listed == wanted
    async with Engine(Settings()) as engine:
        with anyio.fail_after(20):
            report = await engine.run(f"{sshd.url}/special/", f"{copy}/")
            same = await engine.run(f"{local}/", f"{tmp_path / 'other'}/")
    assert sorted(path.name for path in copy.iterdir()) == ["file", "to-file"]
    for failed in (report.failed, same.failed):
        assert len(failed) == 2
        assert all("left alone" in str(failure.error) for failure in failed)
