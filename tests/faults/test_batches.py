"""Many small files against an S3 that verifies everything, and lies now and then."""

from __future__ import annotations

import os

import anyio
import pytest

from tests.faults.harness import BUCKET, StrictStore
from tests.faults.harness import lies as l
from transfer.engine import Engine
from transfer.settings import Settings

COUNT = 300


@pytest.fixture
async def server():
    async with StrictStore() as server:
        yield server


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for number in range(COUNT):
        path = root / f"d{number % 7}" / f"f{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 31))
    return root


def settings(server, tmp_path, **more):
    environ = {**server.environ, "TRANSFER_STATE_DIR": str(tmp_path / "state")}
    return Settings.from_env(environ | {name: str(value) for name, value in more.items()})


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


async def test_all_of_them_there_and_back(server, tree, tmp_path):
    async with Engine(settings(server, tmp_path)) as engine:
        up = await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        back = await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert len(up.done) == len(back.done) == COUNT
    assert contents(tmp_path / "back") == contents(tree)
    assert {done.verified for done in up.done} == {"content"}
    assert len([done for done in back.done if done.verified == "content"]) > COUNT // 2
    assert len(server.seen("PutObject")) == COUNT
    assert all("x-amz-checksum-crc32c" in entry.headers for entry in server.seen("PutObject"))
    assert server.peak <= 8


@pytest.mark.parametrize(
    "lie", [l.refuse(503, "SlowDown"), l.refuse(500, "InternalError"), l.drop()]
)
async def test_what_fails_is_done_again(server, tree, tmp_path, lie):
    server.lies.add(("PutObject", "GetObject"), lie, nth=range(5, 400, 97))
    async with Engine(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert contents(tmp_path / "back") == contents(tree)


async def test_one_that_is_refused_stops_no_other(server, tree, tmp_path):
    server.lies.add("PutObject", l.refuse(403, "AccessDenied"), key="t/d3/f101")
    async with Engine(settings(server, tmp_path)) as engine:
        report = await engine.run(f"{tree}/", f"s3://{BUCKET}/t/")
    assert [failure.error.code for failure in report.failed] == ["access"]
    assert len(report.done) == COUNT - 1
    assert len(server.objects) == COUNT - 1


async def test_interrupted_run_leaves_whole_files_only(server, tree, tmp_path):
    async with Engine(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        with anyio.move_on_after(5) as scope:

            def stop(event):
                if type(event).__name__ == "FileDone":
                    scope.cancel()

            await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/", on_event=stop)
    assert scope.cancelled_caught
    there, whole = contents(tmp_path / "back"), contents(tree)
    assert there
    assert all(whole[name] == data for name, data in there.items())
