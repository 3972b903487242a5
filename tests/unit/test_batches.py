"""Which files wait for a batch, when one goes, and how large it is."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backends.local.store import LocalStore
from transfer.engine.attempts import Attempts, Lane
from transfer.engine.batches import BACKLOG, FEW, MOST, MOST_BYTES, SMALL, Batch, Batches, Small
from transfer.engine.expand import Item
from transfer.engine.report import Options
from transfer.errors import ConnectionLostError, StalledError
from transfer.locations import Location
from transfer.model import ObjectInfo
from transfer.planner import Plan
from transfer.retries import RetryPolicy
from transfer.sizes import GIB
from transfer.workers.fleet import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from transfer.quick import Errand

TURNS = 2
NOBODY = Fleet(0, 0, connect_timeout=1, notify=print)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    source, target = LocalStore(tmp_path / "here"), LocalStore(tmp_path / "there")
    here, there = (Location("file", store.url, "a") for store in (source, target))
    return Small(Item(here, there, ObjectInfo("a", 1)), source, target, Plan(1))


def sized(small: Small, size: int) -> Small:
    """Return a file of another size."""
    item = replace(small.item, info=replace(small.item.info, size=size))
    return replace(small, item=item, plan=Plan(size))


class Quick:
    """Only has to be there."""


async def test_files_wait_for_a_batch_only_if_they_are_plain_and_many(small: Small):
    attempts = Attempts(lambda _: RetryPolicy())
    quick: Any = Quick()
    assert not Batches(Options(), None, TURNS, memory=GIB, fleet=NOBODY).takes(small)
    assert not Batches(Options(no_clobber=True), quick, TURNS, memory=GIB, fleet=NOBODY).takes(
        small
    )
    batches = Batches(Options(), quick, TURNS, memory=GIB, fleet=NOBODY)
    large = sized(small, SMALL + 1)
    parts = Small(small.item, small.source, small.target, Plan(100, 10))
    assert not batches.takes(large)
    assert not batches.takes(parts)
    for _ in range(FEW - 1):
        assert batches.takes(small)
    assert not batches.pays(attempts)
    assert batches.give_up_one() is small
    for _ in range(BACKLOG):
        batches.takes(small)
    assert batches.pays(attempts)
    assert batches.full
    assert len(batches.next().smalls) == MOST
    health = attempts.health(Lane(small.target.url, data=True))
    health.dead = ConnectionLostError("gone")
    assert not batches.pays(attempts)


@pytest.mark.parametrize("turns", [1, 2, 8, 16, 31, 32, 33, 48, 64, 1000])
async def test_those_who_carry_are_called_before_no_more_may_wait(small: Small, turns: int):
    quick: Any = Quick()
    batches = Batches(Options(), quick, turns, memory=GIB, fleet=NOBODY)
    while not batches.full:
        batches.takes(small)
    assert batches.many


async def test_what_is_carried_together_is_bounded_in_bytes(small: Small):
    attempts = Attempts(lambda _: RetryPolicy())
    large = sized(small, SMALL)
    quick: Any = Quick()
    batches = Batches(Options(), quick, 1, memory=2 * SMALL + 10, fleet=NOBODY)
    for _ in range(100):
        batches.takes(large)
    first = batches.next()
    assert (len(first.smalls), first.room) == (MOST_BYTES // SMALL, SMALL + 1)
    assert batches.pays(attempts)
    second = batches.next()
    # There is no memory for a third: whoever is free takes a file the long way.
    assert not batches.pays(attempts)
    batches.done(second, attempts, arrived=True)
    assert batches.pays(attempts)


async def test_one_batch_goes_whatever_the_memory_and_no_other_meanwhile(small: Small):
    attempts = Attempts(lambda _: RetryPolicy())
    large = sized(small, 1000)
    quick: Any = Quick()
    batches = Batches(Options(), quick, 1, memory=100, fleet=NOBODY)
    for one in (large, *[small] * 11):
        assert batches.takes(one)
    first = batches.next()
    assert (len(first.smalls), first.room) == (6, 1001)
    assert not batches.pays(attempts)
    batches.done(first, attempts, arrived=True)
    assert batches.pays(attempts)


class Endless:
    """An errand of a worker, and the worker; it does not end."""

    def __init__(self) -> None:
        self.future: Future[None] = Future()
        self.lost = False
        self.done: list[str] = []

    def carry(self, order: object) -> Endless:
        return self

    def abandon(self) -> None:
        self.done.append("abandoned")

    def kill(self) -> None:
        self.done.append("killed")
        self.future.set_result(None)


@pytest.mark.parametrize(
    ("why", "done"),
    [(StalledError("no byte moved"), "killed"), (asyncio.CancelledError(), "abandoned")],
)
async def test_a_worker_that_does_not_answer_is_killed_but_not_for_who_does_not_want_to_wait(
    small: Small, monkeypatch: pytest.MonkeyPatch, why: BaseException, done: str
):
    class Impatient:
        async def wait(self, errand: Errand, moved: object) -> None:
            raise why

    worker: Any = Endless()
    there = Fleet(1, 0, connect_timeout=1, notify=print)
    monkeypatch.setattr(there, "idlest", lambda: worker)
    quick: Any = Impatient()
    batches = Batches(Options(), quick, TURNS, memory=GIB, fleet=there)
    with pytest.raises(type(why)):
        await batches.carry(Batch([small]))
    assert worker.done == [done]
