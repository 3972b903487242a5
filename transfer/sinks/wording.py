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
    Notice,
    PartRaised,
    Resumed,
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


def share(part: float, whole: float) -> str:
    """Return "412 of 512 MiB": the unit once, if it is the same."""
    one, other = brief_size(part).split(), brief_size(whole).split()
    return " ".join([*(one[:1] if one[1] == other[1] else one), "of", *other])


def whole_seconds(seconds: float) -> str:
    """Return a duration without tenths, which would only flicker."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 10 else format_seconds(whole)


def time_left(seconds: float | None) -> str:
    """Return "28 s left", or "" if nobody knows."""
    if seconds is None:
        return ""
    return f"{whole_seconds(max(1.0, seconds))} left"


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


def event_line(
    event: Event, detail: int, failed: int = 0, *, comparing: bool = False
) -> str | None:
    """Return what is to be said of an event as it happens, None for nothing.

    `failed` counts the files that have failed so far, this one included.
    """
    if isinstance(event, FileFailed):
        return _failure(event, failed if detail < VERBOSE else 0)
    if isinstance(event, Interrupted):
        return "transfer: interrupted, winding up; once more exits at once"
    line = _news(event) if detail >= NORMAL else None
    if line is None and detail >= VERBOSE:
        line = _detail(event, comparing=comparing)
    return None if line is None else visible(line)


def _news(event: Event) -> str | None:
    """What matters to everybody."""
    match event:
        case PartRaised():
            return (
                f"transfer: warning: {event.target}: parts of {format_size(event.asked)} would be"
                f" too many, taking {format_size(event.used)}"
            )
        case Notice():
            return f"transfer: warning: {event.message}"
        case Resumed() if event.size:
            return f"going on with {event.target}: {share(event.size, event.total)} are there"
        case _:
            return None


def _detail(event: Event, *, comparing: bool) -> str | None:
    """What is for those who want to hear of every file."""
    match event:
        case FileDone():
            return f"{event.source} -> {event.target} ({_facts(event)})"
        case FileSkipped() if comparing:
            return f"{event.target} is the same as {event.source}"
        case FileSkipped():
            return f"skipped {event.source}: {event.reason}"
        case Retrying():
            return retry_text(event)
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
        lines.append(interrupted_line(summary, comparing=overview.comparing))
    elif summary is not None and detail >= NORMAL and ending.error is None:
        lines += (
            comparison_lines(summary, overview.failures)
            if overview.comparing
            else summary_lines(summary, overview.verified, overview.there)
        )
    if ending.resume is None:
        return lines
    # The command has a line of its own, the last, to be copied as it is.
    if ending.interrupted:
        return [*lines[:-1], f"{lines[-1]}; to go on:", ending.resume]
    return [*lines, f"transfer: {_kept(summary)}; to go on:", ending.resume]


def summary_lines(summary: RunDone, verified: Mapping[Verified, int], there: int = 0) -> list[str]:
    """Return what a run came to; of a single file that failed, its error has told all.

    `there` bytes had been moved by a former run, and say nothing of the speed.
    """
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
    speed = brief_size((summary.moved - there) / max(summary.elapsed, 1e-3))
    before = f" ({brief_size(there)} were there)" if there else ""
    facts = [
        f"{brief_size(summary.moved)}{before} in {format_seconds(summary.elapsed)} ({speed}/s)",
        count(summary.parts, "part") if summary.parts else "",
        _retries(summary),
        proof(verified),
    ]
    return [f"{head}: " + ", ".join(piece for piece in facts if piece)]


def comparison_lines(summary: RunDone, failures: Mapping[str, int]) -> list[str]:
    """Return what a comparison came to; `failures` counts error codes."""
    differ, missing = failures.get("integrity", 0), failures.get("not_found", 0)
    compared, others = summary.skipped + differ, summary.failed - differ - missing
    if not (compared or missing or others):
        return ["nothing to compare"]
    pieces = [
        f"{count(compared, 'file')} compared",
        "" if summary.failed else "all the same" if compared > 1 else "the same",
        f"{differ} {'differs' if differ == 1 else 'differ'}" if differ else "",
        f"{missing} missing" if missing else "",
        f"{others} failed" if others else "",
    ]
    return [", ".join(piece for piece in pieces if piece)]


def interrupted_line(summary: RunDone | None, *, comparing: bool = False) -> str:
    """Return what an interrupted run has done, and what it leaves behind."""
    if comparing:
        compared = summary.skipped if summary else 0
        return f"transfer: interrupted, {count(compared, 'file')} compared"
    copied = "nothing copied"
    if summary is not None and summary.done:
        copied = f"{count(summary.done, 'file')} copied ({brief_size(summary.moved)})"
    kept = f", {_kept(summary)}" if summary is not None and summary.kept_bytes else ""
    return f"transfer: interrupted, {copied}{kept}"


def proof(verified: Mapping[Verified, int]) -> str:
    """Return how much is proved, file by file where that differs."""
    levels = [level for level in Verified if verified.get(level)]
    if len(levels) == 1:
        return _PROOF[levels[0]]
    return ", ".join(f"{_PROOF[level]} of {count(verified[level], 'file')}" for level in levels)


def _kept(summary: RunDone | None) -> str:
    if summary is None:
        return "nothing kept"
    return f"{brief_size(summary.kept_bytes)} of {count(summary.kept, 'file')} kept"


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
