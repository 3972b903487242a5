from __future__ import annotations

import pytest

from tests.conformance.suite import AWKWARD, StoreConformance

pytestmark = [pytest.mark.servers, pytest.mark.slow]


class TestHdfs(StoreConformance):
    """Against a NameNode and a DataNode of Hadoop."""

    schemes = ("hdfs",)
    shown = "`hdfs://`"
    against = "Hadoop 2.7.3"
    unseen = "HDFS with Kerberos, with encryption, and Hadoop 3."

    @pytest.mark.parametrize("name", [name for name in AWKWARD if ":" not in name])
    async def test_awkward_names_are_names(self, store, room, name):
        # HDFS itself refuses colons.
        await super().test_awkward_names_are_names(store, room, name)

    @pytest.fixture
    async def store(self, hdfs, open_store):
        async with open_store(hdfs.url, {}) as store:
            yield store
