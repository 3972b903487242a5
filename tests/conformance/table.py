"""The table of stores in the README, made of a run of the conformance tests.

    python -m pytest tests/conformance -p tests.conformance.table --stores-table

A row is a class of tests: a store against a server. A column is a property: some
of the tests. What was skipped in sight is told below the table, with the reason, and
then what none of the servers stands for. Where a server is not installed, nothing is
written: a row that is left out would look like a store that nobody has.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.conformance.suite import NO_PARTS

README = Path(__file__).parent.parent.parent / "README.md"
BEGIN = "<!-- stores: made by `make stores-table` -->\n"
END = "<!-- /stores -->"

COLUMNS = {
    "put, get, list": (
        "an_object_comes_back_as_it_was_put",
        "stat_says_what_was_put",
        "putting_again_replaces",
        "what_is_not_there_is_not_found",
        "deleting_is_done_once_and_may_be_asked_twice",
        "scan_lists_what_is_below_the_prefix",
        "scan_can_sum_up_folders",
        "scan_goes_on_over_pages",
    ),
    "ranges": ("a_range_is_that_slice",),
    "hard names": ("awkward_names_are_names",),
    "whole or not at all": (
        "a_put_that_breaks_leaves_the_old_object",
        "a_put_that_is_cancelled_leaves_nothing",
    ),
    "never replace": ("no_clobber_refuses_to_replace",),
    "version pinned": ("an_object_replaced_while_read_is_noticed",),
    "parts": (
        "parts_in_order",
        "parts_in_any_order_and_at_once",
        "an_upload_shows_nothing_before_it_is_complete",
        "a_missing_part_is_no_object",
        "a_part_that_is_not_the_one_sent_is_no_object",
        "an_upload_does_not_touch_the_object_it_will_replace",
        "an_upload_nobody_opened_is_gone",
    ),
    "resume": ("sent_lists_the_parts_that_are_there",),
    "part replaced": ("a_part_sent_again_replaces_the_first",),
    "abort": ("aborting_may_be_asked_twice_and_ends_it",),
}


@dataclass
class Row:
    """What is known of one class: its server, and how each test ended."""

    store: str
    server: str
    unseen: str
    outcomes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def ran(self) -> bool:
        """Whether there was a server."""
        return any("passed" in ended for ended in self.outcomes.values())

    def cell(self, tests: tuple[str, ...]) -> str:
        """Sum some tests up."""
        ended = set[str]().union(*(self.outcomes[test] for test in tests))
        if "failed" in ended:
            return "**fails**"
        if "passed" not in ended:
            return "no"
        return "partly" if "skipped" in ended else "yes"


class Table:
    """Collects what the tests report."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        for item in items:
            server = getattr(item.cls, "against", "")
            if server:
                name = item.nodeid.rpartition("::")[0]
                found = version_of(item.cls.version_from)
                row = Row(item.cls.shown, f"{server} {found}".strip(), item.cls.unseen)
                self.rows.setdefault(name, row)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name, _, test = report.nodeid.rpartition("::")
        row = self.rows.get(name)
        if row is None or (report.when != "call" and report.passed):
            return
        test = test.partition("[")[0].removeprefix("test_")
        row.outcomes[test].add(report.outcome)
        if report.skipped:
            row.reasons[test] = str(report.longrepr[2]).removeprefix("Skipped: ")

    def pytest_sessionfinish(self, session: Any) -> None:
        if any(not row.ran for row in self.rows.values()):
            session.exitstatus = 1
            return
        README.write_text(with_table(README.read_text(), markdown(list(self.rows.values()))))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for row in self.rows.values():
            if not row.ran:
                why = "; ".join(dict.fromkeys(row.reasons.values())) or "it did not run"
                terminalreporter.write_line(f"no table: {row.store} against {row.server}: {why}")


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--stores-table", action="store_true", help="write the README's table")


def pytest_configure(config: Any) -> None:
    if config.getoption("--stores-table"):
        config.pluginmanager.register(Table())


@cache
def version_of(source: str | tuple[str, ...]) -> str:
    """Ask a distribution, or a command, for its version."""
    if isinstance(source, str):
        return version(source) if source else ""
    program = shutil.which(source[0], path=None) or source[0]
    try:
        said = subprocess.run(
            [program, *source[1:]], capture_output=True, text=True, check=False, timeout=60
        )
    except OSError:
        return "(not there)"
    found = re.search(r"\d+(\.\d+)+\w*", said.stdout + said.stderr)
    return found[0] if found else ""


def markdown(rows: list[Row]) -> str:
    """Return the table and what is to be said below it."""
    rows = sorted(rows, key=lambda row: (row.store, row.server))
    lines = [
        f"| store | against | {' | '.join(COLUMNS)} |",
        f"|---|---|{'---|' * len(COLUMNS)}",
    ]
    for row in rows:
        cells = " | ".join(row.cell(tests) for tests in COLUMNS.values())
        lines.append(f"| {row.store} | {row.server} | {cells} |")
    lines += ["", "Where a server does not do all of it:", "", *_reasons(rows)]
    lines += ["", "What none of these servers stands for, and nobody has tried:", ""]
    lines += [f"- {unseen}" for unseen in dict.fromkeys(row.unseen for row in rows if row.unseen)]
    return "\n".join(lines) + "\n"


def _reasons(rows: list[Row]) -> list[str]:
    shown = set[str]().union(*COLUMNS.values())
    told = ((row, {why for test, why in row.reasons.items() if test in shown}) for row in rows)
    said = ((row, "; ".join(sorted(reasons - {NO_PARTS}))) for row, reasons in told)
    return [f"- {row.store}, {row.server}: {reasons}." for row, reasons in said if reasons]


def with_table(text: str, table: str) -> str:
    """Return the README with another table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"
