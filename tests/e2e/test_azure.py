"""The command and Azurite: files and trees there and back, and what is said when it fails."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sysconfig
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.core.exceptions import ResourceNotFoundError

from tests.support.azurite import ACCOUNT, CONTAINER, KEY, WRONG_KEY
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from tests.support.azurite import Azurite

pytestmark = pytest.mark.servers

COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
LARGE = 70_000_000


@pytest.fixture
def run(tmp_path):
    def start(*args: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        own = {"TRANSFER_STATE_DIR": str(tmp_path / "state"), "TRANSFER_ATTEMPTS": "2"}
        own["TRANSFER_OUTAGE_PATIENCE"] = "1"
        return subprocess.run(
            [COMMAND, *map(str, args)],
            env=clean_environment(own | more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    return start


@pytest.fixture(params=["direct", "coordinated"])
def place(request):
    """A folder in the container and how to reach it: with the key, or through who has it."""
    if request.param == "direct":
        azurite = request.getfixturevalue("azurite")
        return f"{azurite.url}/{os.urandom(6).hex()}", azurite.environ, None
    address = request.getfixturevalue("azure_coordinator")
    return f"transfer+http://{address}/{os.urandom(6).hex()}", {}, address


def statistics(address: str) -> dict[str, int]:
    with urllib.request.urlopen(f"http://{address}/api/transfer/1/statistics") as answer:
        return json.load(answer)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_large_file_comes_back_as_it_was_and_passes_no_coordinator(run, place, tmp_path):
    url, environ, address = place
    source, back = tmp_path / "model v1.bin", tmp_path / "back.bin"
    source.write_bytes(os.urandom(LARGE))
    pushed = run("push", source, f"{url}/", **environ)
    assert pushed.returncode == 0, pushed.stderr
    pulled = run(
        "pull", f"{url}/model%20v1.bin" if address else f"{url}/{source.name}", back, **environ
    )
    assert pulled.returncode == 0, pulled.stderr
    assert sha256(back) == sha256(source)
    assert "14 parts" in pushed.stderr
    if address:
        seen = statistics(address)
        assert seen["signed_parts"] >= 9
        assert (seen["relayed_in"], seen["relayed_out"], seen["open_uploads"]) == (0, 0, 0)
        # The coordinator keeps the checksum of what was pushed.
        assert "content verified" in pulled.stderr


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Return the error, which is one line, and holds no secret."""
    assert done.returncode == code, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("transfer: error")]
    assert "Traceback" not in done.stderr
    for secret in (KEY, WRONG_KEY, "sig=", "AccountKey="):
        assert secret not in done.stderr + done.stdout
    return line


@pytest.fixture
def source(tmp_path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    return path


def test_wrong_key_is_one_line(run, azurite, source):
    wrong = azurite.connection_string(WRONG_KEY)
    done = run("push", source, f"{azurite.url}/x", AZURE_STORAGE_CONNECTION_STRING=wrong)
    line = one_line(done, 4)
    assert f"{azurite.url}/x: 403 AuthorizationFailure" in line
    assert "check AZURE_STORAGE_CONNECTION_STRING" in line


def test_missing_container_is_one_line(run, azurite, source):
    url = azurite.url.replace(CONTAINER, "nowhere", 1)
    line = one_line(run("push", source, f"{url}/x", **azurite.environ), 3)
    assert "404 ContainerNotFound" in line
    assert "check the name of the container" in line


def test_host_that_is_down_is_one_line(run, azurite, source):
    down = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:9/{ACCOUNT}"
    done = run("push", source, f"{azurite.url}/x", AZURE_STORAGE_CONNECTION_STRING=down)
    assert "http://127.0.0.1:9/testaccount/tests/x?…: " in one_line(done, 5)


def test_push_is_verified_where_azure_compares_each_part(run, azurite, tmp_path):
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(os.urandom(LARGE))
    small.write_bytes(b"12345")
    environ = azurite.environ | {"TRANSFER_AZURE_CHECKSUM": "md5"}
    url = f"{azurite.url}/{os.urandom(6).hex()}/"
    done = run("push", "--require-verified", large, small, url, **environ)
    assert done.returncode == 0, done.stderr
    assert "content verified" in done.stderr
    done = run("push", "--require-verified", large, url, **azurite.environ)
    assert "could not be compared" in one_line(done, 6)


def wait_for_blocks(azurite: Azurite, name: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until some parts of an upload have arrived, and not all."""
    with azurite.sdk() as client, client.get_blob_client(CONTAINER, name) as blob:
        while process.poll() is None:
            with suppress(ResourceNotFoundError):
                _, waiting = blob.get_block_list("uncommitted")
                if len(waiting) > 2:
                    return
    pytest.fail("it was done before it could be stopped")


def test_push_that_was_killed_goes_on_where_it_stopped(run, azurite, tmp_path):
    source, back = tmp_path / "file", tmp_path / "back"
    source.write_bytes(os.urandom(LARGE))
    name = f"{os.urandom(6).hex()}/file"
    url = f"{azurite.url}/{name}"
    own = {"TRANSFER_STATE_DIR": str(tmp_path / "state"), "TRANSFER_CONCURRENCY": "1"}
    own["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = "8MiB"
    environ = clean_environment(own | azurite.environ)
    with subprocess.Popen([COMMAND, "push", "-q", source, url], env=environ) as process:
        wait_for_blocks(azurite, name, process)
        process.kill()
    done = run("push", source, url, **azurite.environ)
    assert done.returncode == 0, done.stderr
    assert f"going on with {url}" in done.stderr
    assert run("pull", url, back, **azurite.environ).returncode == 0
    assert sha256(back) == sha256(source)
