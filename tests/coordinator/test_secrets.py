"""Canaries: tokens, keys and signatures that were used, and are found nowhere afterwards."""

from __future__ import annotations

import os
import re
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner

from bench.servers import BIN, free_port, running, wait_for
from tests.coordinator.inside import OWN, inside, new_upload
from tests.support.servers import BUCKET, clean_environment
from transfer.cli.app import app
from transfer.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PRESIGNED = re.compile(
    rb"X-Amz-(Signature|Credential)=|[?&]signature=|x-amz-security-token=", re.IGNORECASE
)


@pytest.fixture
def run(monkeypatch):
    """Run the command, in this process, with nothing but the environment that is given."""

    def invoke(environ: dict[str, str], *arguments: str):
        for name in set(os.environ) - set(environ):  # noqa: TID251
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, arguments)

    return invoke


@pytest.mark.servers
@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_no_secret_is_left_anywhere(rclone, run, tmp_path, kind):
    """A push, a pull, a failure of each sort, all with as much output as there is."""
    (tmp_path / "data").mkdir()
    place = f"s3://{BUCKET}/secrets" if kind == "s3" else str(tmp_path / "objects")
    database = f"sqlite:///{tmp_path}/data/sessions.db"
    serving = clean_environment(
        {**rclone.environ, "MLFLOW_SQLALCHEMYSTORE_ECHO": "true", "PYTHONWARNINGS": "default"}
    )
    token = run(
        serving, "token", "create", "--name=alice", "--prefix=", f"--backend-store-uri={database}"
    )
    secret = token.stdout.strip()
    assert secret.startswith("trf_")
    secrets = {secret, rclone.environ["AWS_SECRET_ACCESS_KEY"], "canary-password"}
    port = free_port()
    command = [
        *(str(BIN / "transfer"), "serve", "-vv", "--artifacts-destination", place),
        *("--port", str(port), "--backend-store-uri", database, "--require-auth"),
    ]
    outputs = [token.stderr_bytes]
    state = tmp_path / "data" / "client"
    mine = clean_environment({"TRANSFER_TOKEN": secret, "TRANSFER_STATE_DIR": str(state)})
    wrong = mine | {"TRANSFER_TOKEN": "canary-password"}
    (tmp_path / "source").write_bytes(os.urandom(11 * 1024 * 1024))
    address = f"transfer+http://127.0.0.1:{port}"
    by_name = f"transfer+http://alice:{quote(secret)}@127.0.0.1:{port}"
    source, back = str(tmp_path / "source"), str(tmp_path / "back")
    with running(command, tmp_path / "data" / "log", serving):
        wait_for(f"http://127.0.0.1:{port}/health", tmp_path / "data" / "log")
        for environ, arguments, code in (
            (mine, ("push", source, f"{address}/x", "--part-size=5MiB", "-vv"), 0),
            (mine, ("pull", f"{address}/x", back, "--part-size=5MiB", "--json", "-vv"), 0),
            (mine, ("push", source, f"{by_name}/small/", "--json", "--part-size=64MiB"), 0),
            (mine, ("pull", f"{by_name}/nothing", back, "-vv"), 3),
            (wrong, ("pull", f"{address}/x", back, "-vv"), 4),
            (wrong, ("push", source, f"{address}/x", "--json"), 4),
        ):
            done = run(environ, *arguments)
            assert done.exit_code == code, done.output
            outputs += [done.stdout_bytes, done.stderr_bytes]
        header = {"authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=header) as client:
            outputs += _provoked(client)
    outputs += [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    everything = b"\n".join(outputs)
    assert len(outputs) > 15
    for value in secrets:
        assert value.encode() not in everything
        assert quote(value, safe="").encode() not in everything
    key = _signing_key(tmp_path / "data" / "sessions.db")
    log = (tmp_path / "data" / "log").read_bytes()
    assert b"INSERT INTO transfer_tokens" in log or b"transfer_uploads" in log
    assert key not in log
    assert not PRESIGNED.search(everything.replace(b"&X-Amz-Signature=CANARY", b""))


def _provoked(client: httpx.Client) -> list[bytes]:
    """Return what is answered to requests that are nearly right: not what is right."""
    upload = client.post(f"{OWN}/uploads", json=new_upload("y", 10, 5 << 20)).json()
    signed = client.post(f"{OWN}/uploads/{upload['id']}/urls", json={"epoch": 1, "numbers": [1]})
    url = signed.json()["parts"][0]["request"]["url"]
    broken = [url + "0", url.replace("length=10", "length=11"), url.replace("=1", "=2")]
    if not url.startswith(str(client.base_url)):
        broken = []
    answers = [client.put(wrong, content=b"0123456789") for wrong in broken]
    answers.append(client.get(f"{OWN}/uploads/{upload['id']}?token=CANARY"))
    answers.append(client.post(f"{OWN}/uploads/{upload['id']}/abort", json={"epoch": 1}))
    return [answer.content for answer in answers]


def _signing_key(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    (value,) = connection.execute("SELECT value FROM transfer_secrets").fetchone()
    connection.close()
    assert len(value) == 64
    return value.encode()


async def test_nothing_secret_has_a_repr(tmp_path, folder_store):
    settings = Settings(
        token="canary-token",
        tracking_token="canary-token",
        tracking_password="canary-token",
        signing_key="canary-token" * 3,
    )
    async with inside(tmp_path, folder_store, settings) as running_here:
        coordinator = running_here.coordinator
        text = repr(coordinator) + repr(settings) + repr(coordinator.permits)
        assert "canary" not in text
        assert "k" * 32 not in text


async def test_statements_are_logged_without_their_values(tmp_path, folder_store, caplog):
    # Whoever sets it meanwhile, it is put back at the end.
    caplog.set_level("WARNING", "sqlalchemy.engine")
    caplog.set_level("INFO")
    async with inside(tmp_path, folder_store, Settings(db_echo=True)) as running_here:
        alice = await running_here.tenant("canary-name")
        await alice.get(f"{OWN}/capabilities")
    assert "INSERT INTO transfer_tokens" in caplog.text
    assert "canary-name" not in caplog.text
    assert alice.token not in caplog.text
