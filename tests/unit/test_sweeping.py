from __future__ import annotations

import pytest

from backends.memory import MemoryStore
from backends.remote_walk import Entry, Leftovers
from transfer.cli.sweeping import swept_dicts, swept_line
from transfer.engine.sweeping import Swept, is_left, sweep
from transfer.errors import AccessError, BadKeyError, UnsupportedError
from transfer.model import ObjectInfo

NAME = f".transfer-{'0' * 32}.partial"


@pytest.mark.parametrize(
    ("modified", "left"), [(None, False), (99.0, False), (90.0, True), (0.0, True), (200.0, False)]
)
def test_age_is_what_the_time_of_the_file_says(modified, left):
    assert is_left(ObjectInfo("a", 1, modified=modified), now=100.0, older_than=10.0) is left


def server(files, denied=()):
    """A server with these files, by age; returns the store and what was removed from it."""
    removed = []

    async def entries(prefix):
        infos = [ObjectInfo(prefix + name, 5, modified=time) for name, time in files.items()]
        return [Entry(info.key.removeprefix(prefix), info) for info in infos]

    async def remove(key):
        if key in denied:
            raise AccessError("no")
        removed.append(key)

    store = MemoryStore()
    store.leftovers = Leftovers(entries, remove)
    return store, removed


async def test_only_what_is_old_and_unfinished_is_removed():
    store, removed = server({"precious": 0.0, NAME: 0.0, NAME.replace("0", "1"): 9e12})
    swept = await sweep(store, "dir/", older_than=60)
    assert removed == [f"dir/{NAME}"]
    assert (swept.size, swept.young, swept.failed) == (5, 1, [])


async def test_a_dry_run_touches_nothing():
    store, removed = server({NAME: 0.0})
    swept = await sweep(store, "", older_than=60, dry_run=True)
    assert (removed, len(swept.removed)) == ([], 1)


async def test_one_that_cannot_be_removed_does_not_end_it():
    other = NAME.replace("0", "1")
    store, removed = server({NAME: 0.0, other: 0.0}, denied={NAME})
    swept = await sweep(store, "", older_than=60)
    assert removed == [other]
    assert [info.key for info, _ in swept.failed] == [NAME]
    assert "1 failed" in swept_line("ftp://host", swept, "24h", dry_run=False)
    events = [item["event"] for item in swept_dicts("ftp://host", swept, dry_run=False)]
    assert events == ["removed", "error", "summary"]


async def test_what_is_somebodys_is_never_removed():
    store, removed = server({"precious": 0.0})
    with pytest.raises(BadKeyError):
        await store.leftovers.remove("dir/precious")
    assert removed == []


async def test_a_store_without_such_names_says_so():
    with pytest.raises(UnsupportedError, match="no unfinished files"):
        await sweep(MemoryStore(), "", older_than=60)


def test_what_is_said_of_nothing():
    assert swept_line("ftp://h", Swept(), "24h", dry_run=True) == "ftp://h: nothing removed"
