"""The sessions on PostgreSQL, where one is installed: what SQLite forgives, it does not."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from bench.servers import free_port
from tests.coordinator.inside import MLFLOW, OWN, SigningStore, files_below, inside, new_upload
from tests.coordinator.test_own_api import DATA, about, all_sent, crc, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory) -> Iterator[str]:
    """A server of its own: the URL of a database, as MLflow writes it."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (package postgresql)")
    folder = tmp_path_factory.mktemp("postgresql")
    as_other: list[str] = []
    if os.geteuid() == 0:
        # It refuses to be root, and that user must reach the folder.
        as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        subprocess.run(["chown", "postgres", folder], check=True)
        for above in (folder, *folder.parents):
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
    data, port = folder / "data", free_port()
    options = ["-A", "trust", "-U", "postgres", "-N", "-E", "UTF8", "--locale=C.UTF-8"]
    made = subprocess.run(
        [*as_other, programs[-1] / "initdb", "-D", data, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"initdb does not work here: {made.stderr[-200:]}")
    command = [*as_other, programs[-1] / "postgres", "-D", data, "-p", str(port), "-k", folder]
    flags = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([*command, *flags], stdout=log, stderr=log)
    ready = [programs[-1] / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(200):
        if subprocess.run(ready, check=False).returncode == 0:
            break
        time.sleep(0.05)
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    server.terminate()
    server.wait(10)


async def test_sessions(postgresql, tmp_path, folder_store, objects):
    options = {"backend_store_uri": postgresql, "require_auth": True}
    async with inside(tmp_path, folder_store, **options) as running:
        alice = await running.tenant("alice", "team")
        upload = await opened(alice)
        receipts = await all_sent(alice, upload)
        answer = await about(alice, upload, "receipts", receipts=receipts)
        assert answer.status_code == 200
        answer = await about(alice, upload, "complete", size=10, checksum=crc(DATA))
        assert (answer.status_code, answer.json()["checksum"]) == (200, crc(DATA))
        assert (await about(alice, upload, "complete", size=10)).json() == answer.json()
        other = await opened(alice)
        assert (await about(alice, other, "abort")).status_code == 200
        for bad in ("nothing", "%00", "x" * 40):
            assert (await alice.get(f"{OWN}/uploads/{bad}")).status_code in {400, 404}
        await running.coordinator.tokens.revoke("alice")
    assert files_below(objects) == {"team/x": DATA}
    # Everything is still there, and the tables are not made again.
    async with inside(tmp_path, folder_store, backend_store_uri=postgresql) as running:
        found = (await (await running.asker()).get(f"{OWN}/objects/team/x")).json()
        assert found["checksum"] == crc(DATA)


async def test_the_same_request_at_the_same_time_is_one_upload(postgresql, tmp_path):
    async with inside(tmp_path, SigningStore(), backend_store_uri=postgresql) as running:
        ask = await running.asker()
        message = new_upload("same/x")
        found = []

        async def ask_for_it():
            answer = await ask.post(f"{OWN}/uploads", message)
            assert answer.status_code == 200, answer.text
            found.append(answer.json()["id"])

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask_for_it)
        assert len(found) == 10
        assert len(set(found)) == 1
        assert running.store.parts.opened == ["same/x"]
        assert await running.coordinator.uploads.count_open() == 1


async def test_writes_of_one_key_at_the_same_time_are_all_fine(postgresql, tmp_path, folder_store):
    async with inside(tmp_path, folder_store, backend_store_uri=postgresql) as running:
        ask, statuses = await running.asker(), []

        async def put(letter: int) -> None:
            for _ in range(5):
                answer = await ask.put(f"{MLFLOW}/artifacts/hot", bytes([letter]) * 100)
                statuses.append(answer.status_code)

        async with anyio.create_task_group() as group:
            for letter in range(65, 73):
                group.start_soon(put, letter)
        assert statuses == [200] * 40
        found = (await ask.get(f"{MLFLOW}/artifacts/hot")).content
        # What is remembered is of what is there, or of nothing.
        assert (await ask.get(f"{OWN}/objects/hot")).json()["checksum"] in {None, crc(found)}


async def test_receipts_of_one_part_at_the_same_time_are_all_fine(
    postgresql, tmp_path, folder_store
):
    async with inside(tmp_path, folder_store, backend_store_uri=postgresql) as running:
        ask = await running.asker()
        upload = await opened(ask, "twice/x")
        receipts, statuses = await all_sent(ask, upload), []

        async def report() -> None:
            answer = await about(ask, upload, "receipts", receipts=receipts)
            statuses.append(answer.status_code)

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(report)
        assert statuses == [200] * 12
        assert (await about(ask, upload, "complete", size=10)).status_code == 200
