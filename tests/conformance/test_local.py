from __future__ import annotations

import pytest

from backends.local.store import LocalStore
from tests.conformance.suite import StoreConformance

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
