"""Answering with an object that is replaced meanwhile, or that nobody reads on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
import pytest

from tests.coordinator.inside import MLFLOW, OWN, exact, inside
from transfer.coordinator.counters import Counters
from transfer.coordinator.relay import RelayResponse
from transfer.errors import StalledError
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = b"old" * 1000, b"newer" * 3000
URL = f"{MLFLOW}/artifacts/x"


@pytest.fixture
def replaced(folder, objects, monkeypatch):
    """Have the object replaced after it was looked at, so many times."""
    (objects / "x").write_bytes(OLD)
    bodies: list[bytes] = []
    stat = folder.store.stat

    async def look(key):
        info = await stat(key)
        if bodies:
            await anyio.to_thread.run_sync(_replace, objects / key, bodies.pop())
        return info

    monkeypatch.setattr(folder.store, "stat", look)
    return bodies


def _replace(path: Path, body: bytes) -> None:
    """Do as whoever writes beside the coordinator does."""
    other = path.with_name("other")
    other.write_bytes(body)
    other.rename(path)


async def test_an_object_that_is_replaced_as_it_is_opened_is_sent_as_what_it_is(ask, replaced):
    etag = (await ask.get(URL)).headers["etag"]
    replaced.append(NEW)
    answer = await ask.get(URL)
    assert (answer.status_code, answer.content) == (200, NEW)
    assert answer.headers["content-length"] == str(len(NEW))
    assert answer.headers["etag"] not in {etag, ""}
    assert (await ask.get(URL)).headers["etag"] == answer.headers["etag"]


async def test_a_range_of_what_is_replaced_as_it_is_opened_is_refused(ask, replaced):
    etag = (await ask.get(URL)).headers["etag"]
    replaced.append(NEW)
    answer = await ask.get(URL, headers={"if-match": etag, "range": "bytes=0-2"})
    assert (answer.status_code, answer.content) == (412, b"")


async def test_an_object_that_never_stays_the_same_is_not_sent(ask, replaced):
    replaced += [OLD, NEW] * 5
    answer = await ask.get(URL)
    assert (answer.status_code, answer.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert "replaced again and again" in answer.json()["message"]


class _Deaf:
    """Takes the head of an answer, and then nothing."""

    async def receive(self):
        await anyio.sleep_forever()

    async def send(self, message):
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()


@pytest.mark.parametrize("size", [0, 100])
async def test_who_stops_reading_is_given_up(size):
    source, deaf = BytesSource(bytes(size)), _Deaf()
    answer = RelayResponse(source, Tally(), Counters(), status=200, headers={}, stall_timeout=0.05)
    with anyio.fail_after(5), pytest.raises(StalledError, match="client reads nothing"):
        await answer({"type": "http", "method": "GET"}, deaf.receive, deaf.send)


async def test_a_message_that_does_not_come_is_given_up(tmp_path, folder_store):
    async with inside(tmp_path, folder_store, Settings(stall_timeout=0.05)) as running:
        with anyio.fail_after(5):
            more = {"content-type": "application/json", "content-length": "100"}
            answer = await exact(running.app, "POST", f"{OWN}/puts", b"{", more, stays_away=True)
    assert answer.status == 503
    assert b"no byte of the body came" in answer.body
