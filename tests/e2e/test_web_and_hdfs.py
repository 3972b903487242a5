"""The installed command with web servers and HDFS, directly and behind a coordinator."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import subprocess
import sysconfig
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.servers import coordinator, free_port
from tests.support.hdfs import HdfsServer, check_installed, hdfs_server
from tests.support.servers import clean_environment
from tests.support.web import PASSWORD, webdav_server

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
MIB = 1024**2
# A coordinator that held a whole body would need so many bytes, and more than half as many again.
LARGE = 300 * MIB
MOST_MEMORY = 200 * MIB

pytestmark = pytest.mark.servers
HDFS = pytest.param("hdfs", marks=pytest.mark.slow)


@pytest.fixture
def environ(tmp_path):
    return clean_environment({"TRANSFER_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def run(environ):
    def start(*args: object, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *map(str, args)],
            env=environ | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=110,
            check=False,
        )

    return start


@pytest.fixture
def place(request):
    """A folder of its own in a store, by the name of its server."""
    room = f"room-{secrets.token_hex(6)}"
    server = request.param
    if server == "rclone":
        return f"{request.getfixturevalue('webdav').with_login()}/{room}"
    if server == "hdfs":
        return f"{request.getfixturevalue('hdfs').url}/{room}"
    return f"{request.getfixturevalue('nginx').url}/{server}/{room}"


@contextmanager
def coordinator_of(place: str, folder: Path):
    """Run `transfer serve` on a place; yields its URL and how to ask for its peak memory."""
    folder.mkdir()
    with coordinator(place, folder, clean_environment()) as address:
        yield f"transfer+http://{address}", lambda: peak_memory(place)


def peak_memory(place: str) -> int:
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if f"\0{place}\0".encode() in status.with_name("cmdline").read_bytes():
                text = status.read_text().partition("VmHWM:")[2]
                return int(text.split()[0]) * 1024
        except OSError:
            continue
    raise AssertionError(place)


def written(path: Path, size: int) -> str:
    """Write random bytes; return their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            piece = os.urandom(min(MIB, size - start))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def there_and_back(run, url: str, folder: Path, size: int) -> None:
    digest = written(folder / "in.bin", size)
    for args in (
        ("push", folder / "in.bin", f"{url}/sub/big.bin"),
        ("pull", f"{url}/sub/big.bin", folder / "out.bin"),
    ):
        result = run(*args)
        assert result.returncode == 0, result.stderr
        assert "1 file copied" in result.stderr + result.stdout
    assert sha256(folder / "out.bin") == digest


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the error, which is one line and no stack."""
    lines = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "panicked" not in result.stderr
    return lines[0]


PLACES = ["dav", "plain", "rclone", HDFS]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_a_large_file_passes_a_coordinator_in_bounded_memory(run, place, tmp_path):
    with coordinator_of(place, tmp_path / "coordinator") as (url, memory):
        there_and_back(run, url, tmp_path, LARGE)
        assert memory() < MOST_MEMORY


def test_a_wrong_password_is_an_error_without_the_password(run, webdav, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    for args in (
        ("push", tmp_path / "a", f"{webdav.with_login('ann:s3cret')}/a"),
        ("pull", f"{webdav.with_login('ann:s3cret')}/a", tmp_path / "b"),
    ):
        result = run(*args)
        assert result.returncode == 4
        assert "401" in one_line(result)
        assert "s3cret" not in result.stderr + result.stdout
    assert not (tmp_path / "b").exists()


def test_the_right_password_is_not_shown_either(run, webdav, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    result = run("push", "--json", tmp_path / "a", f"{webdav.with_login()}/shown")
    assert result.returncode == 0
    assert PASSWORD not in result.stdout + result.stderr
    assert "p%40ss" not in result.stdout + result.stderr
    assert "TRANSFER_STORE_PASSWORD" in result.stdout
    by_name = webdav.with_login("ann")
    result = run("push", "--json", tmp_path / "a", f"{by_name}/b", TRANSFER_STORE_PASSWORD=PASSWORD)
    assert result.returncode == 0, result.stderr
    assert "TRANSFER_STORE_PASSWORD" not in result.stdout


def test_a_place_that_may_not_be_written_to_is_an_error(run, nginx, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    result = run("push", tmp_path / "a", f"{nginx.url}/read-only/a")
    assert result.returncode == 4
    assert "403" in one_line(result)


def test_a_name_that_is_not_there_is_not_found(run, nginx, tmp_path):
    for key in ("plain/nothing", "dav/nothing"):
        result = run("pull", f"{nginx.url}/{key}", tmp_path / "b")
        assert result.returncode == 3, result.stderr
        one_line(result)


def test_a_host_that_is_down_is_a_temporary_error(run, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    url = f"http://ann:s3cret@127.0.0.1:{free_port()}/a"
    result = run("push", tmp_path / "a", url, TRANSFER_ATTEMPTS="2")
    assert result.returncode == 5
    assert "cannot connect" in one_line(result)
    assert "s3cret" not in result.stderr


@pytest.mark.slow
def test_an_hdfs_that_is_down_is_a_temporary_error(run, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    result = run("push", tmp_path / "a", f"hdfs://127.0.0.1:{free_port()}/a", TRANSFER_ATTEMPTS="2")
    assert result.returncode == 5
    assert "refused" in one_line(result)


@pytest.mark.slow
def test_hdfs_knows_users_by_name_and_itself_by_its_configuration(run, hdfs, tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    by_name = {"MLFLOW_KERBEROS_USER": "stranger", "HADOOP_CONF_DIR": str(hdfs.conf)}
    result = run("push", tmp_path / "a", "hdfs:/not-theirs/a", **by_name)
    assert result.returncode == 4
    assert "user=stranger" in one_line(result)
    result = run("push", tmp_path / "a", "hdfs:/ours/a", HADOOP_CONF_DIR=str(hdfs.conf))
    assert result.returncode == 0, result.stderr
    assert run("pull", f"{hdfs.url}/ours/a", tmp_path / "b").returncode == 0
    result = run("pull", "hdfs:/ours/a", tmp_path / "c")
    assert result.returncode == 2
    assert "HADOOP_CONF_DIR" in one_line(result)


def started(environ, *args: object, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [COMMAND, *map(str, args)],
        env=environ | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=100)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def processes_with(*words: str) -> list[int]:
    """Return the processes that have all of these words in their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        if all(word in command for word in words):
            found.append(int(path.parent.name))
    return found


def sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]


def test_a_server_killed_in_the_middle_shows_nothing_and_the_next_run_succeeds(
    run, environ, tmp_path
):
    with (tmp_path / "in").open("wb") as file:
        file.truncate(LARGE)
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(webdav_server(tmp_path / "server", port))
        push = ("push", tmp_path / "in", f"{server.with_login()}/dir/a")
        process = started(environ, *push, TRANSFER_OUTAGE_PATIENCE="2", TRANSFER_ATTEMPTS="3")
        wait_until(lambda: any(sizes(server.folder)))
        os.kill(*processes_with("serve", "webdav", str(server.folder)), signal.SIGKILL)
        result = ended(process)
    assert result.returncode == 5, result.stderr
    assert "may be left of it" in one_line(result)
    assert "dir/a" not in server.files()

    with webdav_server(tmp_path / "server", port) as server:
        listed = run("pull", f"{server.with_login()}/dir/", tmp_path / "out")
        assert listed.returncode == 3, listed.stderr
        assert run(*push).returncode == 0
        assert sha256(server.folder / "dir" / "a") == sha256(tmp_path / "in")


@pytest.mark.slow
def test_a_datanode_killed_in_the_middle_leaves_nothing(run, environ, tmp_path):
    check_installed()
    with (tmp_path / "in").open("wb") as file:
        file.truncate(2 * LARGE)
    with hdfs_server(tmp_path / "hdfs") as server:
        url = f"{server.url}/dir/a"
        few = {"TRANSFER_OUTAGE_PATIENCE": "2", "TRANSFER_ATTEMPTS": "3"}
        process = started(environ, "push", tmp_path / "in", url, **few)
        wait_until(lambda: max(sizes(server.folder / "data"), default=0) > 8 * MIB)
        server.processes["datanode"].close()
        result = ended(process)
        assert result.returncode == 5, result.stderr
        one_line(result)
        listed = run("pull", f"{server.url}/dir/", tmp_path / "out", **few)
        assert listed.returncode == 3, listed.stderr


@pytest.mark.slow
def test_an_hdfs_that_hangs_holds_nobody_up(environ, tmp_path):
    check_installed()
    with (tmp_path / "in").open("wb") as file:
        file.truncate(2 * LARGE)
    with hdfs_server(tmp_path / "hdfs") as server:
        push = ("push", tmp_path / "in", f"{server.url}/a")
        few = {"MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "2", "TRANSFER_ATTEMPTS": "1"}
        for more, interrupted, code in ((few, False, 5), ({}, True, 130)):
            arrived = sum(sizes(server.folder / "data"))
            process = started(environ, *push, **more)
            wait_until(lambda: sum(sizes(server.folder / "data")) > arrived + 8 * MIB)  # noqa: B023
            with stopped(server):
                if interrupted:
                    process.send_signal(signal.SIGINT)
                begun = time.monotonic()
                result = ended(process)
                assert time.monotonic() - begun < 10
            assert result.returncode == code, result.stderr


@contextmanager
def stopped(server: HdfsServer):
    """Let the processes of a server stand still for a while."""
    found = processes_with("java", str(server.folder))
    assert len(found) == 2
    for process in found:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            os.kill(process, signal.SIGCONT)


def test_a_pull_that_was_interrupted_goes_on_where_it_was(environ, nginx, tmp_path):
    digest = written(nginx.folder / "plain" / "resumed", 200 * MIB)
    pull = ("pull", f"{nginx.url}/plain/resumed", tmp_path / "out")
    process = started(environ, *pull, MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE="1MiB")
    wait_until(lambda: any(path.stat().st_size for path in tmp_path.glob(".transfer-*.receipts")))
    process.send_signal(signal.SIGINT)
    assert ended(process).returncode == 130
    assert not (tmp_path / "out").exists()
    process = started(environ, *pull, "--json", MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE="1MiB")
    result = ended(process)
    assert result.returncode == 0, result.stderr
    assert '"resumed"' in result.stdout
    assert sha256(tmp_path / "out") == digest
