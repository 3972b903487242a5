from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from transfer.events import (
    FileDone,
    FileFailed,
    FileProgress,
    Interrupted,
    Progress,
    Retrying,
    RunDone,
)
from transfer.model import Verified
from transfer.sinks import Ending
from transfer.sinks.overview import Overview
from transfer.sinks.terminal import FRESH, MOST_ROWS, Terminal, bar, frame, last_cells, unwrap

MIB = 1024**2


def overview_of(*running: FileProgress, moved=0, total=100 * MIB, retry=None):
    overview = Overview(0.0)
    if retry:
        overview.take(retry, 1.0)
    overview.take(Progress(moved, total, 0, len(running), listed=True, running=running), 1.0)
    return overview


def plain(lines):
    return [line.plain.rstrip() for line in lines]


def test_a_frame():
    overview = overview_of(
        FileProgress("s3://b/one", 20 * MIB, 40 * MIB),
        FileProgress("s3://b/two", 5 * MIB, 60 * MIB),
        moved=25 * MIB,
    )
    assert plain(frame(overview, 1.0, 85, 24)) == [
        "s3://b/one                ━━━━━━━━━━━━────────────  20.0 MiB of 40.0 MiB   20.0 MiB/s",
        "s3://b/two                ━━──────────────────────  5.00 MiB of 60.0 MiB   5.00 MiB/s",
        "━━━━━━──────────────────  25.0 MiB of 100 MiB, 25.0 MiB/s, 3 s left, 0 of 2 files",
    ]


def test_files_that_wait_are_a_number():
    waiting = [FileProgress(f"f{n}", 0, 10) for n in range(7)]
    lines = plain(frame(overview_of(FileProgress("moves", 1, 10), *waiting), 1.0, 99, 24))
    assert len(lines) == 3
    assert lines[1] == "and 7 more"


def test_the_first_file_shows_before_its_first_byte():
    lines = plain(frame(overview_of(FileProgress("first", 0, 10)), 1.0, 99, 24))
    assert lines[0].startswith("first")


@pytest.mark.parametrize(("height", "rows"), [(50, MOST_ROWS), (10, 6), (3, 1), (1, 1)])
def test_there_are_never_more_rows_than_room(height, rows):
    running = [FileProgress(f"f{n}", 1, 10) for n in range(40)]
    lines = plain(frame(overview_of(*running), 1.0, 99, height))
    assert lines[rows] == f"and {40 - rows} more"
    assert len(lines) == rows + 2


def test_a_retry_is_shown_while_it_is_news():
    retry = Retrying("s3://b/one", "put", 1, 2.0, "PUT http://host/b/one: connection refused")
    overview = overview_of(FileProgress("s3://b/one", 0, 10), retry=retry)
    assert plain(frame(overview, 1.0 + FRESH / 2, 60, 24))[1] == (
        "next attempt in 2.0 s: ...p://host/b/one: connection refused"
    )
    assert not any("attempt" in line for line in plain(frame(overview, 1.0 + FRESH, 60, 24)))


def test_a_narrow_terminal_has_names_rather_than_bars():
    overview = overview_of(FileProgress("some/name", 1, 10))
    assert plain(frame(overview, 1.0, 50, 24)) == [
        "some/name             1 B of     10 B        1 B/s",
        "0 B of 100 MiB, 0 B/s, 0 of 1 file",
    ]


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(
    st.lists(st.tuples(names, st.integers(0, 10**15)), max_size=30),
    st.integers(1, 200),
    st.integers(1, 100),
    st.booleans(),
)
def test_a_frame_is_never_wider_than_the_terminal(files, width, height, ascii_only):
    running = [FileProgress(name, moved, 10**15) for name, moved in files]
    retry = Retrying("t", "put", 1, 2.0, "x" * 300)
    lines = frame(overview_of(*running, retry=retry), 1.0, width, height, ascii_only=ascii_only)
    assert all(line.cell_len <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)
    if ascii_only:
        assert not any(char in "━─…" for line in lines[-1:] for char in line.plain)


def test_markup_in_a_name_is_a_name():
    lines = plain(frame(overview_of(FileProgress("[red]x[/red]\x1b", 1, 10)), 1.0, 99, 24))
    assert lines[0].startswith("[red]x[/red]\\x1b ")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 10, "────"), (5, 10, "━━──"), (10, 10, "━━━━"), (20, 10, "━━━━"), (0, 0, "────")],
)
def test_a_bar(part, whole, text):
    assert bar(part, whole, 4).plain == text


def test_a_bar_of_ascii():
    assert bar(1, 2, 4, ascii_only=True).plain == "##--"


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("short", 8, "short   "),
        ("s3://bucket/model.bin", 12, "...model.bin"),
        ("模型模型模型", 7, "...模型"),
        ("模型模型模型", 8, "...模型 "),
    ],
)
def test_a_long_name_keeps_its_end(text, width, shown):
    assert last_cells(text, width) == shown
    assert cell_len(shown) == width


def test_what_a_narrower_terminal_wrapped_is_erased_too():
    drawn = [Text("x" * 99), Text("x" * 40), Text("")]
    assert str(unwrap(drawn, 100)) == ""
    assert str(unwrap(drawn, 50)) == "\x1b[2K\x1b[1A"
    assert str(unwrap(drawn, 40)) == "\x1b[2K\x1b[1A" * 2


class Screen:
    """A terminal in memory, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.file = io.StringIO()
        console = Console(
            file=self.file,
            force_terminal=True,
            width=100,
            height=20,
            highlight=False,
            markup=False,
            emoji=False,
            color_system=None,
            legacy_windows=False,
        )
        self.sink = Terminal(console, lambda: self.now)

    def take(self):
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text


def test_a_run_on_a_terminal():
    screen = Screen()
    running = (FileProgress("s3://b/x", 10, 20),)
    screen.now = 0.2
    screen.sink(Progress(10, 20, 0, 1, listed=True, running=running))
    drawn = screen.take()
    assert "s3://b/x" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor stays visible"
    screen.sink(FileFailed("/a/[b]y", "s3://b/y", "store", "/a/[b]y: \x1b[31mrefused"))
    said = screen.take()
    assert "transfer: error: /a/[b]y: \\x1b[31mrefused" in said
    screen.sink(FileDone("/a/x", "s3://b/x", 20, 0, 1.0, Verified.CONTENT))
    screen.sink(RunDone(1, 0, 1, 20, 0, 0, 1.0))
    screen.sink.close(Ending(1))
    last = screen.take()
    assert last.endswith("1 file copied, 1 failed: 20 B in 1.0 s (20 B/s), content verified\n")
    assert "\x1b[1A" in last, "the display is gone"


def test_an_interrupted_run_draws_no_more():
    screen = Screen()
    screen.sink(Progress(10, 20, 0, 1, listed=True))
    screen.sink(Interrupted("SIGINT"))
    assert screen.take().endswith("transfer: interrupted, winding up; once more exits at once\n")
    screen.sink(Progress(10, 20, 0, 1, listed=True))
    assert screen.take() == ""
    screen.sink.close(Ending(130, interrupted=True))
    assert screen.take() == "transfer: interrupted, nothing copied\n"


def test_a_run_that_fails_at_once_draws_nothing():
    screen = Screen()
    screen.sink.close(Ending(2, "unknown scheme"))
    assert screen.take() == "transfer: error: unknown scheme\n"
