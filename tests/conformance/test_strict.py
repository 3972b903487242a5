"""The S3 store against an S3 that verifies everything: nothing is skipped here."""

from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance
from tests.faults.harness import AWS, BUCKET, R2, StrictStore


class TestStrictStore(StoreConformance):
    """As Amazon: signatures, signed headers, checksums, conditions, part rules."""

    personality = AWS

    @pytest.fixture
    async def store(self, open_store):
        async with (
            StrictStore(self.personality) as server,
            open_store(f"s3://{BUCKET}", server.environ) as store,
        ):
            yield store
            assert server.open_uploads == []


class TestStrictR2(TestStrictStore):
    """With equal parts, and an upload that is gone once it is complete."""

    personality = R2.but(complete_twice="404")
