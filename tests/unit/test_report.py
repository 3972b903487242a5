from __future__ import annotations

import pytest

from transfer.engine.expand import Filter
from transfer.engine.report import Failure, Options, Report, SomeFailedError
from transfer.errors import AccessError, NotFoundError
from transfer.events import FileDone, FileSkipped
from transfer.model import Verified

DONE = FileDone("a", "b", 10, 3, 0.5, Verified.SIZE)
SKIPPED = FileSkipped("a", "b", 99, "there")
FAILED = Failure("a", "b", NotFoundError("a does not exist"))


def test_nothing_is_asked_for_unless_somebody_does():
    options = Options()
    assert not (options.skip_existing)
    assert not (options.no_clobber)
    assert not (options.dry_run)
    assert (options.chosen, options.metadata) == (Filter(), {})


def test_report_begins_empty():
    report = Report()
    assert (report.moved, report.parts, report.retries, report.elapsed) == (0, 0, 0, 0)


def test_sums_are_over_what_arrived():
    report = Report(done=[DONE, DONE], skipped=[SKIPPED], failed=[FAILED])
    assert (report.moved, report.parts) == (20, 6)


def test_nothing_is_raised_when_nothing_failed():
    Report().raise_failure()
    Report(done=[DONE], skipped=[SKIPPED]).raise_failure()


def test_the_error_itself_is_raised_when_it_is_all_there_was():
    with pytest.raises(NotFoundError) as caught:
        Report(failed=[FAILED]).raise_failure()
    assert caught.value is FAILED.error


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (Report(done=[DONE], failed=[FAILED]), "1 of 2 files"),
        (Report(failed=[FAILED, Failure("c", "d", AccessError("no"))]), "2 of 2 files"),
        (Report(done=[DONE], skipped=[SKIPPED], failed=[FAILED]), "1 of 3 files"),
    ],
)
def test_several_files_are_summed_up_with_the_first_error(report: Report, says: str):
    with pytest.raises(SomeFailedError) as caught:
        report.raise_failure()
    assert str(caught.value).startswith(says)
    assert "a does not exist" in str(caught.value)
    assert caught.value.report is report
    assert caught.value.code == "some_failed"
