from __future__ import annotations

import json

import pytest

from transfer.events import (
    FileDone,
    FileFailed,
    FileProgress,
    Interrupted,
    Progress,
    RunDone,
    to_dict,
)
from transfer.model import Verified
from transfer.sinks import Ending
from transfer.sinks.jsonlines import JsonLines

FAILED = FileFailed("/a", "/b", "store", "refused")


class Output:
    """Objects that were written, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.sink = JsonLines(self.lines.append, lambda: self.now)

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def output():
    return Output()


def test_every_event_is_an_object(output):
    done = FileDone("/a\n\x1b", "/b \udcff", 10, 2, 1.5, Verified.PARTS, "crc32c:AAAAAA==")
    output.sink(done)
    output.sink(Interrupted("SIGTERM"))
    assert output.objects == [to_dict(done), {"event": "interrupted", "signal": "SIGTERM"}]
    assert all(line.isascii() and "\n" not in line for line in output.lines)


def test_progress_comes_once_a_second(output):
    for tick in range(51):
        output.now = tick * 0.2
        output.sink(Progress(tick, 100, 0, 1, listed=True, running=(FileProgress("/b", tick, 50),)))
    assert len(output.lines) == 10
    assert output.objects[0] == {
        "event": "progress",
        "moved": 5,
        "total": 100,
        "files": 0,
        "files_total": 1,
        "listed": True,
        "running": [{"target": "/b", "moved": 5, "size": 50}],
    }


def test_the_summary_is_last_and_knows_all(output):
    output.sink(FAILED)
    output.sink(RunDone(3, 1, 1, 30, 4, 2, 1.5, 1, 20))
    assert len(output.lines) == 1
    output.sink.close(Ending(1, resume="transfer push /a /b"))
    assert output.objects[-1] == {
        "event": "summary",
        "done": 3,
        "skipped": 1,
        "failed": 1,
        "moved": 30,
        "parts": 4,
        "retries": 2,
        "elapsed": 1.5,
        "kept": 1,
        "kept_bytes": 20,
        "exit_code": 1,
        "interrupted": False,
        "error": None,
        "resume": "transfer push /a /b",
        "failures": [{"source": "/a", "target": "/b", "code": "store", "error": "refused"}],
    }


def test_a_run_that_never_began_has_a_summary(output):
    output.sink.close(Ending(2, "unknown scheme"))
    summary = output.objects[-1]
    assert (summary["event"], summary["exit_code"], summary["error"], summary["done"]) == (
        "summary",
        2,
        "unknown scheme",
        0,
    )
