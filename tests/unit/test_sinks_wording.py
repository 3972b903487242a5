from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer.events import (
    FileDone,
    FileFailed,
    FileSkipped,
    FileStarted,
    Interrupted,
    PartRaised,
    Progress,
    Retrying,
    RunDone,
)
from transfer.model import Verified
from transfer.sinks import Ending
from transfer.sinks.escaping import error_line, visible
from transfer.sinks.overview import Overview
from transfer.sinks.wording import (
    MOST_ERRORS,
    NORMAL,
    QUIET,
    VERBOSE,
    brief_size,
    count,
    ending_lines,
    event_line,
    progress_pieces,
    proof,
    summary_lines,
    time_left,
)

MIB = 1024**2
GIB = 1024**3

FAILED = FileFailed("/a/x", "s3://b/x", "access", "PUT s3://b/x: not allowed")
DONE = FileDone("/a/x", "s3://b/x", 16 * MIB, 2, 1.0, Verified.CONTENT)
SKIPPED = FileSkipped("/a/x", "s3://b/x", 5, "it is there")
RETRY = Retrying("s3://b/x", "part 3", 1, 2.0, "connection reset")
RAISED = PartRaised("s3://b/x", 5 * MIB, 12 * MIB)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain modèle 模型", "plain modèle 模型"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("two\nlines\r\t", "two\\nlines\\r\\t"),
        ("d\u202egnp.exe", "d\\u202egnp.exe"),
        ("no utf-8 \udcff", "no utf-8 \\udcff"),
        ("c1 \x9b", "c1 \\x9b"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
        # Joiners belong to names in many scripts.
        ("क्\u200dष", "क्\u200dष"),
    ],
)
def test_what_controls_a_terminal_is_shown_as_an_escape(text, shown):
    assert visible(text) == shown


