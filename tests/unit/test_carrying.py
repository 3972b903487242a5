"""Small files carried in a thread: what arrives, what is left, and what is never seen half."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from backends import linux
from backends.local.store import LocalStore
from tests.support.steps import go_through
from transfer.carrying import File, Load, Way
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import AccessError, ConnectionLostError
from transfer.model import Intent, Verified
from transfer.quick import Aside
from transfer.tally import Tally

WAY = Way(source_is_local=True, target_is_local=True)
# Nothing here goes over a line.
NO_LINE: Any = None


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class Bench:
    """Two folders, and files to carry from one to the other."""

    def __init__(self, root: Path, **how: bool) -> None:
        self.here, self.there = root / "here", root / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.source, self.target = LocalStore(self.here), LocalStore(self.there, **how)

    async def file(self, key: str, data: bytes) -> File:
        path = self.here / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return File(await self.source.stat(key), key)

    async def load(self, contents: dict[str, bytes]) -> Load:
        return Load([await self.file(key, data) for key, data in contents.items()], WAY)

    async def reader(self) -> Any:
        batcher = await self.source.batches.batcher()
        assert batcher is not None
        return batcher.reader(NO_LINE)

    async def writer(self) -> Any:
        batcher = await self.target.batches.batcher()
        assert batcher is not None
        return batcher.writer(NO_LINE, Intent(None))

    async def carry(self, load: Load) -> None:
        steps = load.run(await self.reader(), await self.writer())
        await anyio.to_thread.run_sync(go_through, steps)


@pytest.fixture(params=["together", "each", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    how = request.param
    return Bench(tmp_path, durable=how != "none", together=how == "together")


async def test_all_arrive_and_nothing_else_is_left(bench: Bench):
    contents = {f"d{n % 3}/f{n}": os.urandom(n * 7) for n in range(20)}
    load = await bench.load(contents)
    await bench.carry(load)
    arrived, remaining = load.end()
    assert [a.number for a in arrived] == list(range(20))
    assert remaining == []
    assert load.size == sum(map(len, contents.values()))
    assert names_in(bench.there) == sorted(contents)
    for key, data in contents.items():
        assert (bench.there / key).read_bytes() == data
    moved = checksum_of(Algorithm.CRC32C, contents["d0/f3"])
    assert arrived[3][:3] == (3, str(moved), Verified.CONTENT)


async def test_what_was_changed_since_it_was_listed_is_left(bench: Bench):
    load = await bench.load(dict.fromkeys("abcde", b"before"))
    (bench.here / "a").write_bytes(b"before!")
    (bench.here / "b").unlink()
    (bench.here / "c").unlink()
    os.mkfifo(bench.here / "c")
    (bench.here / "other").write_bytes(b"before")
    (bench.here / "other").replace(bench.here / "d")
    await bench.carry(load)
    arrived, remaining = load.end()
    assert [a.number for a in arrived] == [4]
    assert remaining == [0, 1, 2, 3]
    assert names_in(bench.there) == ["e"]


async def test_what_cannot_be_written_is_left_and_what_was_there_stays(bench: Bench):
    load = await bench.load(dict.fromkeys("abcde", b"new"))
    (bench.there / "b").mkdir()
    (bench.there / "c").write_bytes(b"old")
    await bench.carry(load)
    assert load.end()[1] == [1]
    assert names_in(bench.there) == ["a", "c", "d", "e"]
    assert (bench.there / "c").read_bytes() == b"new"


async def test_nothing_has_its_name_before_the_batch_is_synced(bench: Bench):
    file = await bench.file("a", b"bytes")
    reader, writer = await bench.reader(), await bench.writer()

    def carry() -> None:
        room = memoryview(bytearray(100))
        data, said = go_through(reader.read(file.info, room, Tally()))
        assert (data, said) == (b"bytes", None)
        go_through(writer.write("a", data, checksum_of(Algorithm.CRC32C, data), Tally()))

    await anyio.to_thread.run_sync(carry)
    [name] = names_in(bench.there)
    assert name.startswith(".transfer-")
    assert (await bench.target.scan("")).objects == ()
    assert await anyio.to_thread.run_sync(go_through, writer.finish(lambda: True)) == {}
    assert names_in(bench.there) == ["a"]


@pytest.mark.parametrize("answer", [None, 0, -1])
async def test_order_is_sync_rename_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int | None
):
    """Where the system call is missing, each file is synced; where it fails, nothing is renamed."""
    bench = Bench(tmp_path)
    steps: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def syncfs(fd: int) -> None:
        assert not [name for name in names_in(bench.there) if not name.startswith(".transfer")]
        steps.append("all")
        if answer != 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(linux, "syncfs", lambda: None if answer is None else syncfs)
    load = await bench.load({f"f{n}": b"x" for n in range(6)})
    await bench.carry(load)
    if answer == -1:
        assert steps == ["all", "folder"]
        arrived, remaining = load.end()
        assert (arrived, len(remaining)) == ([], 6)
        assert names_in(bench.there) == []
    else:
        assert steps == (["all"] if answer == 0 else ["file"] * 6) + ["folder"]
        assert len(names_in(bench.there)) == 6


async def test_a_disk_is_watched_from_before_the_first_write_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An error that another descriptor was told of is not told to one that is opened later."""
    bench = Bench(tmp_path)
    opened: list[tuple[int, str]] = []
    synced: list[int] = []
    opening = os.open

    def noted(path: str, *args: int, **options: int | None) -> int:
        fd = opening(path, *args, **options)
        if str(path).startswith(str(bench.there)):
            opened.append((fd, str(path)))
        return fd

    monkeypatch.setattr(os, "open", noted)
    monkeypatch.setattr(linux, "syncfs", lambda: synced.append)
    load = await bench.load({f"f{n}": b"x" for n in range(6)})
    await bench.carry(load)
    assert len(load.end()[0]) == 6
    assert opened[0] == (synced[0], str(bench.there))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(synced[0])


