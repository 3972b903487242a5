"""Many small files against an S3 that verifies everything, and lies now and then."""

from __future__ import annotations

import os
import time

import anyio
import pytest

from tests.faults.harness import BUCKET, ChaosProxy, StrictStore
from tests.faults.harness import lies as l
from tests.faults.harness import lies_about_content as c
from tests.faults.harness.network import Flip, Reset, Seeded, Slices
from tests.support.small_files import contents, make_tree
from tests.support.workers import engine_with_workers
from transfer.engine import Engine
from transfer.engine.batches import SMALL
from transfer.settings import Settings
from transfer.sizes import KIB
from transfer.workers import starting

COUNT = 300


@pytest.fixture(params=["by a thread", "by processes"])
def engine_of(request):
    """How an engine is opened that carries small files so."""
    return Engine if request.param == "by a thread" else engine_with_workers


@pytest.fixture
async def server():
    async with StrictStore() as server:
        yield server


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", COUNT, 7)


@pytest.fixture
def heavy(tmp_path):
    """Files that do not fit into what a socket takes, or brings, at once."""
    root = tmp_path / "heavy"
    root.mkdir()
    for number in range(20):
        (root / f"f{number:02}").write_bytes(os.urandom(64 * KIB + number * 77_777))
    (root / "largest").write_bytes(os.urandom(SMALL))
    return root


def settings(server, tmp_path, **more):
    environ = {**server.environ, "TRANSFER_STATE_DIR": str(tmp_path / "state")}
    return Settings.from_env(environ | {name: str(value) for name, value in more.items()})


async def test_all_of_them_there_and_back(engine_of, server, tree, tmp_path):
    async with engine_of(settings(server, tmp_path)) as engine:
        up = await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        back = await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert len(up.done) == len(back.done) == COUNT
    assert contents(tmp_path / "back") == contents(tree)
    assert {done.verified for done in [*up.done, *back.done]} == {"content"}
    assert len(server.seen("PutObject")) == COUNT
    assert all("x-amz-checksum-crc32c" in entry.headers for entry in server.seen("PutObject"))
    assert server.peak <= 8


@pytest.mark.parametrize(
    "lie", [l.refuse(503, "SlowDown"), l.refuse(500, "InternalError"), l.drop()]
)
async def test_what_fails_is_done_again(engine_of, server, tree, tmp_path, lie):
    server.lies.add(("PutObject", "GetObject"), lie, nth=range(5, 400, 97))
    async with engine_of(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert contents(tmp_path / "back") == contents(tree)


@pytest.mark.parametrize(
    "lie",
    [
        l.refuse(503, "SlowDown"),
        l.drop(),
        l.drop(after=100_000),
        l.early(503, "SlowDown", after=100_000),
        l.early(500, "InternalError", after=100_000, rst=True),
        l.lose_answer(),
    ],
)
async def test_larger_ones_whose_sending_fails_are_sent_again(
    engine_of, server, heavy, tmp_path, lie
):
    server.lies.add("PutObject", lie, nth=range(3, 100, 6))
    async with engine_of(settings(server, tmp_path)) as engine:
        report = await engine.push(f"{heavy}/", f"s3://{BUCKET}/t/")
    assert {done.verified for done in report.done} == {"content"}
    assert {key: stored.data for key, stored in server.objects.items()} == {
        f"t/{name}": data for name, data in contents(heavy).items()
    }


@pytest.mark.parametrize(
    "lie",
    [
        l.drop(),
        c.short(),
        c.short(70_000),
        c.short(1, "chunked"),
        c.short(1, "close"),
        c.surplus(),
        c.surplus(framing="chunked"),
        c.gzipped(),
        c.flip_sent(-1),
    ],
)
async def test_larger_ones_that_arrive_otherwise_are_read_again(
    engine_of, server, heavy, tmp_path, lie
):
    async with engine_of(settings(server, tmp_path)) as engine:
        await engine.push(f"{heavy}/", f"s3://{BUCKET}/t/")
        server.lies.add("GetObject", lie, nth=(2, 4, 6))
        report = await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert contents(tmp_path / "back") == contents(heavy)
    assert [done.verified for done in report.done] == ["content"] * 21


@pytest.mark.parametrize("fault", [Flip(at=200_000), Reset(at=200_000), Slices(10_000)])
async def test_larger_ones_over_a_bad_line(engine_of, server, heavy, tmp_path, fault):
    async with ChaosProxy(server.port, Seeded(7, 0.3, [fault])) as proxy:
        bad = settings(server, tmp_path, MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{proxy.port}")
        async with engine_of(bad) as engine:
            await engine.push(f"{heavy}/", f"s3://{BUCKET}/t/")
            await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
        assert any(connection.faults for connection in proxy.connections)
    assert contents(tmp_path / "back") == contents(heavy)


async def test_one_that_is_refused_stops_no_other(engine_of, server, tree, tmp_path):
    server.lies.add("PutObject", l.refuse(403, "AccessDenied"), key="t/d3/f101")
    async with engine_of(settings(server, tmp_path)) as engine:
        report = await engine.run(f"{tree}/", f"s3://{BUCKET}/t/")
    assert [failure.error.code for failure in report.failed] == ["access"]
    assert len(report.done) == COUNT - 1
    assert len(server.objects) == COUNT - 1


async def test_interrupted_run_leaves_whole_files_only(engine_of, server, tree, tmp_path):
    async with engine_of(settings(server, tmp_path)) as engine:
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


async def test_a_disk_that_takes_its_time_leaves_nothing_of_a_run_that_was_stopped(
    engine_of, server, tree, tmp_path, monkeypatch
):
    """The kernel writes out what all programs have written, which may take minutes."""
    asked = settings(server, tmp_path)
    async with Engine(asked) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
    monkeypatch.setattr("backends.linux.syncfs", lambda: lambda _: time.sleep(6))
    slow = "import backends.linux as b, time; b.syncfs = lambda: lambda _: time.sleep(6)"
    begin = starting._BEGIN.removesuffix("main()") + f"{slow}; main()"
    monkeypatch.setattr("transfer.workers.starting._BEGIN", begin)
    back = tmp_path / "back"
    async with engine_of(asked) as engine:
        with anyio.move_on_after(1.5) as scope:
            await engine.pull(f"s3://{BUCKET}/t/", f"{back}/")
    assert scope.cancelled_caught
    assert [path for path in back.rglob("*") if path.is_file()] == []
