"""Uploads that their clients have left: aborted in time, never before, and until it is done."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import select, update

from tests.coordinator.inside import OWN, SigningStore, inside, new_upload
from transfer.coordinator import reaper
from transfer.coordinator.database import UPLOADS
from transfer.coordinator.reaper import reap
from transfer.errors import UnavailableError

WEEK = 604_800.0
DATA = b"0123456789"


@pytest.fixture
def store():
    return SigningStore()


@pytest.fixture
async def here(tmp_path, store):
    async with inside(tmp_path, store) as here:
        yield here


async def opened(here, key="team/x"):
    ask = await here.asker()
    return (await ask.post(f"{OWN}/uploads", new_upload(key))).json()["id"]


async def aged(here, seconds, upload_id=None):
    """Let an upload, or all, be untouched for so long."""
    chosen = update(UPLOADS).values(touched=time.time() - seconds)
    if upload_id is not None:
        chosen = chosen.where(UPLOADS.c.id == upload_id)
    async with here.coordinator.database.writing() as connection:
        await connection.execute(chosen)


async def states(here):
    async with here.coordinator.database.reading() as connection:
        rows = await connection.execute(select(UPLOADS.c.id, UPLOADS.c.state))
        return dict(tuple(row) for row in rows)


async def look(here, lifetime=WEEK):
    return await reap(here.coordinator.uploads, here.coordinator.database, lifetime)


async def test_who_was_seen_lately_is_left_alone(here, store):
    upload = await opened(here)
    await aged(here, WEEK - 60)
    reaped = await look(here)
    assert (reaped.aborted, reaped.size, reaped.failed) == (0, 0, 0)
    assert await states(here) == {upload: "open"}
    assert store.parts.opened == ["team/x"]


async def test_what_nobody_has_touched_is_aborted_with_its_bytes_counted(here, store):
    dead, alive = await opened(here, "team/dead"), await opened(here, "team/alive")
    ask = await here.asker()
    for upload in (dead, alive):
        receipt = {"number": 1, "size": 4, "etag": '"e"'}
        said = {"epoch": 1, "receipts": [receipt]}
        assert (await ask.post(f"{OWN}/uploads/{upload}/receipts", said)).status_code == 200
    await aged(here, WEEK + 1, dead)
    reaped = await look(here)
    assert (reaped.aborted, reaped.size, reaped.failed) == (1, 4, 0)
    assert str(reaped) == "1 abandoned uploads aborted, 4 B freed"
    assert store.parts.opened == ["team/alive"]
    assert await states(here) == {dead: "aborted", alive: "open"}
    # Its client, should there be one after all, is told so.
    answer = await ask.post(f"{OWN}/uploads/{dead}/urls", {"epoch": 1, "numbers": [2]})
    assert answer.json()["code"] == "upload_gone"


@pytest.mark.parametrize("what", ["urls", "parts", "receipts"])
async def test_whatever_a_client_does_is_a_sign_of_life(here, what):
    upload = await opened(here)
    await aged(here, WEEK + 1)
    ask = await here.asker()
    if what == "parts":
        await ask.get(f"{OWN}/uploads/{upload}/parts")
    elif what == "urls":
        await ask.post(f"{OWN}/uploads/{upload}/urls", {"epoch": 1, "numbers": [1]})
    else:
        receipt = {"number": 1, "size": 4, "etag": '"e"'}
        await ask.post(f"{OWN}/uploads/{upload}/receipts", {"epoch": 1, "receipts": [receipt]})
    assert (await look(here)).aborted == 0
    assert await states(here) == {upload: "open"}


async def test_an_abort_that_fails_is_owed_until_it_is_done(here, store, monkeypatch):
    upload = await opened(here)
    ask = await here.asker()
    abort = store.parts.abort

    async def failing(upload):
        raise UnavailableError("the store is away")

    monkeypatch.setattr(store.parts, "abort", failing)
    answer = await ask.post(f"{OWN}/uploads/{upload}/abort", {"epoch": 1})
    assert answer.status_code == 503
    assert await states(here) == {upload: "aborting"}
    # Somebody may be at it just now.
    assert (await look(here)).aborted == 0
    await aged(here, reaper.OWED_AFTER + 1)
    reaped = await look(here)
    assert (reaped.aborted, reaped.failed) == (0, 1)
    assert str(reaped).endswith("1 could not be: the store is away")
    assert await states(here) == {upload: "aborting"}
    monkeypatch.setattr(store.parts, "abort", abort)
    await aged(here, reaper.OWED_AFTER + 1)
    assert (await look(here)).aborted == 1
    assert await states(here) == {upload: "aborted"}
    assert store.parts.opened == []


async def test_who_comes_back_between_the_look_and_the_abort_is_left_alone(
    here, store, monkeypatch
):
    upload = await opened(here)
    await aged(here, WEEK + 1)
    candidates = reaper._candidates

    async def slow(database, due):
        found = await candidates(database, due)
        await here.coordinator.uploads.touch(await here.coordinator.uploads.by_id(upload))
        return found

    monkeypatch.setattr(reaper, "_candidates", slow)
    assert (await look(here)).aborted == 0
    assert store.parts.opened == ["team/x"]


async def test_one_that_never_got_so_far_is_only_forgotten(here):
    upload = await opened(here)
    async with here.coordinator.database.writing() as connection:
        await connection.execute(update(UPLOADS).values(state="opening", store_id=""))
    await aged(here, WEEK + 1)
    assert (await look(here)).aborted == 1
    assert await states(here) == {upload: "aborted"}
    await aged(here, WEEK + 1)
    assert (await look(here)).forgotten == 1
    assert await states(here) == {}


async def test_what_others_have_in_the_same_database_is_theirs(here, tmp_path):
    upload = await opened(here)
    await aged(here, WEEK + 60)
    async with inside(tmp_path, SigningStore(), prefix="other/") as other:
        reaped = await look(other)
        assert (reaped.aborted, reaped.failed, reaped.forgotten) == (0, 0, 0)
        assert await other.coordinator.uploads.count_open() == 0
        assert (await (await other.asker()).get(f"{OWN}/uploads/{upload}")).status_code == 404
    assert await states(here) == {upload: "open"}
    assert await here.coordinator.uploads.count_open() == 1
    assert (await look(here)).aborted == 1


async def test_uploads_from_before_destinations_were_told_apart_are_anybodys(here):
    upload = await opened(here)
    async with here.coordinator.database.writing() as connection:
        await connection.execute(update(UPLOADS).values(destination=""))
    await aged(here, WEEK + 60)
    assert (await look(here)).aborted == 1
    assert await states(here) == {upload: "aborted"}
