"""A coordinator that is killed and started again on the same database: nothing is lost."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.servers import BIN, free_port, wait_for
from tests.coordinator.inside import MLFLOW, OWN, files_below, local, new_upload
from tests.coordinator.test_own_api import CUT, DATA, crc
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

MIB = 1024 * 1024


class Mortal:
    """A coordinator on a folder, always at the same port."""

    def __init__(self, folder: Path) -> None:
        self.objects = folder / "objects"
        self.database = folder / "sessions.db"
        self.log = folder / "log"
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            *(str(BIN / "transfer"), "serve", "--artifacts-destination", str(self.objects)),
            *("--port", self.address.partition(":")[2]),
            *("--backend-store-uri", f"sqlite:///{self.database}"),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=clean_environment({"TRANSFER_DURABILITY": "none"}),
            )
        wait_for(f"http://{self.address}/health", self.log)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self, *signals: int) -> int:
        """Ask it to end, and return how it did."""
        assert self._process is not None
        for number in signals or (signal.SIGTERM,):
            self._process.send_signal(number)
            time.sleep(0.3)
        code = self._process.wait(10)
        self._process = None
        return code

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=f"http://{self.address}", timeout=10)

    def relayed(self) -> int:
        with self.client() as client:
            return client.get(f"{OWN}/statistics").json()["relayed_in"]

    def uploads(self) -> list[tuple[str, str]]:
        """Read the sessions from the database itself."""
        connection = sqlite3.connect(self.database)
        with connection:
            found = connection.execute("SELECT key, state FROM transfer_uploads").fetchall()
        connection.close()
        return found


@pytest.fixture
def server(tmp_path) -> Iterator[Mortal]:
    found = Mortal(tmp_path)
    found.start()
    yield found
    found.kill()


def test_an_upload_goes_on_over_a_restart(server, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(32 * MIB))
    command = [
        *(str(BIN / "transfer"), "push", str(source), f"transfer+http://{server.address}/team/x"),
        *("--part-size", "128KiB", "-c", "2", "--json"),
    ]
    environ = clean_environment({"TRANSFER_STATE_DIR": str(tmp_path / "state")})
    client = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        end = time.monotonic() + 30
        while not 2 * MIB < server.relayed() < 28 * MIB:
            assert client.poll() is None, "it was done before anybody could be killed"
            assert time.monotonic() < end
            time.sleep(0.01)
        server.kill()
        time.sleep(0.3)
        assert client.poll() is None
        server.start()
        output, errors = client.communicate(timeout=60)
    finally:
        client.kill()
        client.wait()
    assert client.returncode == 0, errors
    assert b'"retry' in output
    assert files_below(server.objects) == {"team/x": source.read_bytes()}
    # It went on with its session: nobody had to begin again.
    assert server.uploads() == [("team/x", "complete")]
    assert server.relayed() < 31 * MIB
    assert "Traceback" not in server.log.read_text()


def test_sessions_urls_and_receipts_outlive_a_kill(server):
    with server.client() as client:
        upload = client.post(f"{OWN}/uploads", json=new_upload("team/x")).json()
        url = f"{OWN}/uploads/{upload['id']}"
        signed = client.post(f"{url}/urls", json={"epoch": 1, "numbers": [1, 2, 3]}).json()
        targets = [local(part["request"]["url"]) for part in signed["parts"]]
        assert client.put(targets[0], content=CUT[0]).status_code == 200
        done = client.post(f"{OWN}/uploads", json=new_upload("team/done", 0)).json()
        token = {"epoch": 1, "numbers": [1]}
        empty = client.post(f"{OWN}/uploads/{done['id']}/urls", json=token).json()
        sent = client.put(local(empty["parts"][0]["request"]["url"]), content=b"")
        receipt = {"number": 1, "size": 0, "etag": sent.headers["etag"]}
        complete = {"epoch": 1, "size": 0, "receipts": [receipt]}
        first = client.post(f"{OWN}/uploads/{done['id']}/complete", json=complete).json()
    server.kill()
    server.start()
    with server.client() as client:
        # The key that signed them is the same.
        for target, data in zip(targets[1:], CUT[1:], strict=True):
            assert client.put(target, content=data).status_code == 200
        assert client.get(url).json() == upload
        listed = client.get(f"{url}/parts").json()["parts"]
        assert [part["checksum"] for part in listed] == [crc(data) for data in CUT]
        answer = client.post(f"{url}/complete", json={"epoch": 1, "size": 10, "receipts": listed})
        assert answer.status_code == 200
        # An answer that the kill has swallowed is given again.
        again = client.post(f"{OWN}/uploads/{done['id']}/complete", json=complete).json()
        assert again == first
        assert client.get(f"{OWN}/objects/team/x").json()["checksum"] == crc(DATA)
    assert files_below(server.objects) == {"team/x": DATA, "team/done": b""}


def test_it_ends_in_time_when_it_is_asked_to(server):
    with server.client() as client:
        # A connection that stays open, and one that is in the middle of a body.
        client.get("/health")
        started = time.monotonic()
        assert server.stop() in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        assert time.monotonic() - started < 8
    with suppress(httpx.TransportError), server.client() as client:
        client.get("/health")
        pytest.fail("it still answers")
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGTERM], -signal.SIGTERM),
        ([signal.SIGTERM, signal.SIGTERM], -signal.SIGTERM),
        ([signal.SIGINT], 130),
        ([signal.SIGINT, signal.SIGINT], 130),
    ],
    ids=str,
)
def test_a_body_that_a_signal_cuts_off_leaves_no_partial_file(server, signals, code):
    head = f"PUT {MLFLOW}/artifacts/team/x HTTP/1.1\r\nHost: {server.address}\r\n"
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(f"{head}Content-Length: {8 * MIB}\r\n\r\n".encode() + bytes(MIB))
        end = time.monotonic() + 10
        while not server.objects.exists() or not files_below(server.objects):
            assert time.monotonic() < end
            time.sleep(0.02)
        assert server.stop(*signals) == code
    assert files_below(server.objects) == {}