class Failing:
    """A writer that fails as a store would; nothing real fails on demand."""

    algorithm = None

    def __init__(self, error: Exception, at: int) -> None:
        self.error, self.at, self.keys = error, at, []

    def write(self, key, data, checksum, tally):
        yield from ()
        self.keys.append(key)
        if len(self.keys) == self.at + 1:
            raise self.error

    def finish(self, wanted):
        yield from ()
        return {}


async def test_a_server_in_trouble_is_left_alone_but_one_that_refuses_is_not(bench: Bench):
    for error, carried in ((ConnectionLostError("cut"), 2), (AccessError("no"), 4)):
        load = await bench.load(dict.fromkeys("abcde", b"x"))
        reader = await bench.reader()
        await anyio.to_thread.run_sync(go_through, load.run(reader, Failing(error, 2)))
        arrived, remaining = load.end()
        assert len(arrived) == carried
        assert len(arrived) + len(remaining) == 5


async def test_what_is_given_up_while_it_is_held_up_is_lost_nowhere_and_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """A thread that a disk or a name server holds up cannot be stopped: others do its work."""
    load = await bench.load(dict.fromkeys("abc", b"old"))
    reader, writer = await bench.reader(), await bench.writer()
    writing = writer.write

    def held_up(key, data, checksum, tally):
        if key == "b":
            yield Aside(lambda: None)
        return (yield from writing(key, data, checksum, tally))

    monkeypatch.setattr(writer, "write", held_up)
    steps = load.run(reader, writer)
    assert isinstance(await anyio.to_thread.run_sync(next, steps), Aside)
    arrived, remaining = load.end()
    assert arrived == []
    assert remaining == [0, 1, 2]
    for name in "abc":
        (bench.there / name).write_bytes(b"new")
    await anyio.to_thread.run_sync(go_through, steps)
    assert names_in(bench.there) == ["a", "b", "c"]
    assert {(bench.there / name).read_bytes() for name in "abc"} == {b"new"}
    assert load.end() == (arrived, remaining)