@given(st.text(st.characters()))
def test_no_text_controls_a_terminal(text):
    shown = visible(text)
    assert not any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (-5, "0 B"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (100 * 1024, "100 KiB"),
        (98.1 * MIB, "98.1 MiB"),
        (1.2 * GIB, "1.20 GiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes_have_three_digits(size, shown):
    assert brief_size(size) == shown


@given(st.floats(0, 999 * 1024**4))
def test_sizes_keep_their_width(size):
    number, unit = brief_size(size).split()
    assert len(number) <= 4
    assert unit in {"B", "KiB", "MiB", "GiB", "TiB"}


def test_plurals():
    assert [count(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert count(2, "retry", "retries") == "2 retries"


def test_time_left_has_no_tenths():
    assert [time_left(s) for s in (None, 0, 0.4, 4.4, 28, 200, 7200)] == [
        "",
        "1 s left",
        "1 s left",
        "4 s left",
        "28 s left",
        "3 min 20 s left",
        "2 h 0 min left",
    ]


def test_a_line_of_progress():
    overview = Overview(0.0)
    overview.take(RETRY, 5.0)
    overview.take(RETRY, 6.0)
    overview.take(Progress(int(1.2 * GIB), 4 * GIB, 3, 10, listed=True), 12.5)
    assert ", ".join(progress_pieces(overview)) == (
        "1.20 GiB of 4.00 GiB, 98.3 MiB/s, 29 s left, 3 of 10 files, 2 retries"
    )


def test_while_sources_are_listed_no_total_is_final():
    overview = Overview(0.0)
    overview.take(FAILED, 1.0)
    overview.take(Progress(MIB, 2 * MIB, 1, 10, listed=False), 1.0)
    assert progress_pieces(overview) == [
        "1.00 MiB of 2.00 MiB+",
        "1.00 MiB/s",
        "1 of 10+ files",
        "1 failed",
    ]


@pytest.mark.parametrize("detail", [QUIET, NORMAL, VERBOSE])
def test_errors_are_always_told(detail):
    assert event_line(FAILED, detail) == "transfer: error: PUT s3://b/x: not allowed"
    assert event_line(Interrupted("SIGINT"), detail)


def test_an_error_names_its_file():
    anonymous = FileFailed("/a/x", "s3://b/x", "stalled", "no byte for 60 s")
    assert event_line(anonymous, NORMAL) == "transfer: error: /a/x: no byte for 60 s"


def test_interruption_is_not_told_once_per_file():
    assert event_line(FileFailed("/a/x", "/b/x", "interrupted", "interrupted"), VERBOSE) is None


def test_a_flood_of_errors_is_cut():
    lines = [event_line(FAILED, NORMAL, failed) for failed in range(1, 100)]
    told = [line for line in lines if line]
    assert len(told) == MOST_ERRORS + 1
    assert told[-1] == "transfer: further errors are only counted; -v shows them all"
    assert all(event_line(FAILED, VERBOSE, failed) for failed in range(1, 100))


@pytest.mark.parametrize(
    ("event", "least", "line"),
    [
        (
            RAISED,
            NORMAL,
            "transfer: warning: s3://b/x: parts of 5 MiB would be too many, taking 12 MiB",
        ),
        (DONE, VERBOSE, "/a/x -> s3://b/x (16.0 MiB, 2 parts, content verified)"),
        (SKIPPED, VERBOSE, "skipped /a/x: it is there"),
        (
            RETRY,
            VERBOSE,
            "s3://b/x: part 3 failed, next attempt in 2.0 s: connection reset",
        ),
    ],
)
def test_the_rest_is_told_to_those_who_asked(event, least, line):
    for detail in (QUIET, NORMAL, VERBOSE):
        assert event_line(event, detail) == (line if detail >= least else None)


def test_beginnings_and_counters_are_no_lines():
    assert event_line(FileStarted("/a", "/b", 1, 1), VERBOSE) is None
    assert event_line(Progress(0, 0, 0, 0, listed=True), VERBOSE) is None
    assert event_line(RunDone(1, 0, 0, 1, 1, 0, 1.0), VERBOSE) is None


def test_nothing_said_is_ever_raw():
    evil = "x\x1b]0;owned\x07\n"
    events = [
        FileFailed(evil, evil, "store", evil),
        FileDone(evil, evil, 1, 0, 1.0, Verified.SIZE),
        FileSkipped(evil, evil, 1, evil),
        Retrying(evil, evil, 1, 1.0, evil),
        PartRaised(evil, 1, 2),
    ]
    for line in [*(event_line(event, VERBOSE) for event in events), error_line(evil)]:
        assert line is not None
        assert "\x1b" not in line
        assert "\n" not in line


def test_a_summary():
    summary = RunDone(10, 2, 1, 4 * GIB, 64, 2, 40.96)
    (line,) = summary_lines(summary, {Verified.CONTENT: 10})
    assert line == (
        "10 files copied, 2 skipped, 1 failed: 4.00 GiB in 41 s (100 MiB/s), 64 parts, 2 retries,"
        " content verified"
    )


def test_a_summary_of_one_file():
    summary = RunDone(1, 0, 0, MIB, 0, 0, 0.5)
    assert summary_lines(summary, {Verified.SIZE: 1}) == [
        "1 file copied: 1.00 MiB in 0.5 s (2.00 MiB/s), only the size compared"
    ]


def test_a_summary_of_nothing():
    assert summary_lines(RunDone(0, 0, 0, 0, 0, 0, 0.0), {}) == ["nothing to copy"]
    assert summary_lines(RunDone(0, 3, 0, 0, 0, 0, 0.0), {}) == ["nothing copied, 3 skipped"]
    failed = RunDone(0, 0, 2, 0, 0, 8, 0.0)
    assert summary_lines(failed, {}) == ["nothing copied, 2 failed, 8 retries"]


def test_one_file_that_failed_has_said_all_there_is():
    assert summary_lines(RunDone(0, 0, 1, 0, 0, 8, 0.0), {}) == []


def test_verified_is_not_said_of_a_size():
    assert "verified" not in proof({Verified.SIZE: 3})
    assert proof({Verified.PARTS: 3, Verified.SIZE: 0}) == "every part verified"
    assert proof({Verified.CONTENT: 9, Verified.SIZE: 1}) == (
        "content verified of 9 files, only the size compared of 1 file"
    )


def ended(ending, summary=None, detail=NORMAL):
    overview = Overview(0.0)
    if summary is not None:
        overview.take(summary, 1.0)
    return ending_lines(overview, ending, detail)


def test_last_lines():
    two = RunDone(2, 0, 0, 2 * MIB, 0, 0, 1.0)
    assert ended(Ending(2, "no such\nthing")) == ["transfer: error: no such\\nthing"]
    assert len(ended(Ending(0), two)) == 1
    assert ended(Ending(0), two, QUIET) == []


def test_an_interrupted_run_says_what_it_leaves():
    assert ended(Ending(130, interrupted=True)) == ["transfer: interrupted, nothing copied"]
    two = RunDone(2, 0, 3, 2 * MIB, 0, 0, 1.0)
    (line,) = ended(Ending(130, interrupted=True), two, QUIET)
    assert line == "transfer: interrupted, 2 files copied (2.00 MiB)"
    again = Ending(130, interrupted=True, resume="transfer push --skip-existing a b")
    assert ended(again, two, QUIET) == [f"{line}; to go on:", "transfer push --skip-existing a b"]
