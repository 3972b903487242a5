from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from transfer.engine import keeping
from transfer.engine.keeping import Keeper, Pair
from transfer.journal import Entry, Journal
from transfer.model import ObjectInfo, Upload

if TYPE_CHECKING:
    from collections.abc import Callable


def keeper(
    folder: Path,
    *,
    resume: bool = True,
    take_over: bool = False,
    notify: Callable[[str], None] = pytest.fail,
) -> Keeper:
    return Keeper(Journal(folder), resume=resume, take_over=take_over, settings=(), notify=notify)


def pair(name: str) -> Pair:
    return Pair(f"/in/{name}", f"s3://b/{name}", ObjectInfo(name, 10), local_source=True)


async def test_beat_goes_on_until_it_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keeping, "HEARTBEAT", 0.01)
    mine = keeper(tmp_path)
    kept = await mine.claim(pair("a"))
    assert kept is not None
    with anyio.move_on_after(0.05) as scope:
        await mine.beat()
    assert scope.cancelled_caught
    await kept.close()


async def test_beat_goes_on_for_others_when_one_was_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "HEARTBEAT", 0.01)
    mine, other = keeper(tmp_path), keeper(tmp_path, take_over=True)
    kept = await mine.claim(pair("a"))
    assert kept is not None
    await kept.begin(Upload("a", "id", 10, 5), ())
    taken = await other.claim(pair("a"))
    assert taken is not None
    with anyio.move_on_after(0.05) as scope:
        await mine.beat()
    assert scope.cancelled_caught


async def test_beat_survives_a_transfer_that_ends_in_the_middle_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "HEARTBEAT", 0.01)
    mine = keeper(tmp_path)
    kept = [await mine.claim(pair(name)) for name in "ab"]
    touch = Entry.touch

    def touch_and_end_all(entry: Entry) -> None:
        """End each transfer while the beat is at the first of them."""
        touch(entry)
        for item in kept:
            assert item is not None
            item._entry.close()
        mine._entries.clear()

    monkeypatch.setattr(Entry, "touch", touch_and_end_all)
    with anyio.move_on_after(0.05) as scope:
        await mine.beat()
    assert scope.cancelled_caught


async def test_what_was_taken_over_is_not_owed_here(tmp_path: Path):
    mine, other = keeper(tmp_path), keeper(tmp_path, take_over=True)
    kept = await mine.claim(pair("a"))
    assert kept is not None
    upload = Upload("a", "id", 10, 5)
    await kept.begin(upload, ())
    taken = await other.claim(pair("a"))
    assert taken is not None
    await kept.owe_abort(upload)
    await kept.close()
    assert taken.former is not None
    assert not taken.former.pending_abort
    await taken.close()


@pytest.mark.parametrize("name", ["/proc/nope", f"/tmp/{'n' * 300}"])
async def test_a_folder_that_cannot_be_made_costs_a_notice_only(name: str):
    said: list[str] = []
    mine = keeper(Path(name), notify=said.append)
    assert await mine.claim(pair("a")) is None
    assert await mine.claim(pair("b")) is None
    assert len(said) == 1
    assert "could not be resumed: cannot keep a record in" in said[0]


async def test_who_would_not_go_on_is_not_told_that_it_cannot():
    assert await keeper(Path("/proc/nope"), resume=False).claim(pair("a")) is None


@pytest.mark.parametrize(
    ("version", "local", "goes_on"), [("v", False, True), (None, False, False), (None, True, True)]
)
async def test_a_source_without_a_version_is_not_gone_on_with(
    tmp_path: Path, version: str | None, local: bool, goes_on: bool
):
    source = Pair("http://h/a", "/out/a", ObjectInfo("a", 10, version), local_source=local)
    first = await keeper(tmp_path).claim(source)
    assert first is not None
    await first.begin(Upload("a", "id", 10, 5), ())
    await first.close()
    second = await keeper(tmp_path).claim(source)
    assert second is not None
    assert (second.resumable is not None) is goes_on
    await second.close()
