"""A schedule that fails, made as small as it can be while it still fails in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.faults.campaign.schedule import Schedule

    # Returns what is found, empty if all is well.
    Try = Callable[[Schedule], Awaitable[list[str]]]


def kind_of(findings: list[str]) -> set[str]:
    """Return the first words: two findings of one kind are the same bug, most likely."""
    return {text.partition(":")[0] for text in findings}


async def minimised(schedule: Schedule, findings: list[str], attempt: Try) -> Schedule:
    """Leave out what is not needed, one after the other, until nothing can be left out."""
    wanted = kind_of(findings)
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(schedule):
            if kind_of(await attempt(candidate)) & wanted:
                schedule, smaller = candidate, True
                break
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    faults = schedule.faults
    for half in (faults[: len(faults) // 2], faults[len(faults) // 2 :]):
        if 0 < len(half) < len(faults) - 1:
            yield schedule.but(faults=half)
    for number in range(len(faults)):
        yield schedule.but(faults=faults[:number] + faults[number + 1 :])
    simple = {
        "old": None,
        "personality": "aws",
        "route": "s3",
        "checksum": "auto",
        "concurrency": 1,
        "no_clobber": False,
        "resume": True,
        "durable": False,
        "end": "finish",
    }
    for name, value in simple.items():
        if getattr(schedule, name) != value:
            yield schedule.but(**{name: value})
