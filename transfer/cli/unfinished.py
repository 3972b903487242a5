"""The commands for what former runs have left: listed, gone on with, given up."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from transfer.cli.copying import run_shown
from transfer.cli.exit_codes import FAILED, OK
from transfer.cli.flags import CopyFlags, read_flag
from transfer.cli.guard import put, tell
from transfer.cli.serving import aligned
from transfer.engine import Engine
from transfer.engine.resumption import flags_of, is_pull, places_of, recalled, resumption_of
from transfer.engine.upkeep import fitting, left_uploads, the_only
from transfer.errors import UsageError
from transfer.journal import Journal
from transfer.settings import Settings
from transfer.sinks.escaping import error_line, shell_command, visible
from transfer.sinks.wording import brief_size, count, share, whole_seconds
from transfer.sizes import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from transfer.engine.upkeep import Collected, Left
    from transfer.journal import Record

_HEAD = ("ID", "STATE", "DONE", "BYTES", "AGE", "SOURCE -> TARGET")


def list_unfinished(*, as_json: bool) -> int:
    """Show all records, the oldest first."""
    left = sorted(_all_left(), key=lambda item: (item.record.created, item.record.id))
    if not left:
        tell("nothing is unfinished")
    elif as_json:
        for item in left:
            put(json.dumps(to_dict(item)))
    else:
        for line in table(left, time.time()):
            put(line)
    return OK


def resume(record_id: str, params: Mapping[str, Any]) -> int:
    """Run a recorded transfer again, as `push` or `pull` would."""
    record = _chosen(_all_left(), record_id).record
    source, target = places_of(record)
    known: dict[str, Any] = {**flags_of(record), **params}
    flags = CopyFlags(pull=is_pull(record), sources=(source,), target=target, **known)
    return run_shown(flags, lambda: recalled(record, Settings.load()))


def abort(record_id: str) -> int:
    """Give one up, and say what that frees."""
    if not record_id:
        raise UsageError("name a transfer by its id", hint="see `transfer ps`")
    record = _chosen(_all_left(), record_id).record
    anyio.run(_abort, record.id)
    tell(f"aborted {_pair(record)}: {brief_size(record.arrived)} freed")
    return OK


def collect(older_than: str, *, dry_run: bool, as_json: bool) -> int:
    """Give up what nobody will finish, and say what that was."""
    seconds = read_flag("--older-than", older_than, parse_duration)
    collected = anyio.run(partial(_collect, seconds, dry_run=dry_run))
    code = FAILED if collected.failed else OK
    if as_json:
        for item in collected_dicts(collected, dry_run=dry_run, exit_code=code):
            put(json.dumps(item))
        return code
    for record in collected.given_up if dry_run else ():
        put(f"{record.id}  {_pair(record)} ({brief_size(record.arrived)})")
    for record, error in collected.failed:
        tell(error_line(f"{record.id} {record.source} -> {record.target}: {error}"))
    tell(collected_line(collected, older_than, dry_run=dry_run))
    return code


def table(left: Sequence[Left], now: float) -> list[str]:
    """Return a head and a line for each; the age is that of the last sign of life, if it is dead.

    A transfer that is running has the age of its beginning.
    """
    rows = [
        (
            item.record.id,
            item.state,
            f"{percent(item.record)}%",
            share(item.record.arrived, item.record.size),
            whole_seconds(now - (item.record.created if item.alive else item.record.touched)),
            _pair(item.record),
        )
        for item in left
    ]
    return aligned([_HEAD, *rows])


def percent(record: Record) -> int:
    """Return how much has arrived; 100 only if all has."""
    return 100 * record.arrived // record.size if record.size else 0


def to_dict(left: Left) -> dict[str, object]:
    """Return one record as JSON types; times in seconds since 1970."""
    record = left.record
    return {
        "id": record.id,
        "state": left.state,
        "source": record.source,
        "target": record.target,
        "size": record.size,
        "arrived": record.arrived,
        "parts": len(record.receipts),
        "created": record.created,
        "touched": record.touched,
        "owner": {"host": record.owner.host, "pid": record.owner.pid},
        "resume": shell_command(resumption_of(record)),
    }


def collected_line(collected: Collected, older_than: str, *, dry_run: bool) -> str:
    """Return what a collection came to."""
    number = len(collected.given_up)
    would = "would be " if dry_run else ""
    done = f"{count(number, 'transfer')} {would}given up, {brief_size(collected.size)} freed"
    rest = [
        f"{collected.alive} under way" if collected.alive else "",
        f"{collected.young} younger than {older_than}" if collected.young else "",
        f"{len(collected.failed)} failed" if collected.failed else "",
    ]
    head = done if number else "nothing given up"
    return ", ".join(["dry run: " * dry_run + head, *filter(None, rest)])


def collected_dicts(
    collected: Collected, *, dry_run: bool, exit_code: int
) -> Iterator[dict[str, object]]:
    """Yield an object for each transfer and one for the sum."""
    for record in collected.given_up:
        yield {"event": "given_up", **_named(record), "bytes": record.arrived}
    for record, error in collected.failed:
        yield {"event": "error", **_named(record), "code": error.code, "error": str(error)}
    yield {
        "event": "summary",
        "given_up": len(collected.given_up),
        "bytes": collected.size,
        "alive": collected.alive,
        "young": collected.young,
        "failed": len(collected.failed),
        "dry_run": dry_run,
        "exit_code": exit_code,
    }


def _named(record: Record) -> dict[str, object]:
    return {"id": record.id, "source": record.source, "target": record.target}


def _pair(record: Record) -> str:
    return visible(f"{record.source} -> {record.target}")


def _all_left() -> list[Left]:
    return left_uploads(Journal.from_settings(Settings.load()))


def _chosen(left: Sequence[Left], record_id: str) -> Left:
    """Return the one that is meant; where that is not clear, show which there are."""
    found = fitting(left, record_id)
    if len(found) > 1:
        for line in table(found, time.time()):
            tell(line)
    return the_only(found, record_id)


async def _abort(record_id: str) -> None:
    async with Engine() as engine:
        await engine.give_up(record_id)


async def _collect(older_than: float, *, dry_run: bool) -> Collected:
    async with Engine() as engine:
        return await engine.collect(older_than=older_than, dry_run=dry_run)
