"""`transfer bench`: trials shown as they come, then what to set and what the limit is."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import open_signal_receiver

from transfer.advice import best, limit_of
from transfer.cli import exit_codes
from transfer.cli.flags import read_flag
from transfer.cli.guard import put, tell
from transfer.engine.trials import Bounds, try_out
from transfer.settings import Settings
from transfer.sinks.escaping import visible
from transfer.sizes import MIB, format_size, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transfer.advice import Trial
    from transfer.engine.trials import Findings

T = TypeVar("T")


@dataclass(slots=True)
class _Seen:
    findings: Findings | None = None
    signal: signal.Signals | None = None


def benchmark(params: Mapping[str, Any]) -> int:
    """Measure what was typed, show it, and return the exit code."""
    settings = Settings.load()
    if params["endpoint_url"]:
        settings = replace(settings, s3_endpoint_url=params["endpoint_url"])
    bounds = Bounds(
        read_flag("--max-time", params["max_time"], _above_zero(parse_duration)),
        read_flag("--max-size", params["max_size"], _above_zero(parse_size)),
    )
    seen = _Seen()
    show = _quiet if params["json"] else _show_trial
    anyio.run(_measure, params["url"], settings, bounds, seen, show)
    if seen.findings is not None:
        _finish(seen.findings, params["url"], as_json=params["json"])
    if seen.signal is not None:
        return exit_codes.code_of_signal(seen.signal)
    complete = seen.findings is not None and not seen.findings.left
    return exit_codes.OK if complete else exit_codes.FAILED


def _above_zero(reader: Callable[[str], T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        value = reader(text)
        if not value:
            msg = "write what is above 0"
            raise ValueError(msg)
        return value

    return read


async def _measure(
    url: str, settings: Settings, bounds: Bounds, seen: _Seen, show: Callable[[Trial], None]
) -> None:
    def found(findings: Findings) -> None:
        seen.findings = findings

    with open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as group:

            async def obey() -> None:
                async for received in signals:
                    seen.signal = received
                    tell("transfer: interrupted, deleting what was written")
                    group.cancel_scope.cancel()

            group.start_soon(obey)
            await try_out(url, settings, bounds, on_trial=show, findings=found)
            group.cancel_scope.cancel()


def _quiet(trial: Trial) -> None:
    del trial


def _show_trial(trial: Trial) -> None:
    """Show a line as soon as it is there: a measurement takes a while."""
    tell(
        f"{'up  ' if trial.upload else 'down'} {trial.connections:>3} connections,"
        f" {format_size(trial.part_size):>7} parts: {format_size(trial.rate):>10}/s,"
        f" CPU {trial.cpu / trial.seconds:.0%} of a core"
        + (f", {trial.retries} retries" if trial.retries else "")
    )


def _finish(found: Findings, url: str, *, as_json: bool) -> None:
    directions = {name: found.of(upload=name == "upload") for name in ("upload", "download")}
    advice = {name: _advice(trials, found) for name, trials in directions.items() if trials}
    if as_json:
        whole = {
            "url": visible(url),
            "surroundings": asdict(found.around),
            "trials": [asdict(trial) | {"rate": trial.rate} for trial in found.trials],
            "advice": advice,
            "left": found.left,
        }
        put(json.dumps(whole))
    else:
        _show_advice(found, advice)
    for name in found.left:
        tell(f"transfer: error: could not delete {visible(name)}")


def _advice(trials: list[Trial], found: Findings) -> dict[str, Any]:
    top = best(trials)
    limit, reason = limit_of(trials, found.around)
    return {
        "connections": top.connections,
        "part_size": top.part_size,
        "rate": top.rate,
        "limit": str(limit),
        "reason": reason,
    }


def _show_advice(found: Findings, advice: Mapping[str, Mapping[str, Any]]) -> None:
    around = found.around
    put(
        f"An answer takes {around.latency * 1000:.1f} ms; the local disk reads"
        f" {format_size(around.disk_read)}/s and writes {format_size(around.disk_write)}/s."
    )
    for name, said in advice.items():
        parts = f"{said['part_size'] // MIB}MiB"
        put("")
        put(f"{name}: {format_size(said['rate'])}/s with -c {said['connections']} -p {parts}")
        put(
            f"  TRANSFER_CONCURRENCY={said['connections']}"
            f" MLFLOW_MULTIPART_{name.upper()}_CHUNK_SIZE={parts}"
        )
        put(f"  limit: {said['limit']}: {said['reason']}")
    if not advice:
        put("There was no time for a single trial.")
    sys.stdout.flush()
