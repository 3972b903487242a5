"""What a run of the tests did not show: the servers that were not there, by name."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Other reasons are about what a server cannot do, however it is installed.
_ABSENT = re.compile(r"\b(not installed|are not there|needs root|needs a C compiler)\b")


def left_out(reasons: Iterable[str], marks: str = "") -> list[str]:
    """Return a line for each thing that was missing, from the reasons of all that was skipped.

    `marks` is the expression that chose the tests.
    """
    counted = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    missing = {reason: number for reason, number in counted.items() if _ABSENT.search(reason)}
    lines = [
        f"left out: {number} test{'s' * (number > 1)}: {reason}"
        for reason, number in sorted(missing.items())
    ]
    if marks:
        lines.append(f"left out: all but those marked {marks!r} (`make test-all` runs everything)")
    return lines
