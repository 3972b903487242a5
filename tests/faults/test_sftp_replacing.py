"""SSH servers on which one file replaces another: nothing is lost, whatever comes in between."""

from __future__ import annotations

from contextlib import asynccontextmanager

import anyio
import asyncssh
import pytest

from backends.partial_file import is_ours
from tests.conformance.suite import get, put
from tests.support.fake_ssh import FakeSsh
from tests.support.file_servers import openssh, sshd
from transfer.engine import Engine
from transfer.errors import ConnectionLostError, StoreError
from transfer.model import Expected, Intent, Part, Span
from transfer.registry import locate, open_folder
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.store import Context
from transfer.tally import Tally

pytestmark = pytest.mark.servers

__all__ = ["sshd"]

SETTINGS = Settings(attempts=2, outage_patience=0, connect_timeout=5)


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@asynccontextmanager
async def opened(url, notices=None):
    notify = (notices if notices is not None else []).append
    folder, _ = open_folder(locate(url), Context(SETTINGS, None, notify=notify))
    async with folder as store:
        yield store


class Scripted(FakeSsh):
    """A server without a rename that replaces, which can be told what to do after one.

    No real server can be told to go away between two renames.
    """

    def __init__(self, folder):
        super().__init__(folder, lambda channel, root: _Files(channel, root, self))
        # What is done with a connection after each rename that succeeds, in order.
        self.then = []
        self.refused = []

    def stop(self, connection):
        self.down()
        connection.abort()

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()}


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel, root, script):
        super().__init__(channel, chroot=root)
        self._script = script

    def posix_rename(self, oldpath, newpath):
        raise asyncssh.SFTPOpUnsupported("no")

    def rename(self, oldpath, newpath):
        if self._script.refused and self._script.refused.pop(0):
            raise asyncssh.SFTPFailure("not now")
        super().rename(oldpath, newpath)
        if self._script.then:
            self._script.then.pop(0)(self.channel.get_connection())


@pytest.fixture
async def scripted(tmp_path, monkeypatch):
    server = Scripted(tmp_path)
    monkeypatch.setenv("HOME", str(server.home))
    await server.up()
    (server.folder / "t").write_bytes(b"old")
    yield server
    server.down()


def cut(connection):
    connection.abort()


async def test_a_connection_that_ends_between_two_renames_costs_no_old_file(scripted):
    scripted.then = [cut]
    async with opened(scripted.url) as store:
        with pytest.raises(ConnectionLostError) as caught:
            await put(store, "t", b"new")
    assert scripted.files() == {"t": b"old"}
    assert "before" not in str(caught.value)


async def test_a_new_file_that_is_refused_its_name_leaves_the_old_one(scripted):
    scripted.refused = [False, True]
    async with opened(scripted.url) as store:
        with pytest.raises(StoreError, match="not now"):
            await put(store, "t", b"new")
    assert scripted.files() == {"t": b"old"}


async def test_an_old_file_that_cannot_be_given_back_is_named_and_no_leftover(scripted):
    scripted.then = [scripted.stop]
    intent = Intent(3)
    async with opened(scripted.url) as store:
        with pytest.raises(ConnectionLostError) as caught:
            await store.put("t", BytesSource(b"new"), intent, Tally())
        [aside] = [name for name in scripted.files() if not is_ours(name)]
        assert f"if /t is missing, rename /{aside} to it" in str(caught.value)
        assert scripted.files()[aside] == b"old"
        await scripted.up()
        page = await store.leftovers.scan("")
        assert aside not in [info.key for info in page.objects]
        await store.put("t", BytesSource(b"new"), intent, Tally())
    assert scripted.files() == {"t": b"new"}


async def test_a_second_attempt_leaves_nothing_of_the_first(scripted, tmp_path):
    scripted.then = [cut, lambda _: None, cut, cut]
    (tmp_path / "new").write_bytes(b"new")
    async with Engine(Settings(attempts=5, outage_patience=5)) as engine:
        await engine.push(str(tmp_path / "new"), f"{scripted.url}t")
    assert scripted.files() == {"t": b"new"}


async def test_parts_are_put_together_again_after_a_cut(scripted):
    scripted.then = [scripted.stop]
    async with opened(scripted.url) as store:
        upload, receipt = await _sent(store, b"new")
        with pytest.raises(ConnectionLostError, match="if /t is missing"):
            await store.parts.complete(upload, [receipt], Expected(3))
        await scripted.up()
        await store.parts.complete(upload, [receipt], Expected(3))
        assert scripted.files() == {"t": b"new"}


