"""The command between this machine and servers of files, directly and through a coordinator."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from bench.servers import BIN, coordinator
from tests.support.file_servers import FTP_PASSWORD, FTP_USER
from tests.support.servers import clean_environment

pytestmark = pytest.mark.servers

MIB = 1 << 20


@pytest.fixture
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def environ(server, tmp_path):
    given = {"TRANSFER_STORE_PASSWORD": FTP_PASSWORD, "XDG_STATE_HOME": str(tmp_path / "state")}
    environ = clean_environment(server.environ | given)
    environ.pop("SSH_AUTH_SOCK", None)
    return environ


@pytest.fixture
def place(server, request):
    """A folder of the server, by a URL without a password."""
    user = f"{FTP_USER}@" if f"{FTP_USER}:" in server.url else ""
    root = f"{server.url.partition('//')[0]}//{user}{server.url.rpartition('@')[2]}"
    if "@" not in server.url or not user:
        root = server.url
    return f"{root.rstrip('/')}/{request.node.name.partition('[')[0]}"


def transfer(environ, *words, code=0):
    """Run the command; return what it says."""
    done = subprocess.run(
        [BIN / "transfer", *map(str, words)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert FTP_PASSWORD not in said
    return said


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", ["rclone_ssh", "ftp_server"], indirect=True)
def test_what_passes_through_a_coordinator_is_not_kept_in_memory(environ, place, tmp_path):
    source = tmp_path / "source.bin"
    with source.open("wb") as file:
        file.truncate(192 * MIB)
    with coordinator(place, tmp_path, environ) as address:
        client = clean_environment({"XDG_STATE_HOME": str(tmp_path / "state")})
        with Watch(address) as watch:
            transfer(client, "push", source, f"transfer+http://{address}/big.bin")
            transfer(client, "pull", f"transfer+http://{address}/big.bin", tmp_path / "copy.bin")
    assert (tmp_path / "copy.bin").stat().st_size == 192 * MIB
    assert 0 < watch.grown < 96 * MIB


class Watch:
    """By how much the coordinator at an address grows, in bytes of memory that it uses."""

    def __init__(self, address: str) -> None:
        port = address.rpartition(":")[2].encode()
        [self._status] = [
            path.parent / "status"
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if {b"serve", b"--port", port} <= set(_words(path))
        ]
        self._first = self._used()
        self.grown = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.is_set():
            self.grown = max(self.grown, self._used() - self._first)
            time.sleep(0.05)

    def _used(self) -> int:
        [line] = [text for text in self._status.read_text().splitlines() if "VmRSS" in text]
        return int(line.split()[1]) * 1024


def _words(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:
        return []


@pytest.mark.parametrize("server", ["ftp_server", "sshd"], indirect=True)
def test_what_goes_wrong_is_one_line(server, environ, place, tmp_path):
    source = tmp_path / "a"
    source.write_bytes(b"a")
    wrong = environ | {"TRANSFER_STORE_PASSWORD": "wrong", "HOME": str(tmp_path)}
    said = transfer(wrong, "push", source, f"{place}/a", code=4 if "ftp:" in place[:4] else 1)
    assert "does not let" in said or "530" in said or "ssh-keyscan" in said
    gone = place.replace(f":{server.port}", ":1")
    said = transfer(environ | {"TRANSFER_ATTEMPTS": "1"}, "push", source, f"{gone}/a", code=5)
    assert "connect to 127.0.0.1:1" in said
    said = transfer(environ, "pull", f"{place}/nothing", tmp_path / "b", code=3)
    assert len([line for line in said.splitlines() if "transfer:" in line]) == 1


@pytest.fixture
def folder(server, place):
    """Where the files of `place` are."""
    return server.folder / place.rpartition("/")[2]


@pytest.fixture
def stopped(environ, place, folder, tmp_path):
    """Push to the server, stop that in the middle, and return what it says, and its seconds."""
    source = tmp_path / "source.bin"
    with source.open("wb") as file:
        file.truncate(512 * MIB)

    def stop(before=lambda: None):
        process = subprocess.Popen(
            [BIN / "transfer", "push", source, f"{place}/stopped.bin"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        while not any(path.stat().st_size > 8 * MIB for path in unfinished(folder)):
            assert process.poll() is None
            time.sleep(0.002)
        before()
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 130, said
        return said, time.monotonic() - begin

    return stop


def unfinished(folder) -> list[Path]:
    return list(folder.glob(".transfer-*"))


@pytest.mark.parametrize("server", ["rclone_ftp_server", "ftp_server"], indirect=True)
def test_an_interrupted_push_to_an_ftp_server_leaves_nothing_there(folder, stopped):
    said, seconds = stopped()
    assert "may be left" not in said
    assert seconds < 6
    time.sleep(1)  # whatever the server still does on its own
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("server", ["rclone_ftp_server"], indirect=True)
def test_what_an_interrupted_push_may_leave_on_an_ftp_server_is_said(server, folder, stopped):
    address = f"--addr=127.0.0.1:{server.port}".encode()
    [pid] = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if address in _words(path)
    ]
    try:
        said, seconds = stopped(before=lambda: os.kill(pid, signal.SIGSTOP))
    finally:
        os.kill(pid, signal.SIGCONT)
    [left] = unfinished(folder)
    assert f"{left.name} may be left of it" in said
    assert FTP_PASSWORD not in said
    assert seconds < 7
