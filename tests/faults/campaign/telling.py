"""What came of a run, as plain values that can cross a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.engine import Report


def told(report: Report) -> dict[str, Any]:
    """Return the outcome of a run of one file."""
    failed = report.failed[0].error if report.failed else None
    return {
        "done": bool(report.done),
        "skipped": bool(report.skipped),
        "verified": str(report.done[0].verified) if report.done else None,
        "code": failed.code if failed else None,
        "text": str(failed) if failed else "",
        "resumable": bool(failed and failed.resumable),
        "kept": report.kept,
        "retries": report.retries,
    }
