"""What is wrong with a place is said in one line, without a secret, and nothing is left of it."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bench.servers import coordinator, free_port, s3_server
from tests.support.azurite import CONTAINER, KEY, WRONG_KEY
from tests.support.command import MIB, digest, done, make_file, run
from tests.support.disks import small_disk
from tests.support.file_servers import (
    openssh,
    pyftpdlib,
    rclone_sftp,
    vsftpd,
)
from tests.support.places import (
    PLACES,
    Place,
    behind_coordinator,
    make_place,
    of_server,
    secrets_in,
)
from tests.support.servers import BUCKET, S3Server, clean_environment
from tests.support.web import nginx_server, webdav_server

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

WRONG = "wr0ng-s3cret"
IMPATIENT = {
    "TRANSFER_ATTEMPTS": "2",
    "TRANSFER_OUTAGE_PATIENCE": "1",
    "TRANSFER_CONNECT_TIMEOUT": "5",
}


@pytest.fixture
def place(request):
    return make_place(request.param, request.getfixturevalue)


@pytest.fixture
def small(tmp_path):
    return make_file(tmp_path / "in.bin", 1000)


@pytest.fixture
def refused(tmp_path):
    """Run the command, which fails with this code; return the one line that says why."""

    def attempt(code, *words, environ=None):
        how = {"state": tmp_path / "state", "environ": {**IMPATIENT, **(environ or {})}}
        ran = run(*words, **how)
        assert ran.code == code, ran.said
        assert run("ps", **how).said == "nothing is unfinished\n"
        # Even with everything that it can say.
        for said in (ran.said, run(*words, "-vv", **how).said):
            assert not secrets_in(said), said
            assert WRONG not in said
        return ran.error

    return attempt


def without_server(place: Place) -> Place:
    """Return the place as if nobody were there any more."""

    def moved(text: str) -> str:
        return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{free_port()}", text)

    environ = {name: moved(value) for name, value in place.environ.items()}
    return Place(moved(place.url), environ, literal=place.literal)


REMOTE = [param for param in PLACES if param.values[0] not in {"folder", "gs-strict"}]


@pytest.mark.parametrize("place", REMOTE, indirect=True)
def test_a_host_that_is_down_is_a_temporary_error(place, refused, small):
    down = without_server(place)
    line = refused(5, "push", small, down.at("a"), environ=down.environ)
    assert re.search(r"connect|refused", line), line


@pytest.mark.parametrize("place", ["s3-rclone", "sftp-rclone"], indirect=True)
def test_a_host_that_is_down_behind_a_coordinator_is_one_too(place, refused, small, tmp_path):
    with behind_coordinator(without_server(place), tmp_path) as coordinated:
        refused(5, "push", small, coordinated.at("a"))


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_what_is_not_there_is_not_found(place, refused, tmp_path):
    out = tmp_path / "out"
    line = refused(3, "pull", place.at("nothing here"), out / "a", environ=place.environ)
    assert "nothing here" in line or "nothing%20here" in line, line
    if place.lists:
        refused(3, "pull", place.at("nothing here/"), out, environ=place.environ)
    assert not list(out.rglob("*"))


@pytest.mark.parametrize(
    ("place", "bucket"),
    [
        ("s3-rclone", "tests"),
        pytest.param("s3-ceph", "tests", marks=pytest.mark.slow),
        ("gs-emulator", "tests"),
        ("azurite", CONTAINER),
    ],
    indirect=["place"],
)
def test_a_bucket_that_is_not_there_is_named(place, bucket, refused, small):
    elsewhere = place.url.replace(bucket, "not-there", 1)
    for size in ("a", "b"):
        line = refused(3, "push", small, f"{elsewhere}/{size}", environ=place.environ)
        assert "not-there" in line


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("s3-rclone", {"AWS_SECRET_ACCESS_KEY": WRONG}),
        ("s3-rclone", {"AWS_ACCESS_KEY_ID": "NOBODY"}),
        pytest.param("s3-ceph", {"AWS_SECRET_ACCESS_KEY": WRONG}, marks=pytest.mark.slow),
        pytest.param("s3-ceph", {"AWS_ACCESS_KEY_ID": "NOBODY"}, marks=pytest.mark.slow),
        ("azurite", {}),
        ("sftp-openssh", {"HOME": ""}),
        ("sftp-rclone", {"HOME": "", "TRANSFER_STORE_PASSWORD": WRONG}),
        ("ftp-pyftpdlib", {"TRANSFER_STORE_PASSWORD": WRONG}),
        ("ftps-pyftpdlib", {"TRANSFER_STORE_PASSWORD": WRONG}),
        ("webdav-rclone", {"TRANSFER_STORE_PASSWORD": WRONG}),
        pytest.param("hdfs", {"MLFLOW_KERBEROS_USER": "stranger"}, marks=pytest.mark.slow),
    ],
    indirect=["place"],
)
def test_who_is_not_let_in_is_told_so(place, wrong, refused, small, tmp_path):
    environ = {**place.environ, **wrong}
    if "AZURE_STORAGE_CONNECTION_STRING" in environ:
        text = environ["AZURE_STORAGE_CONNECTION_STRING"]
        environ["AZURE_STORAGE_CONNECTION_STRING"] = text.replace(KEY, WRONG_KEY)
    if "HOME" in wrong:
        # Somebody who knows the host, and has no key.
        environ["HOME"] = str(tmp_path)
        (tmp_path / ".ssh").mkdir()
        known = Path(place.environ["HOME"]) / ".ssh" / "known_hosts"
        (tmp_path / ".ssh" / "known_hosts").write_text(known.read_text())
    refused(4, "push", small, place.at("a"), environ=environ)
    # HDFS lets strangers look: they see that there is nothing.
    nothing = 3 if place.url.startswith("hdfs:") else 4
    refused(nothing, "pull", place.at("a"), tmp_path / "out", environ=environ)
    assert not (tmp_path / "out").exists()
    assert not place.left()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s4://bucket/a", "s4"),
        ("s3:///a", "bucket"),
        ("gs://", "bucket"),
        ("sftp:///a", "host"),
        ("ftp:///a", "host"),
        ("http:///a", "host"),
        ("wasbs://container/a", "account"),
        ("hdfs:/a", "HADOOP_CONF_DIR"),
        ("http://127.0.0.1:port/a", "HOST:PORT"),
    ],
)
def test_a_url_that_cannot_be_one_is_a_usage_error(url, said, refused, small):
    assert said in refused(2, "push", small, url)


@contextmanager
def s3_on_disk(folder):
    bucket = folder / "buckets" / BUCKET
    bucket.mkdir(parents=True)
    with s3_server(bucket.parent, clean_environment()) as url:
        yield S3Server(url, bucket.parent)


ON_DISK = {
    "s3-rclone": s3_on_disk,
    "sftp-openssh": openssh,
    "sftp-rclone": rclone_sftp,
    "ftp-pyftpdlib": pyftpdlib,
    "ftp-vsftpd": vsftpd,
    "webdav-rclone": webdav_server,
    "webdav-nginx": nginx_server,
}


@pytest.mark.parametrize("direct", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ON_DISK)
def test_a_server_whose_disk_is_full_keeps_nothing(name, direct, refused, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    large = make_file(tmp_path / "large", 24 * MIB)
    with ExitStack() as stack:
        stack.enter_context(small_disk(disk, "12m"))
        place = of_server(name, stack.enter_context(ON_DISK[name](disk)))
        if not direct:
            place = stack.enter_context(behind_coordinator(place, tmp_path))
        ran = attempt_on(place, large, tmp_path)
        assert ran.code in {1, 5}, ran.said
        assert ran.error
        found = [path for path in disk.rglob("*") if path.is_file() and path.stat().st_size > MIB]
        assert found == []


def attempt_on(place, source, folder):
    environ = {**IMPATIENT, **place.environ}
    return run("push", source, place.at("a"), state=folder / "state", environ=environ)


def test_a_folder_of_somebody_who_is_not_let_in_is_told_so_too(rclone, tmp_path):
    tree = tmp_path / "in"
    for name, size in (("a", 9), ("b", 0), ("large", 20 * MIB), (os.fsdecode(b"bad\xff"), 9)):
        make_file(tree / name, size)
    os.mkfifo(tree / "pipe")
    wrong = {**rclone.environ, "AWS_SECRET_ACCESS_KEY": WRONG}
    ran = run("push", tree, f"s3://{BUCKET}/", state=tmp_path / "state", environ=wrong)
    assert ran.code == 4, ran.said
    assert "nothing copied, 5 failed" in ran.said


@pytest.mark.parametrize("scheme", ["transfer+http", "mlflow-artifacts", "s3"])
def test_a_name_that_is_no_text_fails_alone(scheme, tmp_path, request):
    tree, how = tmp_path / "in", {"state": tmp_path / "state"}
    for name, size in ((os.fsdecode(b"bad\xff"), 9), (os.fsdecode(b"large\xfe"), 20 * MIB)):
        make_file(tree / name, size)
    good = make_file(tree / "good", 1000)
    with ExitStack() as stack:
        if scheme == "s3":
            there = f"s3://{BUCKET}/no text/"
            how["environ"] = request.getfixturevalue("rclone").environ
        else:
            started = coordinator(str(tmp_path / "objects"), tmp_path, clean_environment())
            there = f"{scheme}://{stack.enter_context(started)}/no text/"
        ran = run("push", "--json", f"{tree}/", there, **how)
        events = [json.loads(line) for line in ran.said.splitlines() if line.startswith("{")]
        assert ran.code == 1, ran.said
        assert [one["code"] for one in events if one["event"] == "error"] == ["bad_key"] * 2
        assert (events[-1]["event"], events[-1]["done"]) == ("summary", 1)
        assert run("ps", **how).said == "nothing is unfinished\n"
        assert "not valid Unicode" in run("pull", f"{there}\udcff", tmp_path / "out", **how).error
        done("pull", f"{there}good", tmp_path / "back", **how)
    assert digest(tmp_path / "back") == digest(good)
    assert not list(tmp_path.glob("objects/**/*.partial"))
