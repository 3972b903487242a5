"""Azurite, Microsoft's emulator of Azure Storage, on a free port: it checks every signature.

It is installed by `make servers` into `.node/` of the checkout.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from azure.storage.blob import BlobServiceClient, ResourceTypes, generate_account_sas

from bench.servers import coordinator, free_port, running
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
        _wait_for_port(port, log)
        yield Azurite(f"{scheme}://127.0.0.1:{port}/{ACCOUNT}")


def _wait_for_port(port: int, log: Path) -> None:
    """Wait until somebody listens, by HTTP or by HTTPS."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    pytest.fail(f"azurite does not listen; its log says:\n{log.read_text()}")


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


def account_sas() -> str:
    """Return a SAS for the whole account, as its owner would make one for somebody."""
    return generate_account_sas(
        ACCOUNT,
        KEY,
        ResourceTypes(container=True, object=True),
        "rwdlac",
        datetime.now(UTC) + timedelta(hours=1),
    )


@contextmanager
def managed_identity() -> Iterator[dict[str, str]]:
    """Be the place where a machine of Azure gets its tokens; yields how it is found.

    Nothing that installs has one. Source: "How to use managed identities for App
    Service", REST endpoint reference.
    """

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            allowed = self.headers["X-IDENTITY-HEADER"] == "header"
            body = {"access_token": token(), "expires_on": str(int(time.time()) + 3600)}
            body |= {"resource": query["resource"][0], "token_type": "Bearer"}
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode() if allowed else b"{}")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/token"
            yield {"IDENTITY_ENDPOINT": url, "IDENTITY_HEADER": "header"}
        finally:
            server.shutdown()


@dataclass(frozen=True)
class SecureAzurite:
    """Azurite by HTTPS, which identities are let into."""

    server: Azurite
    environ: dict[str, str]


@pytest.fixture(scope="session")
def secure_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureAzurite]:
    """Azurite that takes tokens, and somebody who gives them."""
    folder = tmp_path_factory.mktemp("azurite-https")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    options = [f"--cert={folder}/cert.pem", f"--key={folder}/key.pem", "--oauth=basic"]
    with (
        azurite_server(folder, *options, scheme="https") as server,
        managed_identity() as environ,
    ):
        with server.sdk(connection_verify=str(folder / "ca.pem")) as client:
            client.create_container(CONTAINER)
        yield SecureAzurite(
            server,
            {
                **environ,
                "AZURE_STORAGE_CONNECTION_STRING": server.connection_string(None),
                "MLFLOW_TRACKING_SERVER_CERT_PATH": str(folder / "ca.pem"),
            },
        )
