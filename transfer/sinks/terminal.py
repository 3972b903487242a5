"""A live display at the bottom of a terminal; what is said scrolls by above it.

A frame is a pure function of the overview and of the size of the terminal: as
many files as there is room for, then the whole. It is drawn when the engine
publishes its counters and never in between, in one write, so it does not
flicker; and it is gone when the run ends, which leaves the lines that matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from transfer.events import Interrupted, Progress
from transfer.sinks.escaping import visible
from transfer.sinks.overview import Overview
from transfer.sinks.wording import (
    NORMAL,
    brief_size,
    due,
    ending_lines,
    event_line,
    progress_pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from transfer.events import Event, FileProgress, Retrying
    from transfer.sinks import Ending

MOST_ROWS = 12
# Lines of a frame that are not files, and one for the cursor.
OTHER_LINES = 4
BAR = 24
# Below this width there is no room for bars.
NARROW = 80
# Seconds for which a retry is worth a line.
FRESH = 5.0


class Terminal:
    """Shows a run on a terminal."""

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float],
        detail: int = NORMAL,
        *,
        comparing: bool = False,
    ) -> None:
        self._console = console
        self._clock = clock
        self._detail = detail
        self._overview = Overview(clock(), comparing=comparing)
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._drawn: list[Text] = []
        self._ended = False

    def __call__(self, event: Event) -> None:
        """Take an event in; progress is drawn, what is to be said goes above it."""
        now = self._clock()
        self._overview.take(event, now)
        if isinstance(event, Interrupted):
            self._stop()
        overview = self._overview
        line = event_line(event, self._detail, overview.failed, comparing=overview.comparing)
        if line is not None:
            self._say(line)
        if isinstance(event, Progress) and not self._ended:
            self._draw(now)

    def close(self, ending: Ending) -> None:
        """Remove the display and say how it ended."""
        self._stop()
        for line in ending_lines(self._overview, ending, self._detail):
            self._say(line)

    def _draw(self, now: float) -> None:
        width, height = self._console.size
        if not self._live.is_started:
            self._live.start()
            # Or it would be gone for whoever stops or kills the process.
            self._console.show_cursor(show=True)
        self._console.control(unwrap(self._drawn, width))
        ascii_only = not self._console.encoding.startswith("utf")
        # The last column stays free: some terminals wrap when it is written to.
        self._drawn = frame(self._overview, now, width - 1, height, ascii_only=ascii_only)
        self._live.update(Text("\n").join(self._drawn), refresh=True)

    def _stop(self) -> None:
        """Leave the terminal as it was found, cursor included."""
        self._ended = True
        self._live.stop()

    def _say(self, line: str) -> None:
        style = "red" if line.startswith("transfer: error") else ""
        self._console.print(Text(line, style=style), soft_wrap=True)


def frame(
    overview: Overview, now: float, width: int, height: int, *, ascii_only: bool = False
) -> list[Text]:
    """Return the lines of the display, none wider than `width` cells."""
    running = overview.progress.running
    room = max(1, min(MOST_ROWS, height - OTHER_LINES))
    # A file that waits for its turn is worth a number, not a row.
    shown = ([file for file in running if file.moved] or list(running[:1]))[:room]
    lines = [_file_line(file, overview, width, ascii_only=ascii_only) for file in shown]
    if len(running) > len(shown):
        lines.append(Text(f"and {len(running) - len(shown)} more"[:width], "dim"))
    if overview.last_retry is not None and now - overview.last_retry[0] < FRESH:
        lines.append(_retry_line(overview.last_retry[1], width))
    lines.append(_total_line(overview, width, ascii_only=ascii_only))
    return lines


def unwrap(drawn: Sequence[Text], width: int) -> Control:
    """Return how to erase what a terminal made narrower has wrapped of a frame.

    `Live` goes up by the lines that it has drawn, and would leave the rest.
    """
    extra = sum(max(0, line.cell_len - 1) // width for line in drawn)
    return Control(*[(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)] * extra)


def bar(part: float, whole: float, width: int, *, ascii_only: bool = False) -> Text:
    """Return a bar that also reads without colours."""
    share = min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
    filled = int(share * width)
    done, rest = "#-" if ascii_only else "━─"
    return Text.assemble((done * filled, "cyan"), (rest * (width - filled), "dim"))


def last_cells(text: str, width: int) -> str:
    """Return the end of `text`, which tells more of a path, in exactly `width` cells."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    kept = chop_cells(text[::-1], max(1, width - 3))[0][::-1]
    return set_cell_size(f"...{kept}", width)


def _file_line(file: FileProgress, overview: Overview, width: int, *, ascii_only: bool) -> Text:
    rate = overview.rate_of(file.target)
    numbers = (
        f"{brief_size(file.moved):>9} of {brief_size(file.size):>8}  {brief_size(rate) + '/s':>11}"
    )
    barred = width >= NARROW - 1
    name_width = max(4, width - len(numbers) - 1 - (BAR + 2 if barred else 0))
    line = Text(last_cells(visible(file.target), name_width))
    if barred:
        line.append("  ").append_text(bar(file.moved, file.size, BAR, ascii_only=ascii_only))
    line.append(f" {numbers}")
    return _cut(line, width)


def _retry_line(event: Retrying, width: int) -> Text:
    """The end of an error is what went wrong; its beginning is where."""
    lead = f"next attempt {due(event)}: "
    text = lead + last_cells(visible(event.error), max(4, width - len(lead)))
    return _cut(Text(text.rstrip(), "yellow"), width)


def _total_line(overview: Overview, width: int, *, ascii_only: bool) -> Text:
    progress = overview.progress
    text = ", ".join(progress_pieces(overview))
    line = Text()
    if cell_len(text) + BAR + 2 <= width:
        line.append_text(bar(progress.moved, progress.total, BAR, ascii_only=ascii_only))
        line.append("  ")
    line.append(text, "bold")
    return _cut(line, width)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width)
    return line
