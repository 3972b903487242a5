from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance, keys, put
from tests.faults.harness import StrictGcs
from tests.support.servers import BUCKET

pytestmark = pytest.mark.servers


class TestEmulator(StoreConformance):
    """Against gcp-storage-emulator: the JSON API, without credentials, so without parts."""

    schemes = ("gs",)
    shown = "`gs://`"
    against = "gcp-storage-emulator (JSON API)"
    version_from = "gcp-storage-emulator"
    unseen = (
        "Google Cloud Storage itself: signed parts were tried with the strict store, which is"
        " ours, and the same requests, signed as Amazon's, with rclone."
    )
    unable = {
        "no_clobber_refuses_to_replace": "the emulator ignores ifGenerationMatch",
        "scan_goes_on_over_pages": "the emulator knows no pages",
        "an_object_replaced_while_read_is_noticed": "the emulator tells no generation of a read",
    }

    @pytest.fixture
    async def store(self, gcs_emulator, open_store):
        async with open_store(f"gs://{BUCKET}", {"STORAGE_EMULATOR_HOST": gcs_emulator}) as store:
            assert store.parts is None
            assert store.signer is None
            yield store


class TestStrict(StoreConformance):
    """Against our own strict server, with a service account's key: parts by signed URLs.

    It is a fake, for the checks that no server to be had makes: GOOG4-RSA-SHA256
    signatures, expiry, signed headers, x-goog-hash, generations.
    """

    shown = "`gs://`"
    against = "the strict store of our own tests"

    @pytest.fixture
    async def server(self):
        async with StrictGcs() as server:
            yield server

    @pytest.fixture
    def environ(self, server, tmp_path):
        return server.environ_with(server.service_account(), tmp_path)

    @pytest.fixture
    async def store(self, server, environ, open_store):
        async with open_store(f"gs://{BUCKET}", environ) as store:
            yield store
            assert server.open_uploads == []
            assert not [one for one in server.sessions.values() if one.result is None]

    @pytest.mark.parametrize("name", ["a b", "a+b", "a%20b", "a&b=c", "ünï"])
    async def test_prefixes_are_literal(self, store, room, name):
        for folder in ("a b", "a+b", "a%20b", "a&b=c", "ünï"):
            await put(store, f"{room}{folder}/x", b"")
        assert await keys(store, f"{room}{name}/") == [f"{room}{name}/x"]


class TestStrictUser(TestStrict):
    """The same with a user's credentials, which cannot sign: resumable uploads instead of parts."""

    against = ""

    @pytest.fixture
    def environ(self, server, tmp_path):
        return server.environ_with(server.authorized_user(), tmp_path)

    async def test_nothing_is_offered_that_cannot_be_signed(self, store):
        assert store.parts is None
        assert store.signer is None
