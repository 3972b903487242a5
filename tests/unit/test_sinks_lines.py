from __future__ import annotations

import pytest

from transfer.events import FileDone, FileFailed, FileSkipped, Interrupted, Progress, RunDone
from transfer.model import Verified
from transfer.sinks import Ending
from transfer.sinks.lines import DryRun, Lines
from transfer.sinks.wording import NORMAL, QUIET, VERBOSE

FAILED = FileFailed("/a", "/b", "store", "/a: refused")
DONE = FileDone("/a", "/b", 10, 0, 1.0, Verified.CONTENT)
SUMMARY = RunDone(1, 0, 1, 10, 0, 0, 95.0)


class Log:
    """Lines that were said, with a clock that is set by hand."""

    def __init__(self, detail=NORMAL) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.sink = Lines(self.lines.append, lambda: self.now, detail)

    def at(self, second, *events: object):
        self.now = 100.0 + second
        for event in events:
            self.sink(event)


def progress(moved):
    return Progress(moved, 500, 0, 1, listed=True)


def test_a_line_every_half_minute():
    log = Log()
    for tick in range(475):
        log.at(tick * 0.2, progress(tick))
    assert len(log.lines) == 3
    assert log.lines[0] == "150 B of 500 B, 5 B/s, 1 min 10 s left, 0 of 1 file"


def test_a_short_run_says_its_sum_only():
    log = Log()
    log.at(0.2, progress(10), DONE, SUMMARY)
    log.sink.close(Ending(1))
    assert log.lines == [
        "1 file copied, 1 failed: 10 B in 1 min 35 s (0 B/s), content verified",
    ]


def test_quiet_says_errors_only():
    log = Log(QUIET)
    log.at(40, progress(10), DONE, FAILED, SUMMARY)
    log.sink.close(Ending(1))
    assert log.lines == ["transfer: error: /a: refused"]


def test_verbose_names_files():
    log = Log(VERBOSE)
    log.at(1, DONE)
    assert log.lines == ["/a -> /b (10 B, content verified)"]


def test_no_line_moves_the_cursor():
    log = Log(VERBOSE)
    log.at(40, progress(5), DONE, FAILED, Interrupted("SIGINT"), SUMMARY)
    log.sink.close(Ending(130, interrupted=True))
    assert log.lines
    assert all(line.isprintable() for line in log.lines)


@pytest.fixture
def dry():
    said, listed = [], []
    return DryRun(said.append, listed.append), said, listed


def test_a_dry_run_lists_what_it_would_copy(dry):
    sink, said, listed = dry
    for name in ("x", "y\n"):
        sink(FileSkipped(f"/a/{name}", f"s3://b/{name}", 1024, "dry run"))
    sink(FAILED)
    sink.close(Ending(1))
    assert listed == ["/a/x -> s3://b/x (1.00 KiB)", "/a/y\\n -> s3://b/y\\n (1.00 KiB)"]
    assert said == [
        "transfer: error: /a: refused",
        "dry run: 2 files, 2.00 KiB would be copied",
    ]


def test_a_quiet_dry_run_is_its_list():
    said: list[str] = []
    listed: list[str] = []
    sink = DryRun(said.append, listed.append, QUIET)
    sink(FileSkipped("/a", "/b", 1, "dry run"))
    sink.close(Ending(0))
    assert (said, len(listed)) == ([], 1)


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        (Ending(2, "no such scheme"), "transfer: error: no such scheme"),
        (Ending(130, interrupted=True), "transfer: interrupted, nothing copied"),
    ],
)
def test_a_dry_run_that_came_to_nothing(dry, ending, line):
    sink, said, _ = dry
    sink.close(ending)
    assert said == [line]
