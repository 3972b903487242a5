"""An interrupted transfer is gone on with: what can be trusted is not sent again."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from backends.memory import MemoryStore
from tests.support.faulty import FaultyStore, failing
from transfer import files
from transfer.engine import Engine, Options
from transfer.errors import (
    BusyError,
    ConnectionLostError,
    DiskFullError,
    LocalError,
    RejectedError,
    TakenOverError,
    UploadGoneError,
)
from transfer.events import Notice, Resumed
from transfer.journal import Journal
from transfer.settings import Settings

PART = 64 * 1024
SIZE = 16 * PART - 1000


@pytest.fixture
def settings(tmp_path_factory):
    return Settings(
        upload_part_size=PART,
        download_part_size=PART,
        durability="none",
        concurrency=4,
        attempts=1,
        outage_patience=0.05,
        state_dir=str(tmp_path_factory.mktemp("journal")),
    )


@pytest.fixture
def memory():
    return MemoryStore(url="memory://bucket")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@asynccontextmanager
async def engine_with(store, settings):
    async with Engine(settings) as engine:
        assert engine._stores is not None
        engine._stores.add("memory://bucket", store)
        yield engine


def records(settings):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(
            lambda: [r for r, _ in Journal.from_settings(settings).records()]
        ).result()


def breaking_off(operation, after, settings):
    """Fail for a reason that may pass, from some number of calls on, when those have arrived."""

    async def plan(asked, count):
        if asked == operation and count > after:
            with anyio.fail_after(20):
                while await anyio.to_thread.run_sync(noted, settings) < after:  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            raise ConnectionLostError("gone")

    return plan


def noted(settings):
    return sum(len(r.receipts) for r, _ in Journal.from_settings(settings).records())


async def push_until_it_breaks(memory, settings, source, after=6):
    store = FaultyStore(memory, breaking_off("send", after, settings))
    async with engine_with(store, settings) as engine:
        report = await engine.run(source, "memory://bucket/a")
    assert "goes on from there" in str(report.failed[0].error)
    return store


async def test_a_push_that_broke_off_sends_only_what_is_missing(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    assert memory.shelf.objects == {}
    kept = len(next(iter(memory.shelf.uploads.values())))
    assert kept == len(records(settings)[0].receipts) == 6

    store = FaultyStore(memory, failing("nothing", ValueError()))
    events = []
    async with engine_with(store, settings) as engine:
        report = await engine.push(source, "memory://bucket/a", on_event=events.append)
    assert store.calls["send"] == 16 - 6
    assert store.calls["create"] == 0
    assert [event.parts for event in events if isinstance(event, Resumed)] == [6]
    assert memory.shelf.objects["a"][1] == source.read_bytes()
    assert report.done[0].parts == 16
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_a_source_that_cannot_be_read_is_no_reason_to_give_up_what_has_arrived(
    memory, settings, source, monkeypatch
):
    await push_until_it_breaks(memory, settings, source)

    def unreadable(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(files, "_hash", unreadable)
        async with engine_with(memory, settings) as engine:
            with pytest.raises(LocalError, match="cannot read the source: Input/output error"):
                await engine.push(source, "memory://bucket/a")
    assert len(memory.shelf.uploads) == len(records(settings)) == 1
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert store.calls["send"] == 16 - 6
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_an_interrupted_push_is_kept_too(memory, settings, source):
    reached = anyio.Event()

    async def plan(operation, count):
        if operation == "send" and count > 5:
            reached.set()
            await anyio.sleep_forever()

    async with (
        engine_with(FaultyStore(memory, plan), settings) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(engine.push, source, "memory://bucket/a")
        await reached.wait()
        group.cancel_scope.cancel()
    assert len(memory.shelf.uploads) == 1
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_the_part_size_of_the_first_run_stays(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    other = Settings(
        upload_part_size=100_000, concurrency=4, state_dir=settings.state_dir, durability="none"
    )
    async with engine_with(memory, other) as engine:
        report = await engine.push(source, "memory://bucket/a")
    assert report.parts == 16
    assert memory.shelf.objects["a"][1] == source.read_bytes()


@pytest.mark.parametrize("same_size", [True, False])
async def test_a_changed_source_starts_anew(memory, settings, source, same_size):
    await push_until_it_breaks(memory, settings, source)
    (old,) = memory.shelf.uploads
    data = bytearray(source.read_bytes())
    data[10] ^= 1
    source.write_bytes(bytes(data) if same_size else bytes(data) + b"more")
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert (store.calls["create"], store.calls["abort"]) == (1, 1)
    assert old not in memory.shelf.uploads
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_a_touched_but_equal_source_goes_on(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    content = source.read_bytes()
    source.unlink()
    source.write_bytes(content)
    os.utime(source, (1, 1))
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert store.calls["send"] == 10


async def test_parts_that_the_store_lost_are_sent_again(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    (parts,) = memory.shelf.uploads.values()
    lost = sorted(parts)[:2]
    for number in lost:
        del parts[number]
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert store.calls["send"] == 10 + len(lost)
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_an_upload_that_has_expired_starts_anew(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    memory.shelf.uploads.clear()
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_without_resume_nothing_is_kept_and_the_former_is_given_up(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    store = FaultyStore(memory, breaking_off("send", 3, settings))
    async with engine_with(store, settings) as engine:
        await engine.run(source, "memory://bucket/a", options=Options(resume=False))
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_a_permanent_failure_is_not_kept(memory, settings, source):
    store = FaultyStore(memory, failing("send", RejectedError("no"), 7))
    async with engine_with(store, settings) as engine:
        await engine.run(source, "memory://bucket/a")
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_an_abort_that_fails_is_still_owed(memory, settings, source):
    async def plan(operation, count):
        if operation == "send" and count == 3:
            raise RejectedError("no")
        if operation == "abort":
            raise RejectedError("not now")

    async with engine_with(FaultyStore(memory, plan), settings) as engine:
        await engine.run(source, "memory://bucket/a")
    (record,) = records(settings)
    assert record.pending_abort
    assert len(memory.shelf.uploads) == 1
    # The next run owes it, too, and pays.
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.uploads == {}
    assert memory.shelf.objects["a"][1] == source.read_bytes()


@pytest.mark.parametrize("call", ["replace", "unlink"])
async def test_a_record_that_cannot_be_changed_is_told_of_and_no_failure(
    memory, settings, source, monkeypatch, call
):
    def fail(*_, **__):
        raise OSError(errno.EIO, "broken")

    async def plan(operation, count):
        if operation == "send" and count == 3:
            monkeypatch.setattr(Path, call, fail)
            raise RejectedError("no")
        if operation == "abort" and call == "replace":
            raise RejectedError("not now")

    notices = []
    async with engine_with(FaultyStore(memory, plan), settings) as engine:
        report = await engine.run(source, "memory://bucket/a", on_event=notices.append)
    assert isinstance(report.failed[0].error, RejectedError)
    assert ("may still be open" in str(report.failed[0].error)) is (call == "replace")
    assert [n for n in notices if isinstance(n, Notice)]
    monkeypatch.undo()
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_two_at_once_and_taking_over(memory, settings, source):
    reached, leave = anyio.Event(), anyio.Event()

    async def plan(operation, count):
        if operation == "send" and count == 6:
            reached.set()
            await leave.wait()

    first = {}

    async def run_first(engine):
        first["report"] = await engine.run(source, "memory://bucket/a")

    async with (
        engine_with(FaultyStore(memory, plan), settings) as one,
        engine_with(memory, settings) as two,
        anyio.create_task_group() as group,
    ):
        group.start_soon(run_first, one)
        await reached.wait()
        with pytest.raises(BusyError, match="process"):
            await two.push(source, "memory://bucket/a")
        await two.push(source, "memory://bucket/a", options=Options(take_over=True))
        leave.set()
    # The one that lost it neither completes nor aborts anything.
    error = first["report"].failed[0].error
    assert isinstance(error, TakenOverError | UploadGoneError)
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_where_nothing_can_be_written_down_transfers_work_all_the_same(
    memory, source, tmp_path
):
    (tmp_path / "file").write_bytes(b"in the way")
    settings = Settings(upload_part_size=PART, state_dir=str(tmp_path / "file"))
    events = []
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a", on_event=events.append)
    assert memory.shelf.objects["a"][1] == source.read_bytes()
    assert [event for event in events if isinstance(event, Notice)]


# --- pulls


async def pull_until_it_breaks(memory, settings, target, after=6):
    store = FaultyStore(memory, breaking_off("read", after, settings))
    async with engine_with(store, settings) as engine:
        report = await engine.run("memory://bucket/in", target)
    assert "goes on from there" in str(report.failed[0].error)
    (unfinished,) = (p for p in os.scandir(target.parent) if p.name.endswith(".partial"))
    return Path(unfinished.path)


@pytest.fixture
def content(memory):
    data = os.urandom(SIZE)
    memory.store("in", data)
    return data


async def test_a_pull_that_broke_off_goes_on(memory, settings, content, tmp_path):
    await pull_until_it_breaks(memory, settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        report = await engine.pull("memory://bucket/in", tmp_path / "out")
    assert store.calls["read"] == 10
    assert (tmp_path / "out").read_bytes() == content
    assert report.done[0].verified == "content"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_what_was_damaged_on_disk_in_between_is_read_again(
    memory, settings, content, tmp_path
):
    unfinished = await pull_until_it_breaks(memory, settings, tmp_path / "out")
    damaged = bytearray(unfinished.read_bytes())
    starts = range(0, SIZE, PART)
    arrived = next(at for at in starts if damaged[at : at + PART] == content[at : at + PART])
    damaged[arrived + 5] ^= 1
    unfinished.write_bytes(damaged)
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.pull("memory://bucket/in", tmp_path / "out")
    assert store.calls["read"] == 11
    assert (tmp_path / "out").read_bytes() == content


async def test_an_object_that_was_replaced_is_pulled_anew(memory, settings, content, tmp_path):
    del content
    await pull_until_it_breaks(memory, settings, tmp_path / "out")
    new = os.urandom(SIZE)
    memory.store("in", new)
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.pull("memory://bucket/in", tmp_path / "out")
    assert store.calls["read"] == 16
    assert (tmp_path / "out").read_bytes() == new
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


async def test_of_an_object_without_a_version_nothing_is_kept(memory, settings, content, tmp_path):
    """A later run could not tell it from another of that length."""
    info = replace(memory.shelf.objects["in"][0], version=None, checksum=None)
    memory.shelf.objects["in"] = info, content
    store = FaultyStore(memory, breaking_off("read", 6, settings))
    async with engine_with(store, settings) as engine:
        report = await engine.run("memory://bucket/in", tmp_path / "out")
    assert "goes on from there" not in str(report.failed[0].error)
    assert await anyio.to_thread.run_sync(os.listdir, tmp_path) == []
    assert records(settings) == []


async def test_an_unfinished_file_that_somebody_removed_is_pulled_anew(
    memory, settings, content, tmp_path
):
    unfinished = await pull_until_it_breaks(memory, settings, tmp_path / "out")
    unfinished.unlink()
    async with engine_with(memory, settings) as engine:
        await engine.pull("memory://bucket/in", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


# --- the record itself


async def test_a_record_that_was_torn_costs_a_part_and_no_more(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    (path,) = (Path(settings.state_dir) / "uploads").glob("*.journal")
    assert path.stat().st_mode & 0o777 == 0o600
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[-2][:-5] + bytes([lines[-2][-5] ^ 1]) + lines[-2][-4:]
    path.write_bytes(b"".join(lines[:-2]) + damaged + lines[-1][:20])
    assert len(records(settings)[0].receipts) == 4
    store = FaultyStore(memory, failing("nothing", ValueError()))
    async with engine_with(store, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    # The memory store knows the checksums of its parts: it lost nothing.
    assert store.calls["send"] == 10
    assert memory.shelf.objects["a"][1] == source.read_bytes()


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"00000000 {}\n", bytes(100)])
async def test_a_record_that_is_none_is_overwritten(memory, settings, source, content):
    await push_until_it_breaks(memory, settings, source)
    (path,) = (Path(settings.state_dir) / "uploads").glob("*.journal")
    path.write_bytes(content)
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_no_url_with_a_query_and_no_credential_is_written_down(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    (path,) = (Path(settings.state_dir) / "uploads").glob("*.journal")
    text = path.read_text()
    for word in ("?", "X-Amz", "Signature", "token", "secret"):
        assert word not in text


# --- what must never be lost sight of


async def test_a_hiccup_while_resuming_is_tried_again(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    store = FaultyStore(memory, failing("sent", ConnectionLostError("cut"), 1))
    patient = replace(settings, attempts=3, outage_patience=5.0)
    async with engine_with(store, patient) as engine:
        await engine.push(source, "memory://bucket/a")
    assert (store.calls["create"], store.calls["send"]) == (0, 10)
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_an_upload_that_could_not_be_gone_on_with_is_not_forgotten(memory, settings, source):
    await push_until_it_breaks(memory, settings, source)
    store = FaultyStore(memory, failing("sent", ConnectionLostError("gone")))
    async with engine_with(store, settings) as engine:
        report = await engine.run(source, "memory://bucket/a")
    assert report.failed
    assert len(memory.shelf.uploads) == 1
    async with engine_with(memory, settings) as engine:
        events = []
        await engine.push(source, "memory://bucket/a", on_event=events.append)
    assert [event.parts for event in events if isinstance(event, Resumed)] == [6]
    assert memory.shelf.uploads == {}


async def test_what_cannot_be_given_up_on_the_way_is_owed_beyond_the_end(memory, settings, source):
    """The transfer itself succeeds; the former upload is paid for until somebody aborts it."""
    await push_until_it_breaks(memory, settings, source)
    (old,) = memory.shelf.uploads
    source.write_bytes(os.urandom(SIZE))
    store = FaultyStore(memory, failing("abort", RejectedError("not now")))
    async with engine_with(store, settings) as engine:
        report = await engine.push(source, "memory://bucket/a")
    assert report.done
    assert list(memory.shelf.uploads) == [old]
    (record,) = records(settings)
    assert record.pending_abort
    assert record.upload.id == old
    async with engine_with(memory, settings) as engine:
        collected = await engine.collect(older_than=3600.0)
    assert [one.upload.id for one in collected.given_up] == [old]
    assert memory.shelf.uploads == {}
    assert records(settings) == []


@pytest.mark.parametrize("ends_well", [True, False])
async def test_what_is_owed_stays_so_if_the_next_upload_cannot_be_written_down(
    memory, settings, source, monkeypatch, ends_well
):
    await push_until_it_breaks(memory, settings, source)
    (old,) = memory.shelf.uploads
    writes = iter([OSError(errno.EIO, "broken")] * 2)
    real = Path.replace

    def replace_later(path, target):
        if error := next(writes, None):
            raise error
        return real(path, target)

    async def plan(operation, count):
        if operation == "abort" or (operation == "send" and count == 3 and not ends_well):
            raise RejectedError("no")

    monkeypatch.setattr(Path, "replace", replace_later)
    async with engine_with(FaultyStore(memory, plan), settings) as engine:
        report = await engine.run(
            source, "memory://bucket/a", options=Options(resume=False), on_event=[].append
        )
    assert bool(report.done) is ends_well
    assert old in memory.shelf.uploads
    assert len(memory.shelf.uploads) == (1 if ends_well else 2)
    (record,) = records(settings)
    assert {record.upload.id, *(one.id for one in record.owed)} == set(memory.shelf.uploads)
    async with engine_with(memory, settings) as engine:
        await engine.collect(older_than=-1.0)
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_two_uploads_may_be_owed_at_once(memory, settings, source):
    for _ in range(2):
        await push_until_it_breaks(memory, settings, source)
        source.write_bytes(os.urandom(SIZE))

        async def plan(operation, count):
            if operation == "abort":
                raise RejectedError("not now")
            if operation == "send" and count == 3:
                raise RejectedError("no")

        async with engine_with(FaultyStore(memory, plan), settings) as engine:
            await engine.run(source, "memory://bucket/a")
    owed = {record.upload.id for record in records(settings)}
    owed |= {upload.id for record in records(settings) for upload in record.owed}
    assert owed == set(memory.shelf.uploads)
    assert len(owed) > 1
    async with engine_with(memory, settings) as engine:
        await engine.push(source, "memory://bucket/a")
    assert memory.shelf.uploads == {}
    assert records(settings) == []


async def test_stopped_while_it_is_opened_an_upload_is_known_all_the_same(memory, settings, source):
    reached, leave = anyio.Event(), anyio.Event()

    async def plan(operation, count):
        if operation == "create":
            reached.set()
            await leave.wait()

    async with (
        engine_with(FaultyStore(memory, plan), settings) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(engine.push, source, "memory://bucket/a")
        await reached.wait()
        group.cancel_scope.cancel()
        leave.set()
    (record,) = records(settings)
    assert set(memory.shelf.uploads) == {record.upload.id}


async def test_where_nothing_can_be_written_down_nothing_is_kept(
    memory, settings, source, monkeypatch
):
    """Nobody could go on with it, and nobody would give it up."""
    reached = anyio.Event()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def plan(operation, count):
        if operation == "send" and count > 2:
            reached.set()
            await anyio.sleep_forever()

    monkeypatch.setattr(os, "fsync", full)
    async with (
        engine_with(FaultyStore(memory, plan), settings) as engine,
        anyio.create_task_group() as group,
    ):
        group.start_soon(engine.push, source, "memory://bucket/a")
        await reached.wait()
        group.cancel_scope.cancel()
    assert memory.shelf.uploads == {}
    folder = Path(settings.state_dir) / "uploads"
    assert list(folder.iterdir()) == []


async def test_a_file_whose_space_cannot_be_had_leaves_nothing(
    memory, settings, content, tmp_path, monkeypatch
):
    del content

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("backends.partial_file.reserve", full)
    async with engine_with(memory, settings) as engine:
        with pytest.raises(DiskFullError):
            await engine.pull("memory://bucket/in", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


async def test_a_source_that_cannot_be_reached_is_one_error_of_ours(settings, tmp_path):
    async with Engine(settings) as engine:
        with pytest.raises(ConnectionLostError):
            await engine.pull("transfer+http://127.0.0.1:1/x", tmp_path / "out")
