"""`transfer gc URL`: what a process that was killed has left on a server of files."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from tests.support.command import COMMAND, MIB, done, make_file, run
from tests.support.places import make_place
from tests.support.servers import clean_environment

pytestmark = pytest.mark.servers

NAME = f".transfer-{'0123456789abcdef' * 2}.partial"


@pytest.fixture
def place(request):
    return make_place(request.param, request.getfixturevalue)


@pytest.fixture
def how(place, tmp_path):
    return {"state": tmp_path / "state", "environ": place.environ}


def unfinished(place, how):
    """Whether there is something unfinished; HDFS keeps no files that one could look at."""
    if place.folder is not None:
        return bool(place.left())
    ran = run("gc", "--dry-run", "--older-than", "0s", place.url, **how)
    return "would be removed" in ran.said


def killed_in_the_middle(place, folder, how):
    """Push a large file and kill that as soon as the server has something of it."""
    source = folder / "large"
    with source.open("wb") as file:
        file.truncate(1000 * MIB)
    environ = clean_environment({**place.environ, "TRANSFER_STATE_DIR": str(folder / "elsewhere")})
    environ.pop("SSH_AUTH_SOCK", None)
    push = [COMMAND, "push", "-q", str(source), place.at("dir/large")]
    with subprocess.Popen(push, env=environ, stdin=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not unfinished(place, how):
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()


@pytest.mark.parametrize(
    "place",
    [
        *("folder", "webdav-rclone", "ftp-pyftpdlib", "ftp-vsftpd", "sftp-openssh", "sftp-rclone"),
        pytest.param("hdfs", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_what_a_killed_process_has_left_is_found_and_removed(place, how, tmp_path):
    small = make_file(tmp_path / "small", 1000)
    done("push", small, place.at("dir/small"), **how)
    killed_in_the_middle(place, tmp_path, how)
    there = place.at("dir/")
    said = done("gc", there, **how).said
    assert f"{there.rpartition('@')[2]}: " in said
    assert "nothing removed" in said
    assert "younger than 24h" in said
    said = done("gc", "--dry-run", "--older-than", "0s", there, **how).said
    assert "would be removed" in said
    assert unfinished(place, how)
    said = done("gc", "--older-than", "0s", place.url, **how).said
    assert "removed" in said
    assert not unfinished(place, how)
    done("pull", place.at("dir/small"), tmp_path / "back", **how)
    assert (tmp_path / "back").read_bytes() == small.read_bytes()


@pytest.mark.parametrize("place", ["sftp-openssh"], indirect=True)
def test_what_was_removed_is_said_as_json(place, how, tmp_path):
    done("push", make_file(tmp_path / "a", 10), place.at("sub dir/a"), **how)
    folder = place.folder / place.url.rpartition("/")[2] / "sub dir"
    (folder / NAME).write_bytes(b"12345")
    (folder / f"{NAME}.not").write_bytes(b"somebody's")
    ran = done("gc", "--json", "--older-than", "0s", place.url, **how)
    removed, summary = map(json.loads, ran.said.splitlines())
    assert removed["key"].endswith(f"/sub dir/{NAME}")
    assert (removed["bytes"], summary["removed"], summary["failed"]) == (5, 1, 0)
    assert summary["exit_code"] == 0
    assert sorted(path.name for path in folder.iterdir()) == [f"{NAME}.not", "a"]
    (folder / f"{NAME}.not").unlink()  # others look for what is left at the same server


@pytest.mark.parametrize("place", ["s3-rclone", "http-nginx"], indirect=True)
def test_where_nothing_unfinished_has_a_name_that_is_said(place, how):
    ran = run("gc", place.url, **how)
    assert ran.code != 0
    assert "unfinished" in ran.error or "listings" in ran.error
