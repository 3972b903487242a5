"""Starting a coordinator: what is wrong is said in a line, and what it is called is handed out."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
import trustme
from click.testing import CliRunner

import transfer
from bench.servers import BIN, free_port, running, wait_for
from tests.coordinator.inside import MLFLOW, OWN, SigningStore, inside, local, new_upload
from tests.support.servers import clean_environment
from transfer.cli.app import app
from transfer.coordinator.serve import listen
from transfer.coordinator.state import ServeOptions, open_coordinator
from transfer.errors import TlsError, UsageError
from transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Run `transfer serve` in this process, with options that keep it from starting."""
    for name in set(os.environ) - set(clean_environment()):  # noqa: TID251
        monkeypatch.delenv(name)
    for name, value in clean_environment({"TRANSFER_STATE_DIR": str(tmp_path / "state")}).items():
        monkeypatch.setenv(name, value)
    levels = {name: logging.getLogger(name).level for name in (None, "alembic")}

    def run(*options: str, destination: str = str(tmp_path / "objects")):
        return CliRunner().invoke(app, ["serve", "--artifacts-destination", destination, *options])

    yield run
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def check(result, code: int, *words: str) -> None:
    """One line that a person can read, and nothing of the inside."""
    assert result.exit_code == code, result.output
    assert result.output.startswith("transfer: error: ")
    assert result.output.count("\n") == 1, result.output
    for word in words:
        assert word in result.output
    for leak in ("Traceback", "internal error", "Error(", "hunter2", "<class"):
        assert leak not in result.output


@pytest.mark.parametrize(
    ("destination", "code", "words"),
    [
        ("nosuch://bucket/x", 2, ["nosuch", "known are"]),
        ("s3://", 2, ["bucket"]),
        ("", 2, ["neither a URL nor a path"]),
        ("/dev/null", 2, ["/dev/null", "no folder"]),
        ("s3://bucket", 4, ["no AWS credentials", "AWS_ACCESS_KEY_ID"]),
    ],
)
def test_a_destination_that_is_none(serve, destination, code, words):
    check(serve(destination=destination), code, *words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], ["70000"]),
        (["--port", "-1"], ["-1"]),
        (["--host", "192.0.2.1"], ["192.0.2.1", "cannot listen"]),
        (["--host", "nosuch.invalid"], ["nosuch.invalid", "cannot listen"]),
        (["--tls-cert", "/nothing"], ["--tls-key"]),
        (["--tls-key", "/nothing"], ["--tls-cert"]),
        (["--tls-cert", "/nothing", "--tls-key", "/nothing"], ["/nothing"]),
        (["--tls-cert", __file__, "--tls-key", __file__], ["--tls-cert", "cannot be used"]),
        (["--public-url", "files.example"], ["--public-url", "https://"]),
        (["--public-endpoint-url", "ftp://x"], ["--public-endpoint-url", "https://"]),
    ],
    ids=str,
)
def test_options_that_cannot_be(serve, options, words):
    check(serve(*options), 2, *words)


@pytest.mark.parametrize(
    ("uri", "code", "words"),
    [
        ("sqlite:////dev/null/x.db", 2, ["/dev/null/x.db"]),
        ("sqlite:////dev", 2, ["/dev", "Is a directory"]),
        ("sqlite:////proc/x/y.db", 2, ["/proc/x/y.db"]),
        ("nosuch://me:hunter2@host/db", 2, ["nosuch"]),
        ("oracle://me:hunter2@host/db", 2, ["pip install"]),
        ("postgresql+nosuch://me:hunter2@host/db", 2, ["nosuch"]),
        ("sqlite+pysqlcipher://:hunter2@/x.db", 2, []),
        ("postgresql://me:hunter2@127.0.0.1:1/db", 5, ["127.0.0.1:1"]),
        ("file.db", 2, ["sqlite:///"]),
        ("://", 2, ["sqlite:///"]),
    ],
)
def test_a_database_that_is_none(serve, uri, code, words):
    if uri.startswith("postgresql://"):
        pytest.importorskip("asyncpg")
    check(serve("--backend-store-uri", uri), code, *words)


def test_a_database_that_is_another_file(serve, tmp_path):
    other = tmp_path / "other.db"
    other.write_bytes(b"this is no database, but somebody's text" * 100)
    result = serve("--backend-store-uri", f"sqlite:///{other}")
    check(result, 2, str(other), "not a database")
    assert other.read_bytes() == b"this is no database, but somebody's text" * 100


def test_a_database_of_a_later_version(serve, tmp_path):
    path = tmp_path / "later.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE transfer_alembic_version (version_num VARCHAR(32))")
        connection.execute("INSERT INTO transfer_alembic_version VALUES ('9999')")
    connection.close()
    result = serve("--backend-store-uri", f"sqlite:///{path}")
    check(result, 2, "9999", "another version")


