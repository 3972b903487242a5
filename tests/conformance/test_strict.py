"""The S3 store against an S3 that verifies everything: nothing is skipped here."""

from __future__ import annotations

import pytest

from backends.s3.parts import LIMITS
from tests.conformance.suite import StoreConformance, content
from tests.faults.harness import AWS, BUCKET, R2, StrictStore
from transfer.checksums import Algorithm, checksum_of
from transfer.model import Expected, Intent


class TestStrictStore(StoreConformance):
    """As Amazon: signatures, signed headers, checksums, conditions, part rules."""

    personality = AWS
    shown = "`s3://`"
    against = "the strict store of our own tests"

    @pytest.fixture
    async def server(self):
        async with StrictStore(self.personality) as server:
            yield server

    @pytest.fixture
    async def store(self, server, open_store):
        async with open_store(f"s3://{BUCKET}", server.environ) as store:
            yield store
            assert server.open_uploads == []

    async def test_parts_and_the_whole_are_bound_to_their_content(self, server, store):
        data = content(LIMITS.min_size + 10)
        intent = Intent(len(data), LIMITS.min_size, algorithm=Algorithm.CRC32C)
        upload = await store.parts.create("bound", intent)
        first = await self.send(store.parts, upload, 1, data[: LIMITS.min_size])
        last = await self.send(store.parts, upload, 2, data[LIMITS.min_size :])
        info = await store.parts.complete(upload, [first, last], Expected(len(data)))
        assert info.checksum == checksum_of(Algorithm.CRC32C, data)
        for entry in server.seen("UploadPart"):
            assert "x-amz-checksum-crc32c" in entry.headers
        assert server.objects["bound"].checksum_type == "FULL_OBJECT"


class TestStrictR2(TestStrictStore):
    """With equal parts, and an upload that is gone once it is complete."""

    against = ""

    personality = R2.but(complete_twice="404")
