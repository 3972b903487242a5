"""Worker processes that die, hang, cannot begin or are not let go on: no file is lost by that."""

from __future__ import annotations

import mimetypes
import os
import signal
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from backends.local.batches import LocalBatcher
from tests.faults.harness import BUCKET, ChaosProxy, StrictStore
from tests.faults.harness import lies as l
from tests.faults.harness.network import RESPONSE, Rate
from tests.support.small_files import contents, make_tree
from tests.support.workers import COUNT, engine_with_workers
from transfer.carrying import Load
from transfer.engine import Engine
from transfer.events import FileDone, Notice
from transfer.settings import Settings
from transfer.sizes import KIB
from transfer.workers import fleet

FILES = 120
FAILED = "a worker process has failed ({}): its files are moved without it"
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def server():
    async with StrictStore() as server:
        yield server


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", FILES, 3)


@pytest.fixture
def by_workers_only(monkeypatch):
    def no_load(*_):
        raise AssertionError

    monkeypatch.setattr("transfer.engine.batches.Load", no_load)


def settings(server, tmp_path, **more):
    environ = {**server.environ, "TRANSFER_STATE_DIR": str(tmp_path / "state")}
    return Settings.from_env(environ | {name: str(value) for name, value in more.items()})


def group_of(engine):
    return members_of(engine._fleet._first.pid)


def members_of(first):
    """Return the processes of a fleet."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return sorted(pid for pid in pids if _group(pid) == first)


def alive(pids):
    return [pid for pid in pids if _group(pid) is not None]


async def all_gone(pids):
    """Wait for the kernel to be done with them."""
    with anyio.fail_after(10):
        while alive(pids):  # noqa: ASYNC110 - nobody is told
            await anyio.sleep(0.005)


def _group(pid):
    """Return the group of a process, None if there is none but for what its parent may ask."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(group)


async def run(engine, source, target):
    """Copy, and return the report and what was told beside."""
    told = []
    report = await engine.run(source, target, on_event=told.append)
    return report, [event.message for event in told if isinstance(event, Notice)]


