"""From flags to settings and options: pure, and strict in the same way as the environment.

A flag is read by the reader of the setting that it overrides, so that the two
accept the same and complain alike.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from transfer.engine.expand import Filter
from transfer.engine.report import Options
from transfer.errors import UsageError
from transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

_REPEATABLE = {"sources", "include", "exclude", "metadata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFlags:
    """What was typed after `push` or `pull`; None is what was not."""

    pull: bool
    sources: tuple[str, ...]
    target: str
    concurrency: str | None = None
    part_size: str | None = None
    endpoint_url: str | None = None
    timeout: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    skip_existing: bool = False
    no_clobber: bool = False
    dry_run: bool = False
    no_progress: bool = False
    quiet: bool = False
    verbose: int = 0
    json: bool = False

    @classmethod
    def from_params(cls, command: str | None, params: Mapping[str, Any]) -> CopyFlags:
        """Take what typer has read; lists become tuples, and "pull" says where to."""
        values: dict[str, Any] = {
            name: tuple(value or ()) if name in _REPEATABLE else value
            for name, value in params.items()
        }
        return cls(pull=command == "pull", **values)


def settings_of(flags: CopyFlags, settings: Settings) -> Settings:
    """Return the settings with those changed that a flag sets; UsageError for a bad value.

    The part size goes to both directions: a run has only one, and which that is
    depends on its target rather than on its name.
    """
    typed = {
        "concurrency": ("--concurrency", flags.concurrency),
        "upload_part_size": ("--part-size", flags.part_size),
        "download_part_size": ("--part-size", flags.part_size),
        "s3_endpoint_url": ("--endpoint-url", flags.endpoint_url),
        "stall_timeout": ("--timeout", flags.timeout),
    }
    readers = {item.name: item.metadata["read"] for item in fields(Settings)}
    changes: dict[str, Any] = {
        name: _read(flag, text, readers[name])
        for name, (flag, text) in typed.items()
        if text is not None
    }
    return replace(settings, **changes)


def options_of(flags: CopyFlags) -> Options:
    """Return how to move; UsageError for metadata that is none."""
    return Options(
        chosen=Filter(flags.include, flags.exclude),
        skip_existing=flags.skip_existing,
        no_clobber=flags.no_clobber,
        dry_run=flags.dry_run,
        metadata=metadata_of(flags.metadata),
    )


def metadata_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `name=value` pairs; a value may hold further signs of equality."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--metadata: {pair!r} is not valid", hint="write NAME=VALUE")
        found[name] = value
    return found


def _read(flag: str, text: str, read: Any) -> object:
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {text!r} is not valid", hint=str(error)) from None
