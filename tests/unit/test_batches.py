"""Small files carried in a thread: what arrives, what is left, and what is never seen half."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections import deque
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from backends.local import batches as local_batches
from backends.local.store import LocalStore
from tests.support.steps import go_through
from transfer.checksums import Algorithm, checksum_of
from transfer.engine.attempts import Attempts, Lane
from transfer.engine.batches import (
    BACKLOG,
    FEW,
    MOST,
    MOST_BYTES,
    SMALL,
    Batch,
    Batches,
    Small,
)
from transfer.engine.expand import Item
from transfer.engine.report import Options
from transfer.errors import AccessError, ConnectionLostError
from transfer.locations import Location
from transfer.model import Intent, Verified
from transfer.planner import Plan
from transfer.quick import Aside
from transfer.retries import RetryPolicy
from transfer.sizes import GIB
from transfer.tally import Tally

WORKERS = 2


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


class Bench:
    """Two folders, and files to carry from one to the other."""

    def __init__(self, root: Path, **how: bool) -> None:
        self.here, self.there = root / "here", root / "there"
        self.here.mkdir()
        self.there.mkdir()
        self.source, self.target = LocalStore(self.here), LocalStore(self.there, **how)

    async def small(self, key: str, data: bytes) -> Small:
        path = self.here / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        info = await self.source.stat(key)
        item = Item(
            Location("file", self.source.url, key), Location("file", self.target.url, key), info
        )
        return Small(item, self.source, self.target, Plan(len(data)))

    async def carry(self, batch: Batch) -> None:
        reader = await self.source.batches.reader()
        writer = await self.target.batches.writer(Intent(None))
        assert reader is not None
        assert writer is not None
        await anyio.to_thread.run_sync(go_through, batch.run(reader, writer))


@pytest.fixture(params=["together", "each", "none"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    how = request.param
    return Bench(tmp_path, durable=how != "none", together=how == "together")


async def test_all_arrive_and_nothing_else_is_left(bench: Bench):
    contents = {f"d{n % 3}/f{n}": os.urandom(n * 7) for n in range(20)}
    batch = Batch(deque([await bench.small(key, data) for key, data in contents.items()]))
    await bench.carry(batch)
    arrived, remaining = batch.end()
    assert [c.small.item.info.key for c in arrived] == list(contents)
    assert remaining == []
    assert batch.size == sum(map(len, contents.values()))
    assert names_in(bench.there) == sorted(contents)
    for key, data in contents.items():
        assert (bench.there / key).read_bytes() == data
    done = arrived[3].result()
    assert (done.size, done.parts, done.verified) == (21, 0, Verified.CONTENT)
    assert done.checksum is not None


async def test_what_was_changed_since_it_was_listed_is_left(bench: Bench):
    smalls = [await bench.small(name, b"before") for name in "abcde"]
    (bench.here / "a").write_bytes(b"before!")
    (bench.here / "b").unlink()
    (bench.here / "c").unlink()
    os.mkfifo(bench.here / "c")
    (bench.here / "other").write_bytes(b"before")
    (bench.here / "other").replace(bench.here / "d")
    batch = Batch(deque(smalls))
    await bench.carry(batch)
    arrived, remaining = batch.end()
    assert [c.small.item.info.key for c in arrived] == ["e"]
    assert [small.item.info.key for small in remaining] == ["a", "b", "c", "d"]
    assert names_in(bench.there) == ["e"]


async def test_what_cannot_be_written_is_left_and_what_was_there_stays(bench: Bench):
    smalls = [await bench.small(name, b"new") for name in ("a", "b", "c", "d", "e")]
    (bench.there / "b").mkdir()
    (bench.there / "c").write_bytes(b"old")
    batch = Batch(deque(smalls))
    await bench.carry(batch)
    assert [small.item.info.key for small in batch.end()[1]] == ["b"]
    assert names_in(bench.there) == ["a", "c", "d", "e"]
    assert (bench.there / "c").read_bytes() == b"new"


async def test_nothing_has_its_name_before_the_batch_is_synced(bench: Bench):
    small = await bench.small("a", b"bytes")
    reader = await bench.source.batches.reader()
    writer = await bench.target.batches.writer(Intent(None))
    assert reader is not None
    assert writer is not None

    def carry() -> None:
        room = memoryview(bytearray(100))
        data, said = go_through(reader.read(small.item.info, room, Tally()))
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

    def syncfs(fd: int) -> int:
        assert not [name for name in names_in(bench.there) if not name.startswith(".transfer")]
        steps.append("all")
        return 0 if answer == 0 else -1

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(local_batches, "_syncfs", lambda: None if answer is None else syncfs)
    batch = Batch(deque([await bench.small(f"f{n}", b"x") for n in range(6)]))
    await bench.carry(batch)
    if answer == -1:
        assert steps == ["all", "folder"]
        arrived, remaining = batch.end()
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

    def noted(path: str, *args: int) -> int:
        fd = opening(path, *args)
        if str(path).startswith(str(bench.there)):
            opened.append((fd, str(path)))
        return fd

    monkeypatch.setattr(os, "open", noted)
    monkeypatch.setattr(local_batches, "_syncfs", lambda: lambda fd: synced.append(fd) or 0)
    batch = Batch(deque([await bench.small(f"f{n}", b"x") for n in range(6)]))
    await bench.carry(batch)
    assert len(batch.end()[0]) == 6
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
        batch = Batch(deque([await bench.small(name, b"x") for name in "abcde"]))
        reader = await bench.source.batches.reader()
        assert reader is not None
        await anyio.to_thread.run_sync(go_through, batch.run(reader, Failing(error, 2)))
        arrived, remaining = batch.end()
        assert len(arrived) == carried
        assert len(arrived) + len(remaining) == 5


async def test_what_is_given_up_while_it_is_held_up_is_lost_nowhere_and_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """A thread that a disk or a name server holds up cannot be stopped: others do its work."""
    batch = Batch(deque([await bench.small(name, b"old") for name in "abc"]))
    reader = await bench.source.batches.reader()
    writer = await bench.target.batches.writer(Intent(None))
    assert reader is not None
    assert writer is not None
    writing = writer.write

    def held_up(key, data, checksum, tally):
        if key == "b":
            yield Aside(lambda: None)
        return (yield from writing(key, data, checksum, tally))

    monkeypatch.setattr(writer, "write", held_up)
    steps = batch.run(reader, writer)
    assert isinstance(await anyio.to_thread.run_sync(next, steps), Aside)
    arrived, remaining = batch.end()
    assert arrived == []
    assert sorted(small.item.info.key for small in remaining) == ["a", "b", "c"]
    for name in "abc":
        (bench.there / name).write_bytes(b"new")
    await anyio.to_thread.run_sync(go_through, steps)
    assert names_in(bench.there) == ["a", "b", "c"]
    assert {(bench.there / name).read_bytes() for name in "abc"} == {b"new"}


async def test_a_batch_that_finishes_is_alive_though_the_disk_takes_its_time(bench: Bench):
    batch = Batch(deque([await bench.small("a", b"x")]))
    assert batch.pulse == batch.pulse == 0
    await bench.carry(batch)
    assert batch.pulse < batch.pulse


async def test_a_folder_that_is_gone_fails_only_its_own_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    names = [f"{folder}/{n}" for folder in ("x", "y") for n in range(4)]
    batch = Batch(deque([await bench.small(name, b"x") for name in names]))
    reader = await bench.source.batches.reader()
    writer = await bench.target.batches.writer(Intent(None))
    assert reader is not None
    assert writer is not None
    finishing = writer.finish

    def finish(wanted):
        shutil.rmtree(bench.there / "x")
        return (yield from finishing(wanted))

    monkeypatch.setattr(writer, "finish", finish)
    await anyio.to_thread.run_sync(go_through, batch.run(reader, writer))
    arrived, remaining = batch.end()
    assert [c.small.item.info.key for c in arrived] == names[4:]
    assert [small.item.info.key for small in remaining] == names[:4]
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

    smalls = [await bench.small(name, b"x") for name in "abc"]
    monkeypatch.setattr(os, "close", closing)
    batch = Batch(deque(smalls))
    await bench.carry(batch)
    monkeypatch.undo()
    arrived, remaining = batch.end()
    assert [c.small.item.info.key for c in arrived] == ["b", "c"]
    assert [small.item.info.key for small in remaining] == ["a"]
    assert names_in(bench.there) == ["b", "c"]


class Quick:
    """Only has to be there."""


async def test_files_wait_for_a_batch_only_if_they_are_plain_and_many(bench: Bench):
    attempts = Attempts(lambda _: RetryPolicy())
    small = await bench.small("a", b"x")
    quick: Any = Quick()
    assert not Batches(Options(), None, WORKERS, memory=GIB).takes(small)
    assert not Batches(Options(no_clobber=True), quick, WORKERS, memory=GIB).takes(small)
    batches = Batches(Options(), quick, WORKERS, memory=GIB)
    large = Small(small.item, small.source, small.target, Plan(SMALL + 1))
    parts = Small(small.item, small.source, small.target, Plan(100, 10))
    assert not batches.takes(large)
    assert not batches.takes(parts)
    for _ in range(FEW - 1):
        assert batches.takes(small)
    assert not batches.pays(attempts)
    assert batches.give_up_one() is small
    for _ in range(BACKLOG):
        batches.takes(small)
    assert batches.pays(attempts)
    assert batches.full
    assert len(batches.next().waiting) == MOST
    health = attempts.health(Lane(small.target.url, data=True))
    health.dead = ConnectionLostError("gone")
    assert not batches.pays(attempts)


async def test_what_is_carried_together_is_bounded_in_bytes(bench: Bench):
    attempts = Attempts(lambda _: RetryPolicy())
    small = await bench.small("a", b"x")
    large = Small(small.item, small.source, small.target, Plan(SMALL))
    quick: Any = Quick()
    batches = Batches(Options(), quick, 1, memory=2 * SMALL + 10)
    for _ in range(100):
        batches.takes(large)
    first = batches.next()
    assert (len(first.waiting), first.room) == (MOST_BYTES // SMALL, SMALL + 1)
    assert batches.pays(attempts)
    second = batches.next()
    # There is no memory for a third: whoever is free takes a file the long way.
    assert not batches.pays(attempts)
    batches.done(second, attempts, arrived=True)
    assert batches.pays(attempts)


async def test_one_batch_goes_whatever_the_memory_and_no_other_meanwhile(bench: Bench):
    attempts = Attempts(lambda _: RetryPolicy())
    small = await bench.small("a", b"x")
    large = Small(small.item, small.source, small.target, Plan(1000))
    quick: Any = Quick()
    batches = Batches(Options(), quick, 1, memory=100)
    for one in (large, *[small] * 11):
        assert batches.takes(one)
    first = batches.next()
    assert (len(first.waiting), first.room) == (6, 1001)
    assert not batches.pays(attempts)
    batches.done(first, attempts, arrived=True)
    assert batches.pays(attempts)


async def test_a_batch_is_alive_while_bytes_move(bench: Bench):
    """A file of some megabytes takes longer on a slow line than a sign of life may."""
    batch = Batch(deque([await bench.small("a", b"x" * 1000)]))
    writer: Any = await bench.target.batches.writer(Intent(None))
    pulses: list[float] = []

    class Slow:
        def read(self, info, room, tally):
            for _ in range(10):
                tally.advance(100)
                pulses.append(batch.pulse)
                yield Aside(lambda: None)
            room[:1000] = b"x" * 1000
            return room[: info.size], None

    slow: Any = Slow()
    await anyio.to_thread.run_sync(go_through, batch.run(slow, writer))
    assert pulses == [float(n) for n in range(100, 1100, 100)]
    assert (batch.size, len(batch.end()[0])) == (1000, 1)
