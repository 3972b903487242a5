from __future__ import annotations

import pytest

from backends.memory import MemoryStore
from tests.conformance.suite import StoreConformance


class TestMemory(StoreConformance):
    schemes = ("memory",)
    unable = {
        "an_object_replaced_while_read_is_noticed": "bytes in memory do not change under a reader",
        "completing_twice_ends_with_the_object": "forgets an upload when it is complete",
    }

    @pytest.fixture
    def store(self):
        return MemoryStore()


class TestMemoryWithoutMultipart(StoreConformance):
    unable = {
        "an_object_replaced_while_read_is_noticed": "bytes in memory do not change under a reader",
    }

    @pytest.fixture
    def store(self):
        return MemoryStore(multipart=False)
