"""What people read of a run: every line of it, made by pure functions.

Each is one line, in which names and errors have been made harmless. "Verified"
is said only where a digest was compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.events import (
    FileDone,
    FileFailed,
    FileSkipped,
    Interrupted,
    PartRaised,
    Retrying,
)
from transfer.model import Verified
from transfer.sinks.escaping import error_line, visible
from transfer.sizes import format_seconds, format_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.events import Event, RunDone
    from transfer.sinks import Ending
    from transfer.sinks.overview import Overview

# How much is said: errors only; what matters; every file and every retry.
QUIET, NORMAL, VERBOSE = -1, 0, 1

# A store that is gone fails every file of a tree: so many are told one by one.
MOST_ERRORS = 20

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_PROOF = {
    Verified.CONTENT: "content verified",
    Verified.PARTS: "every part verified",
    Verified.SIZE: "only the size compared",
}


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 file", "2 files"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def brief_size(size: float) -> str:
    """Return bytes with three digits, so that a changing number keeps its place."""
    value, unit = max(0.0, size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    whole = unit == 0 or value >= 99.95
    digits = 0 if whole else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f} {_UNITS[unit]}"


def time_left(seconds: float | None) -> str:
    """Return "28 s left", or "" if nobody knows."""
    if seconds is None:
        return ""
    # Tenths would only flicker.
    whole = max(1, round(seconds))
    return f"{whole} s left" if whole < 10 else f"{format_seconds(whole)} left"


def progress_pieces(overview: Overview) -> list[str]:
    """Return bytes, speed, time left, files and retries; "+" where sources are still listed."""
    progress = overview.progress
    more = "" if progress.listed else "+"
    noun = "file" if progress.files_total == 1 and progress.listed else "files"
    pieces = [
        f"{brief_size(progress.moved)} of {brief_size(progress.total)}{more}",
        f"{brief_size(overview.rate)}/s",
        time_left(overview.seconds_left),
        f"{progress.files} of {progress.files_total}{more} {noun}",
        count(overview.retries, "retry", "retries") if overview.retries else "",
        f"{overview.failed} failed" if overview.failed else "",
    ]
    return [piece for piece in pieces if piece]


def event_line(event: Event, detail: int, failed: int = 0) -> str | None:
    """Return what is to be said of an event as it happens, None for nothing.

    `failed` counts the files that have failed so far, this one included.
    """
    match event:
        case FileFailed():
            return _failure(event, failed if detail < VERBOSE else 0)
        case Interrupted():
            return "transfer: interrupted, winding up; once more exits at once"
        case PartRaised() if detail >= NORMAL:
            return visible(
                f"transfer: warning: {event.target}: parts of {format_size(event.asked)} would be"
                f" too many, taking {format_size(event.used)}"
            )
        case FileDone() if detail >= VERBOSE:
            return visible(f"{event.source} -> {event.target} ({_facts(event)})")
        case FileSkipped() if detail >= VERBOSE:
            return visible(f"skipped {event.source}: {event.reason}")
        case Retrying() if detail >= VERBOSE:
            return visible(retry_text(event))
        case _:
            return None


def retry_text(event: Retrying) -> str:
    """Return which attempt failed, why, and when the next is due."""
    return f"{event.target}: {event.operation} failed, next attempt {due(event)}: {event.error}"


def due(event: Retrying) -> str:
    """Return when the next attempt begins."""
    return f"in {format_seconds(event.delay)}" if event.delay >= 0.1 else "now"


def ending_lines(overview: Overview, ending: Ending, detail: int) -> list[str]:
    """Return the last lines: what went wrong with the run as a whole, and its sum."""
    lines = [error_line(ending.error)] if ending.error else []
    summary = overview.summary
    if ending.interrupted:
        lines.append(interrupted_line(summary))
    elif summary is not None and detail >= NORMAL and ending.error is None:
        lines += summary_lines(summary, overview.verified)
    return lines


def summary_lines(summary: RunDone, verified: Mapping[Verified, int]) -> list[str]:
    """Return what a run came to; of a single file that failed, its error has told all."""
    files = summary.done + summary.skipped + summary.failed
    if files == summary.failed == 1:
        return []
    if not files:
        return ["nothing to copy"]
    counts = [
        f"{count(summary.done, 'file')} copied" if summary.done else "nothing copied",
        f"{summary.skipped} skipped" if summary.skipped else "",
        f"{summary.failed} failed" if summary.failed else "",
    ]
    head = ", ".join(piece for piece in counts if piece)
    if not summary.done:
        return [f"{head}, {_retries(summary)}" if summary.retries else head]
    speed = brief_size(summary.moved / max(summary.elapsed, 1e-3))
    facts = [
        f"{brief_size(summary.moved)} in {format_seconds(summary.elapsed)} ({speed}/s)",
        count(summary.parts, "part") if summary.parts else "",
        _retries(summary),
        proof(verified),
    ]
    return [f"{head}: " + ", ".join(piece for piece in facts if piece)]


def interrupted_line(summary: RunDone | None) -> str:
    """Return what an interrupted run leaves behind, and how to go on."""
    if summary is None or not summary.done:
        return "transfer: interrupted, nothing copied"
    return (
        f"transfer: interrupted, {count(summary.done, 'file')} copied"
        f" ({brief_size(summary.moved)}); --skip-existing leaves out what has arrived"
    )


def proof(verified: Mapping[Verified, int]) -> str:
    """Return how much is proved, file by file where that differs."""
    levels = [level for level in Verified if verified.get(level)]
    if len(levels) == 1:
        return _PROOF[levels[0]]
    return ", ".join(f"{_PROOF[level]} of {count(verified[level], 'file')}" for level in levels)


def _failure(event: FileFailed, failed: int) -> str | None:
    """Say which file an error is of, unless it says so; interruption is told only once."""
    if event.code == "interrupted" or failed > MOST_ERRORS + 1:
        return None
    if failed > MOST_ERRORS:
        return "transfer: further errors are only counted; -v shows them all"
    named = event.source in event.error or event.target in event.error
    return error_line(event.error if named else f"{event.source}: {event.error}")


def _facts(event: FileDone) -> str:
    parts = f", {count(event.parts, 'part')}" if event.parts else ""
    return f"{brief_size(event.size)}{parts}, {_PROOF[event.verified]}"


def _retries(summary: RunDone) -> str:
    return count(summary.retries, "retry", "retries") if summary.retries else ""
