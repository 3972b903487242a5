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
    nameless = {name: "HDFS refuses colons" for name in AWKWARD if ":" in name}

    @pytest.fixture
    async def store(self, hdfs, open_store):
        async with open_store(hdfs.url, {}) as store:
            yield store
