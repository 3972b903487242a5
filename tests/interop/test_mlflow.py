"""MLflow's own client and server, unchanged, on the other side of ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import urllib.request
from pathlib import Path

import pytest

import transfer
from bench.servers import coordinator
from tests.faults.harness import BUCKET, StrictGcs, in_thread
from tests.support.servers import clean_environment
from transfer.model import Verified
from transfer.settings import Settings

pytestmark = [pytest.mark.mlflow, pytest.mark.servers, pytest.mark.timeout(300)]

PARTS = {
    "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "5242880",
    "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "10485760",
    "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": "16777216",
}


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A file of seven parts, the last one short."""
    path = tmp_path_factory.mktemp("large") / "model v1.bin"
    path.write_bytes(os.urandom(65_000_000))
    return path


def statistics(address: str) -> dict[str, int]:
    url = f"http://{address}/api/transfer/1/statistics"
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def stock_client(python: Path, address: str, source: Path, folder: Path) -> None:
    script = Path(__file__).with_name("mlflow_client.py")
    done = subprocess.run(
        [python, script, f"http://{address}", source, folder],
        env=clean_environment(PARTS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout
    sent, back = done.stdout.split()
    assert sent == back == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["s3_coordinator", "azure_coordinator"])
def test_a_stock_client_uploads_in_parts_through_our_coordinator(
    mlflow_python, large, tmp_path, request, name
):
    address = request.getfixturevalue(name)
    before = statistics(address)
    stock_client(mlflow_python, address, large, tmp_path)
    after = statistics(address)
    assert after["signed_parts"] - before["signed_parts"] == 7
    assert after["signed_reads"] - before["signed_reads"] == 1
    # The bytes went straight to the store, both ways, and nothing was left open.
    assert (after["relayed_in"], after["relayed_out"]) == (
        before["relayed_in"],
        before["relayed_out"],
    )
    assert after["open_uploads"] == 0


def test_a_stock_client_falls_back_where_the_destination_cannot_sign(
    mlflow_python, folder_coordinator, large, tmp_path
):
    address, _ = folder_coordinator
    before = statistics(address)
    stock_client(mlflow_python, address, large, tmp_path)
    after = statistics(address)
    assert after["signed_parts"] == before["signed_parts"]
    assert after["relayed_in"] - before["relayed_in"] == large.stat().st_size


@pytest.mark.parametrize("part_size", [5 << 20, None])
def test_our_client_uploads_in_parts_through_a_stock_server(
    mlflow_server, large, tmp_path, part_size
):
    settings = Settings(upload_part_size=part_size, download_part_size=part_size)
    target = f"mlflow-artifacts://{mlflow_server}/1/run/artifacts/sub dir/model.bin"
    pushed = transfer.push(large, target, settings=settings)
    assert pushed.parts == 13  # auto comes to the same
    pulled = transfer.pull(target, tmp_path / "back.bin", settings=settings)
    assert pulled.parts > 1
    assert (tmp_path / "back.bin").read_bytes() == large.read_bytes()
    # This protocol has no checksums: nobody may claim more.
    assert pushed.done[0].verified is pulled.done[0].verified is Verified.SIZE


def test_our_client_moves_trees_through_a_stock_server(mlflow_server, tmp_path):
    tree = tmp_path / "tree"
    for name in ("a.txt", "deep/er/b.txt", "deep/with space.txt", "empty"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty" else name)
    target = f"mlflow-artifacts://{mlflow_server}/2/artifacts/"
    transfer.push(f"{tree}/", target)
    transfer.pull(target, f"{tmp_path}/back/")
    found = {
        str(path.relative_to(tmp_path / "back")): path.read_text()
        for path in (tmp_path / "back").rglob("*")
        if path.is_file()
    }
    assert found == {
        "a.txt": "a.txt",
        "deep/er/b.txt": "deep/er/b.txt",
        "deep/with space.txt": "deep/with space.txt",
        "empty": "",
    }


@pytest.mark.parametrize("who", ["service_account", "authorized_user"])
def test_a_stock_client_uses_cloud_storage_through_our_coordinator(
    mlflow_python, large, tmp_path, who
):
    """Against our own strict server: in parts where the credentials can sign, else relayed."""
    with in_thread(StrictGcs()) as server:
        credentials = getattr(server, who)()
        environ = clean_environment(server.environ_with(credentials, tmp_path))
        with coordinator(f"gs://{BUCKET}/behind", tmp_path, environ) as address:
            stock_client(mlflow_python, address, large, tmp_path)
            found = statistics(address)
    signed = who == "service_account"
    assert server.count("UploadPart") == (7 if signed else 0)
    assert bool(found["relayed_in"]) is not signed
    assert bool(found["relayed_out"]) is not signed
    assert server.objects == {}
    assert server.open_uploads == []
