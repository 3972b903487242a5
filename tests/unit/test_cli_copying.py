from __future__ import annotations

import signal
from types import SimpleNamespace

import anyio
import pytest

from transfer.cli import copying
from transfer.cli.copying import Outcome, ending_of, sink_of
from transfer.cli.flags import CopyFlags
from transfer.engine import Failure, Report
from transfer.engine.bus import Subscription
from transfer.errors import ConnectionLostError, NotFoundError, UsageError
from transfer.events import FileSkipped, Interrupted, RunDone
from transfer.sinks import Ending
from transfer.sinks.jsonlines import JsonLines
from transfer.sinks.lines import DryRun, Lines
from transfer.sinks.terminal import Terminal


def flags(**values: object):
    return CopyFlags(pull=False, sources=("a",), target="b", **values)


@pytest.mark.parametrize(
    ("values", "on_terminal", "kind"),
    [
        ({}, True, Terminal),
        ({}, False, Lines),
        ({"no_progress": True}, True, Lines),
        ({"quiet": True}, True, Lines),
        ({"dry_run": True}, True, DryRun),
        ({"json": True}, True, JsonLines),
        ({"json": True, "dry_run": True, "quiet": True}, False, JsonLines),
    ],
)
def test_who_shows_the_run(values, on_terminal, kind, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert type(sink_of(flags(**values), on_terminal=on_terminal)) is kind


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert type(sink_of(flags(), on_terminal=True)) is Lines


def ended(values: dict[str, object] | None = None, **outcome: object) -> Ending:
    return ending_of(Outcome(**outcome), flags(**values or {}))


def done(*, files: int = 0, kept: int = 0) -> RunDone:
    return RunDone(files, 0, 0, 10, 0, 0, 1.0, kept, kept * 5)


def test_endings():
    missing = Failure("a", "b", NotFoundError("no a"))
    skipped = FileSkipped("a", "b", 1, "there")
    assert ended(report=Report()) == Ending(0)
    assert ended(report=Report(failed=[missing])) == Ending(3)
    assert ended(report=Report(failed=[missing], skipped=[skipped])) == Ending(1)
    bad = UsageError("no", hint="yes")
    assert ended(error=bad) == Ending(2, "no; yes")
    assert ended(signal=signal.SIGINT) == Ending(130, interrupted=True)
    assert ended(signal=signal.SIGTERM) == Ending(143, interrupted=True)


def test_a_signal_that_came_too_late_interrupted_nothing():
    assert ended(report=Report(), signal=signal.SIGINT) == Ending(0)


def test_the_command_that_goes_on(monkeypatch):
    monkeypatch.chdir("/")
    assert ended(summary=done(), signal=signal.SIGINT).resume is None
    assert ended(summary=done(kept=1), signal=signal.SIGINT).resume == "transfer push /a /b"
    # What has arrived need not be sent again, unless it is compared anyway.
    both = done(files=1, kept=1)
    assert ended(summary=both, signal=signal.SIGINT).resume == "transfer push --skip-existing /a /b"
    again = ended({"checksum": True}, summary=both, signal=signal.SIGINT).resume
    assert again == "transfer push --checksum /a /b"
    gone = Failure("a", "b", ConnectionLostError("the connection broke"))
    lost = ended(summary=done(kept=1), report=Report(failed=[gone]))
    assert lost == Ending(5, resume="transfer push /a /b")


class Left(BaseException):
    """The process would be gone."""


async def test_the_first_signal_winds_up_and_the_second_leaves(monkeypatch):
    def leave(code) -> None:
        raise Left(code)

    monkeypatch.setattr(copying, "os", SimpleNamespace(_exit=leave))

    async def only(received):
        yield received

    events, outcome, stop = Subscription(), Outcome(), anyio.CancelScope()
    await copying._obey(only(signal.SIGINT), events, outcome, stop)
    assert (outcome.signal, stop.cancel_called) == (signal.SIGINT, True)
    assert events.waiting() == [Interrupted("SIGINT")]
    with pytest.raises(Left) as left:
        await copying._obey(only(signal.SIGTERM), events, outcome, stop)
    assert left.value.args == (143,)


class Gone:
    """A sink whose reader has gone after some events."""

    def __init__(self, after) -> None:
        self.left = after
        self.seen = []

    def __call__(self, event) -> None:
        if not self.left:
            raise BrokenPipeError
        self.left -= 1
        self.seen.append(event)

    def close(self, ending):
        raise AssertionError


async def delivered(sink, *published: object):
    events, outcome, stop = Subscription(), Outcome(), anyio.CancelScope()
    for event in published:
        events.put(event)
    events.close()
    await copying._deliver(events, sink, outcome, stop)
    return outcome, stop


async def test_events_arrive_in_order():
    published = [FileSkipped(str(n), "t", n, "there") for n in range(100)]
    sink = Gone(after=1000)
    outcome, stop = await delivered(sink, *published)
    assert sink.seen == published
    assert not outcome.output_closed
    assert not stop.cancel_called


async def test_a_reader_that_has_gone_ends_the_run():
    summary = RunDone(0, 0, 0, 0, 0, 0, 0.0)
    outcome, stop = await delivered(Gone(after=1), summary, summary)
    assert outcome.output_closed
    assert stop.cancel_called
