"""One run of the engine, with signals coming in and events going out.

Three tasks: the run itself, one that waits for signals and cancels it, one that
hands events to the sink, in batches and in a thread, so that a terminal that
was stopped or a slow pipe holds nothing up. The first signal winds the run up,
which the engine does within seconds; the second leaves at once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
from anyio import CapacityLimiter, open_signal_receiver, to_thread

from transfer.cli import exit_codes
from transfer.cli.flags import CopyFlags, command_again, options_of, settings_of
from transfer.cli.guard import put, show_traceback, tell
from transfer.engine import Engine
from transfer.engine.expand import check_pull_target
from transfer.errors import TransferError
from transfer.events import Interrupted, RunDone
from transfer.registry import locate
from transfer.settings import Settings
from transfer.sinks import Ending
from transfer.sinks.escaping import shell_command
from transfer.sinks.jsonlines import JsonLines
from transfer.sinks.lines import DryRun, Lines
from transfer.sinks.wording import NORMAL, QUIET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from transfer.engine import Report
    from transfer.engine.bus import Subscription
    from transfer.events import Event
    from transfer.sinks import EventSink


@dataclass(slots=True)
class Outcome:
    """What came of a run; at most one of `report` and `error` is set."""

    report: Report | None = None
    summary: RunDone | None = None
    error: TransferError | None = None
    signal: signal.Signals | None = None
    output_closed: bool = False


def copy_files(command: str, params: Mapping[str, Any]) -> int:
    """Do what was typed, show it, and return the exit code."""
    return run_shown(CopyFlags.from_params(command, params), Settings.load)


def run_shown(flags: CopyFlags, load: Callable[[], Settings]) -> int:
    """Do what the flags ask for, show it, and return the exit code."""
    sink = sink_of(flags, on_terminal=sys.stderr.isatty())
    outcome = Outcome()
    try:
        if flags.pull:
            check_pull_target(locate(flags.target))
        settings = settings_of(flags, load())
        anyio.run(_run, flags, settings, sink, outcome)
    except TransferError as error:
        outcome.error = error
    if outcome.output_closed:
        raise BrokenPipeError
    ending = ending_of(outcome, flags)
    sink.close(ending)
    if flags.json and ending.error:
        # A program reads the one, a person the other.
        tell(f"transfer: error: {ending.error}")
    for failure in _errors(outcome):
        show_traceback(failure, flags.verbose)
    return ending.exit_code


def sink_of(flags: CopyFlags, *, on_terminal: bool) -> EventSink:
    """Choose who shows the run."""
    detail = QUIET if flags.quiet else max(NORMAL, flags.verbose)
    if flags.json:
        return JsonLines(put, time.monotonic)
    if flags.dry_run:
        return DryRun(tell, put, detail)
    if on_terminal and not (flags.quiet or flags.no_progress):
        return _terminal(detail, comparing=flags.compare)
    return Lines(tell, time.monotonic, detail, comparing=flags.compare)


def ending_of(outcome: Outcome, flags: CopyFlags) -> Ending:
    """Return the exit code, and what is still to be said.

    A signal that came when everything had been done has interrupted nothing.
    """
    if outcome.error is not None:
        return Ending(exit_codes.code_of(type(outcome.error)), str(outcome.error))
    resume = resumption(outcome, flags)
    if outcome.report is None:
        stopped = outcome.signal
        code = exit_codes.FAILED if stopped is None else exit_codes.code_of_signal(stopped)
        return Ending(code, interrupted=True, resume=resume)
    failures = [type(failure.error) for failure in outcome.report.failed]
    if flags.compare:
        return Ending(exit_codes.code_of_comparison(failures))
    others = len(outcome.report.done) + len(outcome.report.skipped)
    return Ending(exit_codes.code_of_run(failures, others), resume=resume)


def resumption(outcome: Outcome, flags: CopyFlags) -> str | None:
    """Return the command that goes on; None where there is nothing to go on with.

    It leaves out the files that have arrived, unless they are compared anyway.
    """
    summary = outcome.summary
    if summary is None or flags.compare:
        return None
    if not summary.kept and (outcome.report is not None or not summary.done):
        return None
    known = flags.checksum or flags.no_clobber or not summary.done
    again = flags if known else replace(flags, skip_existing=True)
    return shell_command(command_again(again))


async def _run(flags: CopyFlags, settings: Settings, sink: EventSink, outcome: Outcome) -> None:
    options = options_of(flags)
    with open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with Engine(settings) as engine, anyio.create_task_group() as watch:
            async with anyio.create_task_group() as show:
                with engine.events() as events, anyio.CancelScope() as stop:
                    show.start_soon(_deliver, events, sink, outcome, stop)
                    watch.start_soon(_obey, signals, events, outcome, stop)
                    # Caught in here, or the task groups would wrap it up.
                    try:
                        outcome.report = await engine.run(
                            flags.sources, flags.target, options=options
                        )
                    except TransferError as error:
                        outcome.error = error
            watch.cancel_scope.cancel()


async def _deliver(
    events: Subscription, sink: EventSink, outcome: Outcome, stop: anyio.CancelScope
) -> None:
    """Hand events on until the last; a reader that has gone ends the run."""
    lane = CapacityLimiter(1)
    async for event in events:
        batch = [event, *events.waiting()]
        outcome.summary = _summary(batch) or outcome.summary
        try:
            await to_thread.run_sync(_feed, sink, batch, limiter=lane)
        except BrokenPipeError:
            outcome.output_closed = True
            stop.cancel()
            return


def _summary(batch: Sequence[Event]) -> RunDone | None:
    return next((event for event in batch if isinstance(event, RunDone)), None)


def _feed(sink: EventSink, batch: Sequence[Event]) -> None:
    for event in batch:
        sink(event)


async def _obey(
    signals: AsyncIterator[signal.Signals],
    events: Subscription,
    outcome: Outcome,
    stop: anyio.CancelScope,
) -> None:
    async for received in signals:
        if outcome.signal is not None:
            os._exit(exit_codes.code_of_signal(received))
        outcome.signal = received
        events.put(Interrupted(received.name))
        stop.cancel()


def _errors(outcome: Outcome) -> list[TransferError]:
    if outcome.error is not None:
        return [outcome.error]
    return [failure.error for failure in outcome.report.failed] if outcome.report else []


def _terminal(detail: int, *, comparing: bool) -> EventSink:
    from rich.console import Console

    from transfer.sinks.terminal import Terminal

    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    if console.is_dumb_terminal:
        return Lines(tell, time.monotonic, detail, comparing=comparing)
    return Terminal(console, time.monotonic, detail, comparing=comparing)
