from __future__ import annotations

import pytest

from backends.local.store import LocalStore
from tests.conformance.suite import StoreConformance
from transfer.errors import SourceChangedError

_ONCE = {"completing_twice_ends_with_the_object": "the temporary file is the object by then"}


class TestLocal(StoreConformance):
    schemes = ("file",)
    shown = "a path, `file:`"
    against = "this machine"
    unseen = "A mount of NFS: only local file systems were there."
    unable = _ONCE

    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(tmp_path)


class TestLocalConfined(StoreConformance):
    unable = _ONCE

    @pytest.fixture
    def store(self, tmp_path):
        return LocalStore(tmp_path / "not there yet", confined=True)


async def test_a_file_that_was_listed_and_replaced_is_not_read(tmp_path):
    store = LocalStore(tmp_path)
    (tmp_path / "a").write_bytes(b"1")
    info = await store.stat("a")
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "b").rename(tmp_path / "a")
    with pytest.raises(SourceChangedError):
        async with store.open("a", info):
            pass
