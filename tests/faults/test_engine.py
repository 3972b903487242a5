"""What goes wrong around the engine ends in one of two ways: all of it, or none and an error."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import pytest

import transfer
from backends.local.store import LocalStore
from backends.memory import MemoryStore
from tests.support.faulty import FaultyStore, failing, hanging
from tests.support.small_files import contents, make_tree
from transfer.engine import Engine, Filter, Options
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    DiskFullError,
    ExistsError,
    IntegrityError,
    LocalError,
    NotFoundError,
    RejectedError,
    SourceChangedError,
    ThrottledError,
    TransferError,
    UnsupportedError,
    UsageError,
)
from transfer.events import DRY_RUN, FileDone, Retrying
from transfer.settings import Settings
from transfer.sizes import MIB

# Small parts, so that a small file has many.
SETTINGS = Settings(
    upload_part_size=64 * 1024, download_part_size=64 * 1024, durability="none", concurrency=4
)


FORGETFUL = Options(resume=False)


@asynccontextmanager
async def engine_with(store, root="memory://bucket"):
    async with Engine(SETTINGS) as engine:
        assert engine._stores is not None
        engine._stores.add(root, store)
        yield engine


@pytest.fixture
def memory():
    return MemoryStore(url="memory://bucket")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(1_000_000))
    return path


def nothing_is_left(memory):
    return not memory.shelf.objects and not memory.shelf.uploads


async def test_a_part_that_fails_for_a_moment_is_sent_again(memory, source):
    store = FaultyStore(memory, failing("send", ConnectionLostError("cut"), 3, 7, 8))
    events = []
    async with engine_with(store) as engine:
        report = await engine.push(source, "memory://bucket/a", on_event=events.append)
    assert memory.shelf.objects["a"][1] == source.read_bytes()
    assert report.retries == 3
    assert len([event for event in events if isinstance(event, Retrying)]) == 3
    # Bytes of attempts that failed do not count.
    assert report.moved == 1_000_000


@pytest.mark.parametrize("operation", ["create", "complete", "stat", "put"])
async def test_calls_that_fail_for_a_moment_are_made_again(memory, tmp_path, operation):
    small = tmp_path / "file"
    small.write_bytes(b"x" * (1000 if operation == "put" else 200_000))
    store = FaultyStore(memory, failing(operation, ThrottledError("slow", retry_after=0.01), 1))
    async with engine_with(store) as engine:
        engine.settings = SETTINGS
        await engine.push(small, "memory://bucket/a", options=Options(skip_existing=True))
    assert memory.shelf.objects["a"][1] == small.read_bytes()


@pytest.mark.parametrize("operation", ["send", "complete"])
async def test_a_failure_for_good_gives_the_upload_up(memory, source, operation):
    store = FaultyStore(memory, failing(operation, RejectedError("no"), 2 - (operation != "send")))
    async with engine_with(store) as engine:
        with pytest.raises(RejectedError):
            await engine.push(source, "memory://bucket/a")
    assert nothing_is_left(memory)
    assert store.calls["abort"] == 1


async def test_one_file_failing_does_not_stop_the_others(memory, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in "abcdefgh":
        (tree / name).write_bytes(os.urandom(200_000))
    (tree / "e").chmod(0)
    (tree / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    async with engine_with(memory) as engine:
        report = await engine.run(f"{tree}/", "memory://bucket/t/")
    failed = {failure.source.rpartition("/")[2] for failure in report.failed}
    readable_by_root = {"e"} if os.geteuid() == 0 else set()
    assert failed == {"broken", "pipe", "e"} - readable_by_root
    assert len(report.done) == 7 + len(readable_by_root)
    assert not memory.shelf.uploads


async def test_a_store_without_multipart_gets_one_put(source):
    memory = MemoryStore(url="memory://bucket", multipart=False)
    async with engine_with(memory) as engine:
        report = await engine.push(source, "memory://bucket/a")
    assert report.parts == 0
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_a_store_that_turns_out_to_have_no_multipart_gets_one_put(memory, source):
    store = FaultyStore(memory, failing("create", UnsupportedError("501")))
    async with engine_with(store) as engine:
        await engine.push(source, "memory://bucket/a")
    assert store.calls["put"] == 1
    assert memory.shelf.objects["a"][1] == source.read_bytes()


async def test_a_failure_of_multipart_is_not_hidden_by_a_put(memory, source):
    store = FaultyStore(memory, failing("create", AccessError("no")))
    async with engine_with(store) as engine:
        with pytest.raises(AccessError):
            await engine.push(source, "memory://bucket/a")
    assert store.calls["put"] == 0
    assert nothing_is_left(memory)


@pytest.mark.parametrize("size", [1_000_000, 1000])
async def test_a_source_written_to_while_it_is_read_is_an_error(memory, tmp_path, size):
    path = tmp_path / "growing"
    path.write_bytes(bytes(size))

    grown = anyio.Event()

    async def grow(operation, count):
        if operation in {"send", "put"} and count == 1:
            await anyio.to_thread.run_sync(append, path)
            grown.set()
        elif operation == "send":
            await grown.wait()

    store = FaultyStore(memory, grow)
    async with engine_with(store) as engine:
        with pytest.raises(SourceChangedError):
            await engine.push(path, "memory://bucket/a")
    assert nothing_is_left(memory)
    # It would be the same again: nobody tried.
    assert store.calls["send"] + store.calls["put"] <= SETTINGS.concurrency


def append(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("operation", ["send", "create", "complete", "put", "open"])
async def test_interrupting_ends_soon_and_leaves_nothing(memory, tmp_path, operation):
    path = tmp_path / "file"
    path.write_bytes(bytes(1000 if operation == "put" else 500_000))
    reached = anyio.Event()
    store = FaultyStore(memory, hanging(operation, reached))
    if operation == "open":
        memory.store("in", bytes(500_000))
    async with engine_with(store) as engine:
        with anyio.fail_after(6):
            async with anyio.create_task_group() as group:
                source, target = path, "memory://bucket/a"
                if operation == "open":
                    source, target = "memory://bucket/in", tmp_path / "out"
                group.start_soon(partial(engine.copy, source, target, options=FORGETFUL))
                await reached.wait()
                group.cancel_scope.cancel()
    memory.shelf.objects.pop("in", None)
    assert nothing_is_left(memory)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file"]


async def test_an_abort_that_fails_is_said(memory, source):
    async def plan(operation, count):
        if operation == "send" and count == 2:
            raise RejectedError("no")
        if operation == "abort":
            raise AccessError("not allowed to abort")

    async with engine_with(FaultyStore(memory, plan)) as engine:
        report = await engine.run(source, "memory://bucket/a")
    assert "may still be open" in str(report.failed[0].error)


async def test_no_clobber_leaves_what_is_there(memory, source):
    memory.store("a", b"old")
    async with engine_with(memory) as engine:
        with pytest.raises(ExistsError):
            await engine.push(source, "memory://bucket/a", options=Options(no_clobber=True))
    assert memory.shelf.objects["a"][1] == b"old"
    assert not memory.shelf.uploads


async def test_skip_existing_looks_at_size_and_time(memory, source):
    async with engine_with(memory) as engine:
        options = Options(skip_existing=True)
        first = await engine.push(source, "memory://bucket/a", options=options)
        second = await engine.push(source, "memory://bucket/a", options=options)
        os.utime(source, (2_000_000_000, 2_000_000_000))
        third = await engine.push(source, "memory://bucket/a", options=options)
    assert (len(first.done), len(second.skipped), len(third.done)) == (1, 1, 1)


# --- pulls


async def test_a_pull_that_fails_leaves_the_old_file(memory, tmp_path):
    memory.store("a", os.urandom(1_000_000))
    target = tmp_path / "a"
    target.write_bytes(b"old")
    store = FaultyStore(memory, failing("read", RejectedError("no"), 3))
    async with engine_with(store) as engine:
        with pytest.raises(RejectedError):
            await engine.pull("memory://bucket/a", target)
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]


async def test_a_pull_compares_the_content(memory, tmp_path):
    info = memory.store("a", os.urandom(1_000_000))
    damaged = bytearray(memory.shelf.objects["a"][1])
    damaged[777_777] ^= 1
    memory.shelf.objects["a"] = info, bytes(damaged)
    async with engine_with(memory) as engine:
        with pytest.raises(IntegrityError):
            await engine.pull("memory://bucket/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_a_pull_of_small_damaged_content_is_not_visible_either(memory, tmp_path):
    info = memory.store("a", b"good")
    memory.shelf.objects["a"] = info, b"evil"
    async with engine_with(memory) as engine:
        with pytest.raises(IntegrityError):
            await engine.pull("memory://bucket/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_names_that_would_leave_the_folder_are_refused(memory, tmp_path):
    for key in ("t/../../evil", "t/..\\..\\evil", "t//etc/evil", "t/nul\0", "t/good"):
        memory.store(key, b"x")
    target = tmp_path / "inner" / "out"
    async with engine_with(memory) as engine:
        report = await engine.run("memory://bucket/t/", target)
    assert [done.target.rpartition("/")[2] for done in report.done] == ["good"]
    assert {failure.error.code for failure in report.failed} == {"bad_key"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["good", "inner", "out"]


async def test_an_object_replaced_between_listing_and_reading_is_noticed(memory, tmp_path):
    memory.store("a", bytes(100_000))

    async def replace(operation, count):
        if operation == "open":
            memory.store("a", bytes(100_001))

    async with engine_with(FaultyStore(memory, replace)) as engine:
        with pytest.raises(SourceChangedError):
            await engine.pull("memory://bucket/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_is_said_before_anything_is_written(memory, small_disk):
    memory.store("a", bytes(3 * MIB))
    async with engine_with(memory) as engine:
        with pytest.raises(DiskFullError, match="free"):
            await engine.pull("memory://bucket/a", small_disk / "a")
    assert list(small_disk.iterdir()) == []


async def test_a_disk_that_fills_up_on_the_way_leaves_nothing(memory, small_disk):
    memory.store("a", bytes(MIB - 100_000))

    async def fill(operation, count):
        if operation == "read" and count == 1:
            other = small_disk / "other"
            await anyio.to_thread.run_sync(other.write_bytes, bytes(300_000))

    async with engine_with(FaultyStore(memory, fill)) as engine:
        with pytest.raises(DiskFullError):
            await engine.pull("memory://bucket/a", small_disk / "a")
    assert [entry.name for entry in small_disk.iterdir()] == ["other"]


async def test_write_errors_of_the_disk_are_errors_of_ours(memory, tmp_path, monkeypatch):
    memory.store("a", bytes(100_000))

    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    async with Engine() as engine:
        assert engine._stores is not None
        engine._stores.add("memory://bucket", memory)
        with pytest.raises(TransferError, match="Input/output error"):
            await engine.pull("memory://bucket/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_missing_sources_are_not_found(memory, tmp_path):
    async with engine_with(memory) as engine:
        with pytest.raises(NotFoundError):
            await engine.push(tmp_path / "nothing", "memory://bucket/a")
        with pytest.raises(NotFoundError):
            await engine.pull("memory://bucket/nothing", tmp_path / "a")
        with pytest.raises(NotFoundError):
            await engine.pull("memory://bucket/nowhere/", tmp_path / "a")


async def test_links_in_a_tree_are_followed_and_cycles_are_errors(memory, tmp_path):
    tree = tmp_path / "tree"
    (tree / "real").mkdir(parents=True)
    (tree / "real" / "file").write_bytes(b"1")
    (tree / "link").symlink_to("real")
    async with engine_with(memory) as engine:
        await engine.push(tree, "memory://bucket/t/")
        assert sorted(memory.shelf.objects) == ["t/tree/link/file", "t/tree/real/file"]
        (tree / "real" / "round").symlink_to("..")
        report = await engine.run(tree, "memory://bucket/t/")
    assert any("no end" in str(failure.error) for failure in report.failed)


async def test_copying_a_folder_onto_a_store_and_back_is_the_same_tree(memory, tmp_path):
    tree = tmp_path / "tree"
    wanted = {}
    for number, name in enumerate(["a", "b/c", "b/d e", "ünï/ço∂é", "b/.hidden", "x/y/z"]):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted[name] = os.urandom(number * 50_000)
        path.write_bytes(wanted[name])
    async with engine_with(memory) as engine:
        await engine.push(tree, "memory://bucket/t")
        await engine.pull("memory://bucket/t/tree", tmp_path / "back")
    back = tmp_path / "back" / "tree"
    found = {str(p.relative_to(back)): p.read_bytes() for p in back.rglob("*") if p.is_file()}
    assert found == wanted


async def test_local_stores_do_not_show_unfinished_files(tmp_path, source):
    store = LocalStore(tmp_path / "store")
    reached = anyio.Event()
    faulty = FaultyStore(store, hanging("complete", reached))
    async with engine_with(faulty) as engine, anyio.create_task_group() as group:
        group.start_soon(partial(engine.push, source, "memory://bucket/a", options=FORGETFUL))
        await reached.wait()
        assert (await store.scan("")).objects == ()
        group.cancel_scope.cancel()
    assert list((tmp_path / "store").iterdir()) == []


async def test_what_a_callback_raises_comes_out_as_it_is(memory, source):
    def stop(event):
        if isinstance(event, FileDone):
            raise ZeroDivisionError from KeyError("why")

    async with engine_with(memory) as engine:
        with pytest.raises(ZeroDivisionError) as raised:
            await engine.push(source, "memory://bucket/a", on_event=stop)
    assert isinstance(raised.value.__cause__, KeyError)


async def test_nor_does_it_matter_how_many_are_listed_ahead(memory, tmp_path, monkeypatch):
    monkeypatch.setattr("transfer.engine.run.LOOKAHEAD", 2)

    def stop(event):
        raise ZeroDivisionError

    tree = make_tree(tmp_path / "tree", 200, 3)
    async with engine_with(memory) as engine:
        options = Options(dry_run=True)
        with pytest.raises(ZeroDivisionError):
            await engine.push(f"{tree}/", "memory://bucket/a/", options=options, on_event=stop)


async def test_a_dry_run_looks_at_what_is_there_where_that_decides(tmp_path):
    tree, there = make_tree(tmp_path / "tree", 6, 3), tmp_path / "there"
    names = sorted(contents(tree))
    async with Engine(SETTINGS) as engine:
        await engine.run(f"{tree}/", f"{there}/")
        for name in names[:2]:
            (there / name).unlink()
        left = contents(there)
        skipping = Options(skip_existing=True, dry_run=True)
        report = await engine.run(f"{tree}/", f"{there}/", options=skipping)
        would = sorted(skip.target for skip in report.skipped if skip.reason == DRY_RUN)
        assert would == [str(there / name) for name in names[:2]]
        assert (len(report.skipped), report.failed) == (6, [])
        refusing = Options(no_clobber=True, dry_run=True)
        report = await engine.run(f"{tree}/", f"{there}/", options=refusing)
        assert [type(failure.error) for failure in report.failed] == [ExistsError] * 4
        assert len(report.skipped) == 2
    assert contents(there) == left


async def test_metadata_is_refused_where_it_would_be_lost(source, tmp_path):
    async with Engine(SETTINGS) as engine:
        with pytest.raises(UsageError, match="can have no metadata"):
            await engine.push(source, str(tmp_path / "to"), options=Options(metadata={"a": "b"}))
    assert not (tmp_path / "to").exists()


def test_without_a_loop_of_ones_own(source, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    assert transfer.copy(source, there, settings=SETTINGS).parts > 1
    transfer.pull(there.as_uri(), back, settings=SETTINGS)
    assert back.read_bytes() == source.read_bytes()
    with pytest.raises(NotFoundError):
        transfer.push(tmp_path / "nothing", str(there), settings=SETTINGS)


async def test_what_a_process_has_open_is_not_replaced(tmp_path):
    """So is /dev/stdout a link, even where it leads to a file."""
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "output").write_bytes(b"old")
    with (tmp_path / "output").open("rb") as output:
        (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{output.fileno()}")
        async with Engine(SETTINGS) as engine:
            with pytest.raises(LocalError, match="has open"):
                await engine.push(tmp_path / "a", tmp_path / "stdout")
    assert (tmp_path / "stdout").is_symlink()
    assert (tmp_path / "output").read_bytes() == b"old"


async def test_a_copy_of_a_file_with_holes_takes_no_more_room(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(20 * MIB)
        file.seek(9 * MIB)
        file.write(b"x")
    async with Engine(SETTINGS) as engine:
        await engine.push(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_blocks * 512 < 2 * MIB


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: socket.socket(socket.AF_UNIX).bind(path)])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
async def test_what_is_no_regular_file_is_not_replaced(tmp_path, make):
    tree, there = make_tree(tmp_path / "tree", 20, 3), tmp_path / "there"
    await anyio.to_thread.run_sync(there.mkdir)
    names = sorted(contents(tree))
    special = there / names[3]
    special.parent.mkdir(exist_ok=True)
    make(str(special))
    kind = special.lstat().st_mode
    async with Engine(SETTINGS) as engine:
        report = await engine.run(f"{tree}/", f"{there}/")
    assert [failure.target for failure in report.failed] == [str(special)]
    assert "is not a regular file: it is not replaced" in str(report.failed[0].error)
    assert len(report.done) == 19
    assert special.lstat().st_mode == kind


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("to", ["elsewhere/real", "elsewhere/nothing", "link"])
async def test_a_link_is_replaced_and_what_it_leads_to_is_left_alone(tmp_path, count, to):
    tree, there = make_tree(tmp_path / "tree", count, 1), tmp_path / "there"
    real = tmp_path / "elsewhere/real"
    real.parent.mkdir()
    real.write_bytes(b"old")
    name = min(contents(tree))
    link = there / name
    link.parent.mkdir(parents=True)
    link.symlink_to(link if to == "link" else tmp_path / to)
    async with Engine(SETTINGS) as engine:
        report = await engine.push(f"{tree}/", f"{there}/")
    assert len(report.done) == count
    assert not link.is_symlink()
    assert contents(there) == contents(tree)
    assert contents(tmp_path / "elsewhere") == {"real": b"old"}


async def test_a_link_to_what_is_no_file_is_not_replaced(source, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    async with Engine(SETTINGS) as engine:
        with pytest.raises(LocalError, match="it is not replaced"):
            await engine.push(source, str(link))
    assert link.is_symlink()


async def test_a_link_without_an_end_costs_only_itself(tmp_path):
    tree = make_tree(tmp_path / "tree", 20, 3)
    (tree / "loop").symlink_to(".")
    async with Engine(SETTINGS) as engine:
        report = await engine.run(f"{tree}/", f"{tmp_path}/there/")
        assert ["it has no end" in str(failure.error) for failure in report.failed] == [True]
        assert len(report.done) == 20
        options = Options(chosen=Filter(exclude=("loop",)))
        report = await engine.push(f"{tree}/", f"{tmp_path}/other/", options=options)
    assert len(report.done) == 20


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("f", ".", "is both source and target"),
        ("d/f", "d/", "is both source and target"),
        ("d/f", "link/f", "is both source and target"),
        ("d/f", "link/", "is both source and target"),
        ("d", ".", "is both source and target"),
        ("d/", "link/", "is both source and target"),
        ("d/", "d/e/", "has the target in it, as e"),
        ("d/", "link/e/f", "has the target in it, as e/f"),
    ],
)
@pytest.mark.parametrize("chosen", [Filter(), Filter(include=("f",)), Filter(exclude=("x",))])
async def test_nothing_is_moved_onto_or_into_itself(tmp_path, source, target, said, chosen):
    (tmp_path / "d").mkdir()
    for name in ("f", "d/f"):
        (tmp_path / name).write_bytes(b"here")
    (tmp_path / "link").symlink_to("d")
    before = (tmp_path / "f").stat(), (tmp_path / "d/f").stat()
    async with Engine(SETTINGS) as engine:
        options = Options(chosen=chosen)
        with pytest.raises(UsageError, match=said):
            await engine.push(f"{tmp_path}/{source}", f"{tmp_path}/{target}", options=options)
    assert ((tmp_path / "f").stat(), (tmp_path / "d/f").stat()) == before
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["f"]


async def test_what_is_not_there_is_no_overlap(tmp_path):
    async with Engine(SETTINGS) as engine:
        with pytest.raises(NotFoundError):
            await engine.push(str(tmp_path / "nothing"), str(tmp_path))


async def test_a_target_in_the_source_that_is_left_out_of_it_is_none(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"here")
    options = Options(chosen=Filter(exclude=("backup",)))
    async with Engine(SETTINGS) as engine:
        for _ in range(2):
            report = await engine.push(f"{tmp_path}/d/", f"{tmp_path}/d/backup/", options=options)
            assert len(report.done) == 1


async def test_within_a_store_too_nothing_is_moved_onto_itself(memory, source):
    async with engine_with(memory) as engine:
        await engine.push(source, "memory://bucket/d/f")
        for target in ("memory://bucket/d/", "memory://bucket/d/f"):
            with pytest.raises(UsageError, match="both source and target"):
                await engine.copy("memory://bucket/d/f", target)
        with pytest.raises(UsageError, match="has the target in it"):
            await engine.copy("memory://bucket/d/", "memory://bucket/d/e/")


async def test_parts_of_single_bytes_are_made_larger(tmp_path, source):
    settings = replace(SETTINGS, upload_part_size=1, download_part_size=1)
    async with Engine(settings) as engine:
        report = await engine.push(source, str(tmp_path / "there"))
    assert 1 <= report.parts <= 100_000
    assert (tmp_path / "there").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("count", [1, 20])
async def test_what_replaces_a_file_is_read_by_those_who_might_read_that(tmp_path, count):
    tree, there = make_tree(tmp_path / "tree", count, 1), tmp_path / "there"
    async with Engine(SETTINGS) as engine:
        await engine.push(f"{tree}/", f"{there}/")
        for path in files_in(there):
            path.chmod(0o440)
        await engine.push(f"{tree}/", f"{there}/")
    assert {path.stat().st_mode & 0o777 for path in files_in(there)} == {0o440}


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]
