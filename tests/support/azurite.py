"""Azurite, Microsoft's emulator of Azure Storage, on a free port: it checks every signature.

It is installed by `make servers` into `.node/` of the checkout.
"""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from azure.storage.blob import BlobServiceClient

from bench.servers import coordinator, free_port, running, wait_for
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parents[2] / ".node/node_modules/.bin/azurite-blob"
ACCOUNT = "testaccount"
CONTAINER = "tests"
KEY = base64.b64encode(b"a key for tests, of no account at all").decode()
WRONG_KEY = base64.b64encode(b"another key").decode()
# What the SDK may speak with this Azurite, and we do.
API_VERSION = "2021-12-02"


@dataclass(frozen=True)
class Azurite:
    """A running emulator: `endpoint` is the address of the account."""

    endpoint: str

    @property
    def url(self) -> str:
        """The container, as MLflow writes it."""
        return f"wasbs://{CONTAINER}@{ACCOUNT}.blob.core.windows.net"

    def connection_string(self, key: str | None = KEY) -> str:
        """Return a connection string; without a key, another variable has to let us in."""
        fields = {"AccountName": ACCOUNT, "BlobEndpoint": self.endpoint}
        if key is not None:
            fields["AccountKey"] = key
        return ";".join(f"{name}={value}" for name, value in fields.items())

    @property
    def environ(self) -> dict[str, str]:
        """The variables of somebody who may do everything."""
        return {"AZURE_STORAGE_CONNECTION_STRING": self.connection_string()}

    def sdk(self, **more: object) -> BlobServiceClient:
        """Return the SDK's client."""
        return BlobServiceClient.from_connection_string(
            self.connection_string(), api_version=API_VERSION, **more
        )


@contextmanager
def azurite_server(folder: Path, *options: str, scheme: str = "http") -> Iterator[Azurite]:
    """Run Azurite with one account and one container."""
    if not PROGRAM.exists():
        pytest.skip("azurite is not installed (npm): make servers does it")
    port = free_port()
    command = [
        str(PROGRAM),
        "--blobHost=127.0.0.1",
        f"--blobPort={port}",
        f"--location={folder}",
        "--silent",
        "--disableTelemetry",
        *options,
    ]
    log = folder / "log"
    environ = clean_environment({"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"})
    with running(command, log, environ):
        wait_for_port(f"{scheme}://127.0.0.1:{port}", log)
        yield Azurite(f"{scheme}://127.0.0.1:{port}/{ACCOUNT}")


def wait_for_port(url: str, log: Path) -> None:
    """Wait until the server answers; its certificate is nobody's business here."""
    wait_for(url.replace("https:", "http:"), log, 60)


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Azurite by plain HTTP."""
    with azurite_server(tmp_path_factory.mktemp("azurite")) as server:
        with server.sdk() as client:
            client.create_container(CONTAINER)
        yield server


@pytest.fixture(scope="session")
def azure_coordinator(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`transfer serve` on Azurite: its address."""
    folder = tmp_path_factory.mktemp("coordinator-azure")
    environ = clean_environment(azurite.environ)
    with coordinator(f"{azurite.url}/coordinated", folder, environ) as address:
        yield address


def token(**claims: object) -> str:
    """Return a token as an identity has one; Azurite reads its claims, not its signature."""
    now = int(time.time())
    said = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
        "iat": now,
        "nbf": now - 10,
        "exp": now + 3600,
        "oid": "11059fcc-5514-4800-b5f8-49808b9cfab6",
        "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606",
        **claims,
    }
    parts = [{"alg": "HS256", "typ": "JWT"}, said, {}]
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts
    )