async def test_a_batch_that_finishes_is_alive_though_the_disk_takes_its_time(bench: Bench):
    load = await bench.load({"a": b"x"})
    assert load.pulse == load.pulse == 0
    await bench.carry(load)
    assert load.pulse < load.pulse


async def test_a_folder_that_is_gone_fails_only_its_own_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    names = [f"{folder}/{n}" for folder in ("x", "y") for n in range(4)]
    load = await bench.load(dict.fromkeys(names, b"x"))
    reader, writer = await bench.reader(), await bench.writer()
    finishing = writer.finish

    def finish(wanted):
        shutil.rmtree(bench.there / "x")
        return (yield from finishing(wanted))

    monkeypatch.setattr(writer, "finish", finish)
    await anyio.to_thread.run_sync(go_through, load.run(reader, writer))
    arrived, remaining = load.end()
    assert [a.number for a in arrived] == [4, 5, 6, 7]
    assert remaining == [0, 1, 2, 3]
    assert names_in(bench.there) == names[4:]


async def test_a_failing_close_leaves_nothing_and_fails_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """What a file system on a network says only then: quota, input or output."""
    close, failing = os.close, [True]

    def closing(fd: int) -> None:
        written = str(Path(f"/proc/self/fd/{fd}").readlink()).startswith(str(bench.there))
        close(fd)
        if written and failing:
            failing.pop()
            raise OSError(errno.EDQUOT, "quota")

    load = await bench.load(dict.fromkeys("abc", b"x"))
    monkeypatch.setattr(os, "close", closing)
    await bench.carry(load)
    monkeypatch.undo()
    arrived, remaining = load.end()
    assert [a.number for a in arrived] == [1, 2]
    assert remaining == [0]
    assert names_in(bench.there) == ["b", "c"]


async def test_a_batch_is_alive_while_bytes_move(bench: Bench):
    """A file of some megabytes takes longer on a slow line than a sign of life may."""
    load = await bench.load({"a": b"x" * 1000})
    writer = await bench.writer()
    pulses: list[float] = []

    class Slow:
        def read(self, info, room, tally):
            for _ in range(10):
                tally.advance(100)
                pulses.append(load.pulse)
                yield Aside(lambda: None)
            room[:1000] = b"x" * 1000
            return room[: info.size], None

    slow: Any = Slow()
    await anyio.to_thread.run_sync(go_through, load.run(slow, writer))
    assert pulses == [float(n) for n in range(100, 1100, 100)]
    assert (load.size, len(load.end()[0])) == (1000, 1)


async def test_only_what_a_batch_had_begun_is_cleared(bench: Bench):
    """Its process has died: the files of all others stay, finished or not."""
    batcher = await bench.target.batches.batcher()
    assert batcher is not None
    intent, other = Intent(None), Intent(None)
    unfinished = [
        f".transfer-{i.nonce[:24]}0000000{n}.partial" for i in (intent, other) for n in "12"
    ]
    (bench.there / "d").mkdir()
    for name in [*unfinished, "a"]:
        (bench.there / "d" / name).write_bytes(b"x")
    keys = ["\0", "nowhere/b", unfinished[0], "d/a", "d/c"]
    await anyio.to_thread.run_sync(batcher.clear, intent, keys)
    assert names_in(bench.there) == sorted(f"d/{name}" for name in [*unfinished[2:], "a"])


async def test_what_nobody_has_foreseen_leaves_nothing(bench: Bench):
    load = await bench.load(dict.fromkeys("abc", b"x"))
    reader, writer = await bench.reader(), await bench.writer()
    writing = writer.write

    def write(key, data, checksum, tally):
        if key == "c":
            raise ZeroDivisionError
        return (yield from writing(key, data, checksum, tally))

    writer.write = write
    with pytest.raises(ZeroDivisionError):
        await anyio.to_thread.run_sync(go_through, load.run(reader, writer))
    assert load.end() == ([], [0, 1, 2])
    assert names_in(bench.there) == []