@pytest.mark.usefixtures("by_workers_only")
async def test_they_carry_and_end_with_the_engine(server, tree, tmp_path):
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        pids = group_of(engine)
        assert len(pids) == COUNT
        up, said = await run(engine, f"{tree}/", f"s3://{BUCKET}/t/")
        back, _ = await run(engine, f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
        copied, _ = await run(engine, f"{tree}/", f"{tmp_path}/copied/")
    for report in (up, back, copied):
        assert [done.verified for done in report.done] == ["content"] * FILES
    assert contents(tmp_path / "back") == contents(tmp_path / "copied") == contents(tree)
    assert said == []
    assert alive(pids) == []


@pytest.mark.usefixtures("by_workers_only")
async def test_an_engine_can_be_opened_again(server, tree, tmp_path):
    engine = Engine(settings(server, tmp_path, TRANSFER_WORKERS=1))
    for name in ("one", "other"):
        async with engine:
            await engine._fleet.begin(())
            with anyio.fail_after(30):
                while engine._fleet.idlest() is None:  # noqa: ASYNC110 - see `engine_with_workers`
                    await anyio.sleep(0.005)
            await engine.copy(f"{tree}/", f"{tmp_path}/{name}/")
        assert contents(tmp_path / name) == contents(tree)


@pytest.mark.parametrize("which", [0, 1])
async def test_what_one_that_is_killed_had_is_carried_by_others(server, tree, tmp_path, which):
    go_on = anyio.Event()
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        server.lies.add("GetObject", l.hold_answer(go_on), nth=range(60, 70))
        async with anyio.create_task_group() as group:

            async def kill():
                worker = engine._fleet._workers[which]
                while not worker.busy or len(server.seen("GetObject")) < 60:  # noqa: ASYNC110
                    await anyio.sleep(0.005)
                os.kill(group_of(engine)[which], signal.SIGKILL)
                await worker.gone()
                go_on.set()

            group.start_soon(kill)
            report, said = await run(engine, f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
    assert len(report.done) == FILES
    assert contents(tmp_path / "back") == contents(tree)
    assert said == [FAILED.format("it has ended")]


async def test_one_that_hangs_is_killed_after_the_stall_timeout(
    server, tree, tmp_path, monkeypatch
):
    monkeypatch.setattr("transfer.mover.threads._JOIN", 0.2)
    impatient = settings(server, tmp_path, MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT=1)
    async with engine_with_workers(impatient) as engine:
        pids = group_of(engine)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        report, said = await run(engine, f"{tree}/", f"{tmp_path}/back/")
        await all_gone(pids)
    assert said == [
        "a worker process has failed (it does not answer): its files are moved without it"
    ]
    assert len(report.done) == FILES
    assert contents(tmp_path / "back") == contents(tree)


async def test_one_that_hangs_does_not_keep_the_engine_open(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fleet, "_LEAVE", 0.3)
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        pids = group_of(engine)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    await all_gone(pids)


async def test_cancelled_they_stop_soon_and_leave_nothing(server, tree, tmp_path):
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
        server.lies.add("GetObject", l.hang(), nth=range(90, 1000))
        with anyio.move_on_after(10) as scope:

            def stop(event):
                if isinstance(event, FileDone):
                    scope.cancel()

            began = time.monotonic()
            await engine.pull(f"s3://{BUCKET}/t/", f"{tmp_path}/back/", on_event=stop)
        assert time.monotonic() - began < 5
        assert len(group_of(engine)) == COUNT
    there, whole = contents(tmp_path / "back"), contents(tree)
    assert there
    assert all(whole[name] == data for name, data in there.items())


@pytest.mark.parametrize(
    "broken",
    [
        {"transfer.workers.starting._BEGIN": "raise SystemExit(3)"},
        {"transfer.workers.starting._BEGIN": "import sys; sys.path.clear(); import transfer"},
        {"transfer.workers.fleet.interpreter": lambda: "/nowhere/python3"},
        # Files would have other names there.
        {"sys.getfilesystemencoding": lambda: "another"},
    ],
)
async def test_without_a_beginning_a_thread_carries(server, tree, tmp_path, monkeypatch, broken):
    for name, value in broken.items():
        monkeypatch.setattr(name, value)
    asked = settings(server, tmp_path, TRANSFER_WORKERS=2)
    async with Engine(asked) as engine:
        report, _ = await run(engine, f"{tree}/", f"s3://{BUCKET}/t/")
        with anyio.fail_after(10):
            while not engine._fleet._lamented:  # noqa: ASYNC110 - it may take longer than the run
                await anyio.sleep(0.01)
    assert len(report.done) == FILES


@pytest.mark.usefixtures("by_workers_only")
async def test_a_slow_line_is_no_reason_to_give_up(server, tmp_path):
    """A file takes twice the time-out: what has arrived of it is told meanwhile."""
    root = tmp_path / "slow"
    root.mkdir()
    for number in range(8):
        (root / f"f{number}").write_bytes(os.urandom(512 * KIB))
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        await engine.push(f"{root}/", f"s3://{BUCKET}/t/")
    plan = {number: [Rate(256 * KIB, RESPONSE)] for number in range(1, 100)}
    async with ChaosProxy(server.port, plan) as proxy:
        patient = settings(
            server,
            tmp_path,
            MLFLOW_S3_ENDPOINT_URL=f"http://127.0.0.1:{proxy.port}",
            MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT=1,
        )
        async with engine_with_workers(patient) as engine:
            report, said = await run(engine, f"s3://{BUCKET}/t/", f"{tmp_path}/back/")
            assert all(worker.ready for worker in engine._fleet._workers)
    assert (len(report.done), report.retries, said) == (8, 0, [])


async def test_types_that_the_program_knows_are_known_there(server, tree, tmp_path):
    mimetypes.add_type("application/x-own", ".own")
    try:
        for number in range(20):
            (tree / f"f{number}.own").write_bytes(b"x")
        async with engine_with_workers(settings(server, tmp_path)) as engine:
            await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
    finally:
        del mimetypes.types_map[".own"]
    puts = {e.key: e.headers for e in server.seen("PutObject")}
    types = [headers.get("content-type") for key, headers in puts.items() if key.endswith(".own")]
    assert types == ["application/x-own"] * 20


class Stubborn(LocalBatcher):
    """One that cannot be sent, and one that cannot be unpacked where it arrives."""

    sends = False

    def __reduce__(self):
        if self.sends:
            return _unpack, ("a secret",)
        raise TypeError


def _unpack(secret):
    raise LookupError(secret)


@pytest.mark.parametrize("sends", [False, True])
async def test_what_they_cannot_have_is_carried_by_a_thread(
    server, tree, tmp_path, monkeypatch, sends
):
    loads = []

    def load(*args):
        loads.append(Load(*args))
        return loads[-1]

    monkeypatch.setattr("transfer.engine.batches.Load", load)
    monkeypatch.setattr("backends.local.batches.LocalBatcher", Stubborn)
    monkeypatch.setattr(Stubborn, "sends", sends)
    async with engine_with_workers(settings(server, tmp_path)) as engine:
        report, said = await run(engine, f"{tree}/", f"s3://{BUCKET}/t/")
    assert len(report.done) == FILES
    assert loads
    [notice] = said
    assert ("LookupError in " if sends else "cannot be told to it") in notice
    assert "secret" not in notice


# A fork of it, which knows of nothing, holds its ends of the lines.
PULLER = """
import os, sys, time, anyio
from tests.support.workers import engine_with_workers
from transfer.settings import Settings

async def main():
    async with engine_with_workers(Settings.load()) as engine:
        print(engine._fleet._first.pid, flush=True)
        if not os.fork():
            os.close(1)
            time.sleep(20)
            os._exit(0)
        await engine.pull(*sys.argv[1:])

anyio.run(main)
"""


async def test_when_whoever_has_begun_them_is_killed_they_clean_up_and_end(server, tree, tmp_path):
    async with Engine(settings(server, tmp_path)) as engine:
        await engine.push(f"{tree}/", f"s3://{BUCKET}/t/")
    server.lies.add("GetObject", l.hang(), nth=range(60, 1000))
    target = tmp_path / "back"
    command = [sys.executable, "-c", PULLER, f"s3://{BUCKET}/t/", f"{target}/"]
    environ = {**server.environ, "TRANSFER_STATE_DIR": str(tmp_path / "state")}
    async with await anyio.open_process(command, cwd=ROOT, env=environ) as process:
        assert process.stdout is not None
        pids = members_of(int(await process.stdout.receive()))
        assert len(pids) == COUNT
        with anyio.fail_after(10):
            while len(server.seen("GetObject")) < 60:  # noqa: ASYNC110 - nobody is told
                await anyio.sleep(0.01)
        process.kill()
        await all_gone(pids)
    there, whole = contents(target), contents(tree)
    assert all(whole[name] == data for name, data in there.items())
