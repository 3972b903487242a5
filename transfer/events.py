"""What happens during a run, as values: lifecycle only, never one per chunk.

`to_dict` is the one JSON shape, used by `--json` and by every other sink. How
many bytes were moved comes in `Progress`, at a fixed pace.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from transfer.model import Verified


@dataclass(frozen=True, slots=True)
class FileStarted:
    """A file is being moved; `parts` is 0 for a single PUT."""

    source: str
    target: str
    size: int
    parts: int


@dataclass(frozen=True, slots=True)
class PartRaised:
    """The part size asked for would give too many parts: a larger one is used, in bytes."""

    target: str
    asked: int
    used: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that the user should know and that stops nothing."""

    message: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """A former run's upload is gone on with: `parts` with `size` of `total` bytes are there."""

    target: str
    parts: int
    size: int
    total: int


@dataclass(frozen=True, slots=True)
class Retrying:
    """An attempt failed and will be repeated in `delay` seconds."""

    target: str
    operation: str
    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """A file has arrived whole; `elapsed` in seconds."""

    source: str
    target: str
    size: int
    parts: int
    elapsed: float
    verified: Verified
    checksum: str | None = None


# Why a file is left alone that would be copied if that were not only asked.
DRY_RUN = "dry run"


@dataclass(frozen=True, slots=True)
class FileSkipped:
    """A file was left alone, and why."""

    source: str
    target: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class FileFailed:
    """A file did not arrive; nothing half-written is visible."""

    source: str
    target: str
    code: str
    error: str


@dataclass(frozen=True, slots=True)
class FileProgress:
    """A file that is being moved: `moved` of `size` bytes so far."""

    target: str
    moved: int
    size: int


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes and files so far; totals grow while sources are still being listed.

    The bytes of a file that failed leave both `moved` and `total`. `running` are
    the files on their way, in the order in which they were begun.
    """

    moved: int
    total: int
    files: int
    files_total: int
    listed: bool
    running: tuple[FileProgress, ...] = ()


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was told to stop; `signal` is the name of what told it, such as "SIGINT"."""

    signal: str


@dataclass(frozen=True, slots=True)
class RunDone:
    """The end of a run; `moved` in bytes, `elapsed` in seconds.

    `kept` of the files that failed are kept open for a later run, which need not
    move `kept_bytes` again.
    """

    done: int
    skipped: int
    failed: int
    moved: int
    parts: int
    retries: int
    elapsed: float
    kept: int = 0
    kept_bytes: int = 0


Event: TypeAlias = (
    FileStarted
    | PartRaised
    | Resumed
    | Notice
    | Retrying
    | FileDone
    | FileSkipped
    | FileFailed
    | Progress
    | Interrupted
    | RunDone
)

_NAMES: dict[type[Event], str] = {
    FileStarted: "start",
    PartRaised: "part_size_raised",
    Resumed: "resumed",
    Notice: "notice",
    Retrying: "retry",
    FileDone: "file",
    FileSkipped: "skip",
    FileFailed: "error",
    Progress: "progress",
    Interrupted: "interrupted",
    RunDone: "summary",
}


def to_dict(event: Event) -> dict[str, object]:
    """Return the event as JSON types, with its name under "event"."""
    return {"event": _NAMES[type(event)], **asdict(event)}
