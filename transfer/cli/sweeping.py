"""`transfer gc URL`: unfinished files on servers, of transfers that nobody here has a record of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio

from transfer.cli.exit_codes import FAILED, OK
from transfer.cli.flags import read_flag
from transfer.cli.guard import put, tell
from transfer.engine import Engine
from transfer.registry import locate
from transfer.sinks.escaping import error_line, visible
from transfer.sinks.wording import brief_size, count
from transfer.sizes import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transfer.engine.sweeping import Swept


def sweep(urls: Sequence[str], older_than: str, *, dry_run: bool, as_json: bool) -> int:
    """Remove what was left below these places, and say what that was."""
    seconds = read_flag("--older-than", older_than, parse_duration)
    failed = False
    for url in urls:
        shown = str(locate(url))  # without a password
        swept = anyio.run(_sweep, url, seconds, dry_run)
        failed = failed or bool(swept.failed)
        if as_json:
            for item in swept_dicts(shown, swept, dry_run=dry_run):
                put(json.dumps(item))
            continue
        for info in swept.removed if dry_run else ():
            put(f"{visible(info.key)} ({brief_size(info.size)})")
        for info, error in swept.failed:
            tell(error_line(f"{info.key}: {error}"))
        tell(swept_line(shown, swept, older_than, dry_run=dry_run))
    return FAILED if failed else OK


def swept_line(url: str, swept: Swept, older_than: str, *, dry_run: bool) -> str:
    """Return what became of one place."""
    would = "would be " if dry_run else ""
    found = count(len(swept.removed), "unfinished file")
    rest = [
        f"{swept.young} younger than {older_than}" if swept.young else "",
        f"{len(swept.failed)} failed" if swept.failed else "",
    ]
    head = f"{found} {would}removed, {brief_size(swept.size)} freed"
    return f"{visible(url)}: " + ", ".join(
        [head if swept.removed else "nothing removed", *filter(None, rest)]
    )


def swept_dicts(url: str, swept: Swept, *, dry_run: bool) -> Iterator[dict[str, object]]:
    """Yield an object for each file and one for the sum."""
    for info in swept.removed:
        yield {"event": "removed", "url": url, "key": info.key, "bytes": info.size}
    for info, error in swept.failed:
        yield {
            "event": "error",
            "url": url,
            "key": info.key,
            "code": error.code,
            "error": f"{error}",
        }
    yield {
        "event": "summary",
        "url": url,
        "removed": len(swept.removed),
        "bytes": swept.size,
        "young": swept.young,
        "failed": len(swept.failed),
        "dry_run": dry_run,
        "exit_code": FAILED if swept.failed else OK,
    }


async def _sweep(url: str, older_than: float, dry_run: bool) -> Swept:  # noqa: FBT001 - by anyio.run
    async with Engine() as engine:
        return await engine.sweep(url, older_than=older_than, dry_run=dry_run)
