"""From flags to settings and options: pure, and strict in the same way as the environment.

A flag is read by the reader of the setting that it overrides, so that the two
accept the same and complain alike.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from transfer.checksums import Checksum
from transfer.engine.expand import Filter
from transfer.engine.report import Options
from transfer.engine.resumption import address_of, words_of
from transfer.errors import UsageError
from transfer.registry import locate, typed
from transfer.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

_REPEATABLE = {"sources", "include", "exclude", "metadata"}
# What is no flag, and what is good for one run only.
_APART = {"pull", "compare", "sources", "target", "verbose", "take_over", "dry_run"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFlags:
    """What was typed after `push`, `pull` or `verify`; None is what was not."""

    pull: bool
    compare: bool = False
    sources: tuple[str, ...]
    target: str
    concurrency: str | None = None
    part_size: str | None = None
    durability: str | None = None
    endpoint_url: str | None = None
    timeout: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    skip_existing: bool = False
    checksum: bool = False
    no_clobber: bool = False
    require_verified: bool = False
    expect: str | None = None
    no_resume: bool = False
    take_over: bool = False
    dry_run: bool = False
    no_progress: bool = False
    quiet: bool = False
    verbose: int = 0
    json: bool = False

    @classmethod
    def from_params(cls, command: str, params: Mapping[str, Any]) -> CopyFlags:
        """Take what was typed; lists become tuples, and "pull" says where to."""
        values: dict[str, Any] = {
            name: tuple(value) if name in _REPEATABLE else value for name, value in params.items()
        }
        return cls(pull=command == "pull", compare=command == "verify", **values)


def settings_of(flags: CopyFlags, settings: Settings) -> Settings:
    """Return the settings with those changed that a flag sets; UsageError for a bad value.

    The part size goes to both directions: a run has only one, and which that is
    depends on its target rather than on its name.
    """
    typed = {
        "concurrency": ("--concurrency", flags.concurrency),
        "upload_part_size": ("--part-size", flags.part_size),
        "download_part_size": ("--part-size", flags.part_size),
        "durability": ("--durability", flags.durability),
        "s3_endpoint_url": ("--endpoint-url", flags.endpoint_url),
        "stall_timeout": ("--timeout", flags.timeout),
    }
    readers = {item.name: item.metadata["read"] for item in fields(Settings)}
    changes: dict[str, Any] = {
        name: read_flag(flag, text, readers[name])
        for name, (flag, text) in typed.items()
        if text is not None
    }
    return replace(settings, **changes)


def options_of(flags: CopyFlags) -> Options:
    """Return how to move; UsageError for metadata or a checksum that is none."""
    return Options(
        chosen=Filter(flags.include, flags.exclude),
        skip_existing=flags.skip_existing or flags.checksum,
        by_content=flags.checksum,
        no_clobber=flags.no_clobber,
        require_verified=flags.require_verified,
        expect=None if flags.expect is None else expected(flags.expect),
        resume=not flags.no_resume,
        take_over=flags.take_over,
        compare_only=flags.compare,
        dry_run=flags.dry_run,
        metadata=metadata_of(flags.metadata),
    )


def expected(text: str) -> Checksum:
    """Read the checksum that a content must have."""
    try:
        return Checksum.parse(text)
    except ValueError:
        hint = "write sha256:HEX, md5:HEX or crc32c:BASE64"
        raise UsageError(f"--expect: {text!r} is not valid", hint=hint) from None


def command_again(flags: CopyFlags) -> Iterator[str]:
    """Yield the words of the same command, for any working directory and without a secret."""
    yield from ("transfer", "pull" if flags.pull else "push")
    shown = replace(flags, endpoint_url=address_of(flags.endpoint_url))
    for item in fields(CopyFlags):
        if item.name not in _APART:
            yield from words_of(item.name, getattr(shown, item.name))
    if flags.verbose:
        yield "-" + "v" * flags.verbose
    for place in (*flags.sources, flags.target):
        yield typed(locate(place))


def metadata_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Read `name=value` pairs; a value may hold further signs of equality."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"--metadata: {pair!r} is not valid", hint="write NAME=VALUE")
        found[name] = value
    return found


def read_flag(flag: str, text: str, read: Callable[[str], T]) -> T:
    """Read the value of a flag; UsageError if its reader refuses it."""
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(f"{flag}: {text!r} is not valid", hint=str(error)) from None
