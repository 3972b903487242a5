"""What the engine tells a display: counters, the files on their way, totals that stay true."""

from __future__ import annotations

import pytest

from transfer.engine import Engine, Options
from transfer.engine import run as engine_run
from transfer.engine.bus import Subscription
from transfer.engine.run import Run
from transfer.events import FileProgress, FileSkipped, Progress
from transfer.registry import locate
from transfer.settings import Settings

SETTINGS = Settings(concurrency=1, durability="none")


@pytest.fixture
def tree(tmp_path):
    for number in range(30):
        path = tmp_path / "in" / f"f{number:02}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * 1000)
    return tmp_path / "in"


async def run_of(sources, target, options=None):
    events: list[object] = []
    async with Engine(SETTINGS) as engine:
        run = Run(engine._stores, SETTINGS, options or Options(), events.append, engine._fleet)
        await run.execute([locate(str(source)) for source in sources], locate(str(target)))
    return run.progress(), events


async def test_everything_is_listed_while_files_wait(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_run, "TICK", 0.0005)
    last, events = await run_of([tree], tmp_path / "out")
    assert last == Progress(30_000, 30_000, 30, 30, listed=True)
    early = [
        event
        for event in events
        if isinstance(event, Progress) and event.listed and event.files < 20
    ]
    assert early, "the total is known before the files have moved"
    assert all(event.total == 30_000 for event in early)


async def test_files_on_their_way_are_told_in_order(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_run, "TICK", 0.0005)
    _, events = await run_of([tree], tmp_path / "out")
    told = [event.running for event in events if isinstance(event, Progress) and event.running]
    assert told
    for running in told:
        targets = [file.target for file in running]
        assert targets == sorted(targets)
        assert all(type(file) is FileProgress for file in running)
        assert all(0 <= file.moved <= file.size == 1000 for file in running)


async def test_what_failed_is_not_left_to_be_moved(tree, tmp_path):
    (tmp_path / "out" / "in").mkdir(parents=True)
    for name in ("f03", "f04"):
        (tmp_path / "out" / "in" / name).write_bytes(b"there")
    last, _ = await run_of([tree, tmp_path / "none"], tmp_path / "out", Options(no_clobber=True))
    assert last == Progress(28_000, 28_000, 31, 31, listed=True)


def test_a_listener_takes_all_that_waits_at_once():
    subscription = Subscription()
    events = [FileSkipped("a", "b", number, "there") for number in range(3)]
    for event in events:
        subscription.put(event)
    assert subscription.waiting() == events
    assert subscription.waiting() == []
