"""What a run was asked to do, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transfer.engine.expand import Filter
from transfer.errors import TransferError
from transfer.events import RunDone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.checksums import Checksum
    from transfer.events import FileDone, FileSkipped


@dataclass(frozen=True, slots=True)
class Options:
    """How to move, beyond the settings.

    `skip_existing` leaves alone what is at the target with the same size and is
    not older; `no_clobber` makes an existing target an error. `resume` goes on
    with what a former run has left, and leaves what this one could not finish;
    `take_over` takes it from a process that is alive. `by_content` skips by
    checksum instead of size and time; `compare_only` moves nothing, and makes
    each difference an error; `require_verified` makes an error of a file whose
    content could not be compared. `expect` is the content that a single object
    must have, which is to be moved to this machine.
    """

    chosen: Filter = field(default_factory=Filter)
    skip_existing: bool = False
    no_clobber: bool = False
    resume: bool = True
    take_over: bool = False
    by_content: bool = False
    compare_only: bool = False
    require_verified: bool = False
    expect: Checksum | None = None
    dry_run: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def looks_first(self) -> bool:
        """Whether what is at the target decides what becomes of a file."""
        return self.skip_existing or self.no_clobber


@dataclass(frozen=True, slots=True)
class Failure:
    """One file that did not arrive."""

    source: str
    target: str
    error: TransferError


@dataclass(slots=True)
class Report:
    """The result of a run; sizes in bytes, `elapsed` in seconds.

    `kept` of the files that failed are kept open for a later run, which need not
    move `kept_bytes` again.
    """

    done: list[FileDone] = field(default_factory=list["FileDone"])
    skipped: list[FileSkipped] = field(default_factory=list["FileSkipped"])
    failed: list[Failure] = field(default_factory=list[Failure])
    retries: int = 0
    kept: int = 0
    kept_bytes: int = 0
    elapsed: float = 0.0

    @property
    def moved(self) -> int:
        """Bytes of all files that arrived."""
        return sum(done.size for done in self.done)

    @property
    def parts(self) -> int:
        """Parts of all files that arrived in parts."""
        return sum(done.parts for done in self.done)

    def summary(self) -> RunDone:
        """Return the last event of the run."""
        return RunDone(
            len(self.done),
            len(self.skipped),
            len(self.failed),
            self.moved,
            self.parts,
            self.retries,
            self.elapsed,
            self.kept,
            self.kept_bytes,
        )

    def raise_failure(self) -> None:
        """Raise what went wrong, if anything did: the error itself if there was only one."""
        if len(self.failed) == 1 and not self.done:
            raise self.failed[0].error
        if self.failed:
            raise SomeFailedError(self)


class SomeFailedError(TransferError):
    """Some files of a run did not arrive; `report` has each with its error."""

    code = "some_failed"

    def __init__(self, report: Report) -> None:
        total = len(report.failed) + len(report.done) + len(report.skipped)
        super().__init__(
            f"{len(report.failed)} of {total} files were not transferred; the first:"
            f" {report.failed[0].error}"
        )
        self.report = report