@pytest.mark.parametrize("key", ["short", "x" * 31])
def test_a_signing_key_that_can_be_guessed(serve, monkeypatch, key):
    monkeypatch.setenv("TRANSFER_SIGNING_KEY", key)
    result = serve()
    check(result, 2, "TRANSFER_SIGNING_KEY", "32")
    assert key not in result.output


def test_a_port_that_is_taken(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        check(serve("--port", port), 2, port, "Address already in use")


def test_listening_is_on_all_addresses_of_a_name():
    sockets = listen("localhost", 0)
    try:
        assert {s.getsockname()[0] for s in sockets} <= {"127.0.0.1", "::1"}
        assert sockets
        # Else small answers would wait for each other.
        assert {s.proto for s in sockets} == {socket.IPPROTO_TCP}
    finally:
        for bound in sockets:
            bound.close()


def test_what_is_on_the_disk_is_nobody_elses(serve, tmp_path):
    old = os.umask(0)
    try:
        serve("--host", "192.0.2.1")
    finally:
        os.umask(old)
    database = tmp_path / "state" / "coordinator.db"
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert stat.S_IMODE(database.parent.stat().st_mode) == 0o700


def test_the_extra_that_is_missing_is_named(serve, monkeypatch):
    import sys  # noqa: PLC0415

    for name in list(sys.modules):
        if name.startswith("transfer.coordinator"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    check(serve(), 2, "fastapi", "multipart-transfer[server]")


# --- what it is called


@pytest.mark.parametrize("given", ["option", "setting"])
async def test_the_public_url_is_in_what_is_handed_out(tmp_path, folder_store, given):
    url = "https://files.example:8443/base/"
    options = {"public_url": url} if given == "option" else {}
    settings = Settings(public_url=url if given == "setting" else None)
    async with inside(tmp_path, folder_store, settings, **options) as running:
        ask = await running.asker()
        upload = (await ask.post(f"{OWN}/uploads", new_upload("x"))).json()
        message = {"epoch": 1, "numbers": [1]}
        signed = (await ask.post(f"{OWN}/uploads/{upload['id']}/urls", message)).json()
        urls = [signed["parts"][0]["request"]["url"]]
        urls.append((await ask.post(f"{OWN}/puts", {"key": "y", "size": 1})).json()["url"])
        for handed in urls:
            assert handed.startswith(f"https://files.example:8443/base{OWN}/data/")
        # What a proxy has taken off is not part of what was signed.
        answer = await ask.put(local(urls[1]).removeprefix("/base"), b"1")
        assert answer.status_code == 200


@pytest.mark.parametrize("given", ["option", "setting"])
async def test_the_public_endpoint_is_in_presigned_urls(tmp_path, monkeypatch, given):
    for name, value in clean_environment(
        {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "r"}
    ).items():
        monkeypatch.setenv(name, value)
    public = "https://public.example"
    options = ServeOptions(
        artifacts_destination="s3://bucket/prefix",
        backend_store_uri=f"sqlite:///{tmp_path}/sessions.db",
        public_endpoint_url=public if given == "option" else None,
    )
    settings = Settings(
        s3_endpoint_url="http://127.0.0.1:1",
        public_endpoint_url=public if given == "setting" else None,
    )
    async with open_coordinator(options, settings) as coordinator:
        from transfer.model import Intent  # noqa: PLC0415

        signed = await coordinator.links.put("x", Intent(1), 60.0, "http://unused")
    assert signed.url.startswith("https://public.example/bucket/prefix/x?")


# --- over TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, str]:
    """A CA of our own, and a certificate of it for this machine."""
    folder = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key"))
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(folder / "chain"), append=number > 0)
    authority.cert_pem.write_to_path(str(folder / "ca"))
    other.cert_pem.write_to_path(str(folder / "other"))
    return {name: str(folder / name) for name in ("key", "chain", "ca", "other")}


@pytest.fixture(scope="module")
def tls_server(certificates, tmp_path_factory) -> Iterator[str]:
    """`transfer serve` with that certificate: its address."""
    folder = tmp_path_factory.mktemp("coordinator-tls")
    port = free_port()
    log = folder / "log"
    command = [
        *(str(BIN / "transfer"), "serve", "--artifacts-destination", str(folder / "objects")),
        *("--port", str(port), "--backend-store-uri", f"sqlite:///{folder}/sessions.db"),
        *("--tls-cert", certificates["chain"], "--tls-key", certificates["key"]),
    ]
    with running(command, log, clean_environment()):
        # It answers what is not TLS by hanging up, which is an answer.
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            anyio.run(anyio.sleep, 0.05)
        yield f"localhost:{port}"


@pytest.mark.servers
@pytest.mark.parametrize("scheme", ["transfer+https://{}/x", "mlflow-artifacts:/x"])
def test_over_tls(tls_server, certificates, tmp_path, scheme):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    target = scheme.format(tls_server)
    settings = Settings(
        tracking_uri=f"https://{tls_server}",
        tracking_server_cert=certificates["ca"],
        upload_part_size=30_000,
    )
    assert transfer.push(source, target, settings=settings).parts == 4
    transfer.pull(target, tmp_path / "back", settings=settings)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.servers
@pytest.mark.parametrize("bundle", [None, "other"])
def test_a_server_that_is_not_trusted_gets_nothing(tls_server, certificates, tmp_path, bundle):
    source = tmp_path / "source"
    source.write_bytes(b"1")
    settings = Settings(
        token="canary-token",
        tracking_server_cert=certificates[bundle] if bundle else None,
    )
    with pytest.raises(TlsError) as caught:
        transfer.push(source, f"transfer+https://{tls_server}/untrusted", settings=settings)
    assert "certificate" in str(caught.value)
    assert "canary" not in str(caught.value)
    insecure = Settings(tracking_insecure_tls=True)
    assert transfer.push(source, f"transfer+https://{tls_server}/in", settings=insecure).done


@pytest.mark.servers
def test_a_bundle_that_is_none(tls_server, tmp_path):
    settings = Settings(tracking_server_cert="/nothing")
    told = pytest.RaisesExc(UsageError, match="/nothing")
    with pytest.RaisesGroup(told, allow_unwrapped=True, flatten_subgroups=True):
        transfer.pull(f"transfer+https://{tls_server}/x", tmp_path, settings=settings)


@pytest.mark.servers
def test_who_speaks_no_tls_is_told_so(tls_server, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"1")
    settings = Settings(attempts=1)
    with pytest.raises(transfer.TransferError) as caught:
        transfer.push(source, f"transfer+http://{tls_server}/x", settings=settings)
    assert "\n" not in str(caught.value)


# --- as a process


@pytest.mark.servers
def test_a_process_that_cannot_start_says_why_and_ends(folder_coordinator, tmp_path):
    address, _ = folder_coordinator
    result = subprocess.run(
        [
            *(str(BIN / "transfer"), "serve", "--artifacts-destination", str(tmp_path / "o")),
            *("--port", address.partition(":")[2]),
        ],
        env=clean_environment({"TRANSFER_STATE_DIR": str(tmp_path)}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("transfer: error: cannot listen on 127.0.0.1:")
    assert result.stderr.count("\n") == 1


@pytest.mark.servers
def test_it_says_where_it_is_and_who_gets_in(tmp_path):
    log = tmp_path / "log"
    port = free_port()
    command = [
        *(str(BIN / "transfer"), "serve", "--artifacts-destination", str(tmp_path / "o")),
        *("--port", str(port), "--host", "localhost", "--require-auth"),
    ]
    with running(command, log, clean_environment({"TRANSFER_STATE_DIR": str(tmp_path)})):
        wait_for(f"http://localhost:{port}/health", log)
        assert httpx.get(f"http://localhost:{port}{OWN}/capabilities").status_code == 401
        assert httpx.get(f"http://localhost:{port}{MLFLOW}/artifacts").status_code == 401
    text = log.read_text()
    assert f"transfer+http://localhost:{port}/KEY" in text
    assert "no token yet" in text
    assert "Traceback" not in text


@pytest.mark.servers
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this kernel does not help")
def test_who_stops_reading_loses_the_connection(tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "x").write_bytes(bytes(32 << 20))
    log, port = tmp_path / "log", free_port()
    command = [
        *(str(BIN / "transfer"), "serve", "--artifacts-destination", str(tmp_path / "o")),
        *("--port", str(port)),
    ]
    more = {
        "TRANSFER_STATE_DIR": str(tmp_path),
        "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "1",
    }
    with running(command, log, clean_environment(more)) as server:
        wait_for(f"http://127.0.0.1:{port}/health", log)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(f"GET {MLFLOW}/artifacts/x HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            client.recv(100)
            _wait_until(lambda: _connections(server.pid, port) == 1)
            _wait_until(lambda: _connections(server.pid, port) == 0)
        assert httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200


def _wait_until(holds) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def _connections(pid: int, port: int) -> int:
    """Count the open connections that a process has to one of its ports."""
    links = (str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    held = {link.removeprefix("socket:[").rstrip("]") for link in links if "socket" in link}
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ours = [row for row in table if row[1].endswith(f":{port:04X}") and row[3] != "0A"]
    return sum(row[9] in held for row in ours)


async def test_settings_of_the_store_are_the_coordinators(tmp_path):
    async with inside(tmp_path, SigningStore(), Settings(url_lifetime=5.0)) as running_here:
        ask = await running_here.asker()
        found = (await ask.post(f"{OWN}/puts", {"key": "x", "size": 1})).json()
    assert found["expires_in"] == 5.0
