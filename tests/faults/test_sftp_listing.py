"""Folders of SSH servers with what is no file in them, and what does not answer."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import asyncssh
import pytest

from tests.conformance.suite import keys, put
from tests.support.fake_ssh import FakeSsh
from transfer.errors import StalledError
from transfer.registry import locate, open_folder
from transfer.settings import Settings
from transfer.store import Context

pytestmark = pytest.mark.servers

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


async def test_a_folder_of_others_that_does_not_answer_is_not_waited_for(dead_disk):
    async with opened(dead_disk.url, confined=True) as store:
        with anyio.fail_after(10), pytest.raises(StalledError):
            await store.scan("lstat-dead/")


async def test_a_leftover_that_does_not_go_away_is_not_waited_for(dead_disk):
    async with opened(dead_disk.url) as store:
        with anyio.fail_after(10), pytest.raises(StalledError):
            await store.leftovers.remove(LEFTOVER)
