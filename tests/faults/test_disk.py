"""Disks that fill up, fail to sync, or will not rename: the old file stays, an error ends it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from backends import linux
from tests.faults.harness import BUCKET, StrictStore
from tests.faults.harness.by_hand import presigned, send
from tests.faults.harness.kill import COMMAND, running, transfer
from tests.faults.harness.strace import Inject, needs_strace, traced
from tests.support.servers import clean_environment
from transfer.cli import exit_codes
from transfer.engine import Engine
from transfer.settings import Settings

MIB = 1024**2
CONTENT = bytes(range(256)) * 12_000


@pytest.fixture
def environ(tmp_path):
    return clean_environment({"TRANSFER_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
async def store():
    async with StrictStore() as store:
        assert (await send(store, presigned(store, "PUT", "a", body=CONTENT))).status == 200
        yield store


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    (folder / "a").write_bytes(b"old")
    return folder / "a"


def pull(target, *options):
    return ["pull", *options, f"s3://{BUCKET}/a", str(target)]


async def traced_pull(store, environ, tmp_path, target, *injected, path=None):
    line = traced([COMMAND, *pull(target)], *injected, log=tmp_path / "strace", path=path)
    async with running(line, environ | store.environ, tmp_path) as run:
        return await run.ended(), run.text


def reserves(folder):
    kind = subprocess.run(
        ["stat", "--file-system", "--format=%T", folder], capture_output=True, text=True, check=True
    )
    return kind.stdout.strip() in {"ext2/ext3", "overlayfs", "xfs"}


def nothing_has_changed(target):
    return target.read_bytes() == b"old" and [e.name for e in target.parent.iterdir()] == ["a"]


async def test_bytes_are_on_the_disk_before_they_have_a_name(
    store, environ, tmp_path, target, monkeypatch
):
    """In this order: the file, its name, the folder that the name is in."""
    calls = []

    def noted(name, real):
        def call(*arguments, **more):
            what = arguments[0]
            place = (
                str(Path(f"/proc/self/fd/{what}").readlink())
                if isinstance(what, int)
                else str(what)
            )
            calls.append((name, place))
            return real(*arguments, **more)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    for name, value in store.environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        s3_endpoint_url=store.url,
        aws_region="us-east-1",
        durability="file",
        state_dir=str(tmp_path / "state"),
    )
    async with Engine(settings) as engine:
        await engine.pull(f"s3://{BUCKET}/a", target)
    here = [(n, p) for n, p in calls if p.startswith(str(target.parent))]
    partial = re.compile(r".*/\.transfer-[0-9a-f]{32}\.partial")
    assert [name for name, _ in here] == ["fsync", "replace", "fsync"]
    assert partial.fullmatch(here[0][1])
    assert partial.fullmatch(here[1][1])
    assert here[2][1] == str(target.parent)
    assert target.read_bytes() == CONTENT


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EDQUOT"])
async def test_what_cannot_be_synced_is_no_success(store, environ, tmp_path, target, error):
    inject = Inject("fsync", error=error)
    code, said = await traced_pull(store, environ, tmp_path, target, inject)
    assert code not in {0, exit_codes.TEMPORARY}
    assert nothing_has_changed(target), said
    assert "Traceback" not in said


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "EXDEV", "EACCES", "EROFS"])
async def test_what_cannot_be_renamed_is_no_success(store, environ, tmp_path, target, error):
    inject = Inject("rename", error=error)
    code, said = await traced_pull(store, environ, tmp_path, target, inject)
    assert code != 0
    assert nothing_has_changed(target), said
    assert "Traceback" not in said


@needs_strace
async def test_a_write_that_fails_is_no_success(store, environ, tmp_path, target):
    inject = Inject("pwrite", error="ENOSPC", when="2+")
    code, said = await traced_pull(store, environ, tmp_path, target, inject)
    assert code != 0
    assert nothing_has_changed(target), said
    assert "No space left" in said


async def test_a_file_has_its_room_before_its_bytes(tmp_path):
    path = tmp_path / "a"
    with path.open("wb") as file:
        linux.reserve(file.fileno(), 3 * MIB + 1)
    found = path.stat()
    assert found.st_size == 3 * MIB + 1
    assert (found.st_blocks * 512 >= found.st_size) is reserves(tmp_path)
    assert not path.read_bytes().strip(b"\0")


@needs_strace
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT"])
async def test_room_that_cannot_be_had_is_told_before_anything_is_moved(
    store, environ, tmp_path, target, error
):
    if not reserves(target.parent):
        pytest.skip("on this file system, room is not reserved")
    inject = Inject("fallocate", error=error)
    code, said = await traced_pull(store, environ, tmp_path, target, inject)
    assert code not in {0, exit_codes.TEMPORARY}
    assert nothing_has_changed(target), said
    assert store.count("GetObject") == 0


@needs_strace
@pytest.mark.parametrize("error", ["EOPNOTSUPP", "EINTR", "ENOSYS"])
async def test_a_disk_on_which_no_room_can_be_reserved_will_do(
    store, environ, tmp_path, target, error
):
    inject = Inject("fallocate", error=error)
    code, said = await traced_pull(store, environ, tmp_path, target, inject)
    assert code == 0, said
    assert target.read_bytes() == CONTENT


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_disk_that_is_too_small_is_said_at_once(store, environ, tmp_path, small_disk):
    line = pull(small_disk / "a")
    async with transfer(*line, environ=environ | store.environ, folder=tmp_path) as run:
        assert await run.ended() != 0
    assert "free" in run.text
    assert list(small_disk.iterdir()) == []
    assert store.count("GetObject") == 0


async def test_a_journal_on_a_full_disk_stops_no_transfer(store, environ, tmp_path, small_disk):
    """What cannot be written down is a hint less."""
    (small_disk / "filler").write_bytes(bytes(2 * MIB - 4096 * 2))
    (small_disk / "more").write_bytes(bytes(4096))
    source = tmp_path / "source"
    source.write_bytes(os.urandom(11 * MIB))
    state = {"TRANSFER_STATE_DIR": str(small_disk / "state")}
    line = ["push", "--part-size", "5MiB", str(source), f"s3://{BUCKET}/b"]
    async with transfer(*line, environ=environ | store.environ | state, folder=tmp_path) as run:
        assert await run.ended() == 0, run.text
    assert store.objects["b"].data == source.read_bytes()
    assert store.open_uploads == []
