from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance, get, put
from transfer.errors import AccessError

pytestmark = pytest.mark.servers


class TestAzurite(StoreConformance):
    """Against Azurite, which checks every signature, its time and what it permits."""

    schemes = ("wasbs", "wasb", "abfss", "az")
    unable = {
        "aborting_may_be_asked_twice_and_ends_it": "Azure takes blocks for any name at any time",
    }

    @pytest.fixture
    async def store(self, azurite, open_store):
        async with open_store(azurite.url, azurite.environ) as store:
            yield store


class TestCoordinatedAzure(StoreConformance):
    """A coordinator in front of it: parts go straight to the store."""

    unable = {
        "no_clobber_refuses_to_replace": "Azurite has another code than Azure for what it refuses",
    }

    async def test_a_url_that_may_only_create_does_not_replace(self, store, room):
        await put(store, room + "a", b"old")
        with pytest.raises(AccessError):
            await put(store, room + "a", b"new", no_clobber=True)
        assert await get(store, room + "a") == b"old"

    @pytest.fixture
    async def store(self, azure_coordinator, open_store):
        async with open_store(f"transfer+http://{azure_coordinator}/", {}) as store:
            yield store