async def test_an_upload_that_is_given_up_gives_the_old_file_back(scripted):
    scripted.then = [scripted.stop]
    async with opened(scripted.url) as store:
        upload, receipt = await _sent(store, b"new")
        with pytest.raises(ConnectionLostError):
            await store.parts.complete(upload, [receipt], Expected(3))
        await scripted.up()
        await store.parts.abort(upload)
    assert scripted.files() == {"t": b"old"}


async def test_openssh_without_its_own_rename_replaces_too(tmp_path, monkeypatch):
    with openssh(tmp_path, flags="-P posix-rename") as server:
        monkeypatch.setenv("HOME", str(server.home))
        target = server.folder / "t"
        target.write_bytes(b"old")
        async with opened(server.url) as store:
            await put(store, "t", b"newer")
            assert await get(store, "t") == b"newer"
            assert list(server.folder.iterdir()) == [target]
            upload, receipt = await _sent(store, b"new")
        # As a process leaves it that is killed between the two renames.
        target.rename(server.folder / f"t.before-{upload.id[:8]}")
        async with opened(server.url) as store:
            await store.parts.complete(upload, [receipt], Expected(3))
        assert list(server.folder.iterdir()) == [target]
        assert target.read_bytes() == b"new"


@pytest.mark.parametrize("mode", [0o640, 0o755, 0o600, 0o444])
async def test_a_new_file_has_the_permissions_of_the_old_one(sshd, monkeypatch, mode):
    monkeypatch.setenv("HOME", str(sshd.home))
    target = sshd.folder / f"mode-{mode:o}"
    target.write_bytes(b"old")
    target.chmod(mode)
    async with opened(sshd.url) as store:
        await put(store, target.name, b"newer")
        assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"newer", mode)
        upload, receipt = await _sent(store, b"new", target.name)
        await store.parts.complete(upload, [receipt], Expected(3))
        assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", mode)


async def test_what_replaces_something_private_is_private_before_it_is_shown(sshd, monkeypatch):
    monkeypatch.setenv("HOME", str(sshd.home))
    room = sshd.folder / "private"
    room.mkdir()
    for name in ("put", "parts"):
        (room / name).write_bytes(b"old")
        (room / name).chmod(0o640)
    seen = []

    def look():
        return [path.stat().st_mode & 0o777 for path in room.glob(".transfer-*.partial")]

    class Looking(BytesSource):
        async def pour(self, sink, tally):
            await super().pour(sink, tally)
            seen.extend(await anyio.to_thread.run_sync(look))

    async with opened(f"{sshd.url}/private") as store:
        await store.put("put", Looking(b"new"), Intent(3), Tally())
        upload = await store.parts.create("parts", Intent(3, 3))
        await store.parts.send(upload, Part(1, Span(0, 3)), Looking(b"new"), Tally())
        await store.parts.abort(upload)
    assert seen == [0o600, 0o600]


async def test_a_file_that_replaces_none_has_what_the_server_gives(sshd, monkeypatch):
    monkeypatch.setenv("HOME", str(sshd.home))
    room = sshd.folder / "unasked"
    room.mkdir()
    async with opened(f"{sshd.url}/unasked") as store:
        await put(store, "put", b"new")
        upload, receipt = await _sent(store, b"new", "parts")
        await store.parts.complete(upload, [receipt], Expected(3))
    (room / "usual").touch()
    assert len({path.stat().st_mode for path in room.iterdir()}) == 1


async def test_a_file_is_replaced_where_the_server_keeps_no_permissions(scripted, monkeypatch):
    def refuse(self, file_obj, attrs):
        raise asyncssh.SFTPOpUnsupported("no")

    monkeypatch.setattr(_Files, "fsetstat", refuse, raising=False)
    async with opened(scripted.url) as store:
        await put(store, "t", b"new")
    assert scripted.files() == {"t": b"new"}


async def _sent(store, data, key="t"):
    upload = await store.parts.create(key, Intent(len(data), len(data)))
    part = Part(1, Span(0, len(data)))
    return upload, await store.parts.send(upload, part, BytesSource(data), Tally())
