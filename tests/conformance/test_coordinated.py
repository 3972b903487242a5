from __future__ import annotations

import pytest

from backends.coordinated.client import server_of
from backends.coordinated.mlflow import MlflowStore
from backends.s3.parts import LIMITS
from tests.conformance.suite import StoreConformance, put
from transfer.errors import BadKeyError
from transfer.model import Intent
from transfer.mover.threads import open_mover
from transfer.settings import Settings

pytestmark = pytest.mark.servers


OPERATIONS = {
    "stat": lambda store, key: store.stat(key),
    "scan": lambda store, key: store.scan(key),
    "open": lambda store, key: store.open(key).__aenter__(),
    "put": lambda store, key: put(store, key, b"x"),
    "create": lambda store, key: store.parts.create(key, Intent(1, LIMITS.min_size)),
    "delete": lambda store, key: store.delete(key),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scheme", ["transfer+http", "mlflow-artifacts"])
async def test_a_key_that_is_no_text_is_refused(folder_coordinator, open_store, scheme, operation):
    address, _ = folder_coordinator
    async with open_store(f"{scheme}://{address}/", {}) as store:
        with pytest.raises(BadKeyError, match="not valid Unicode"):
            await OPERATIONS[operation](store, "folder/\udcff")


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_key_that_is_no_text_is_refused_by_the_client_of_mlflow(
    folder_coordinator, operation
):
    """A coordinator speaks MLflow's protocol too, to whoever does not ask what it is."""
    address, _ = folder_coordinator
    settings = Settings()
    async with open_mover(settings) as mover:
        server = server_of(f"mlflow-artifacts://{address}", settings, mover)
        store = MlflowStore("mlflow-artifacts://x", server, settings, {})
        with pytest.raises(BadKeyError, match="not valid Unicode"):
            await OPERATIONS[operation](store, "folder/\udcff")


@pytest.mark.parametrize("operation", ["open", "put", "create"])
async def test_a_key_too_long_for_a_message_is_refused(folder_coordinator, open_store, operation):
    address, _ = folder_coordinator
    async with open_store(f"transfer+http://{address}/", {}) as store:
        with pytest.raises(BadKeyError, match="longer than"):
            await OPERATIONS[operation](store, "k" * 1025)


class TestCoordinatedFolder(StoreConformance):
    """A coordinator that keeps a folder: parts come to it, by URLs that it signed."""

    schemes = ("transfer+http", "transfer+https")
    shown = "`transfer+http://`"
    against = "transfer serve, a folder"

    @pytest.fixture
    async def store(self, folder_coordinator, open_store):
        address, _ = folder_coordinator
        async with open_store(f"transfer+http://{address}/", {}) as store:
            yield store


class TestCoordinatedS3(StoreConformance):
    """A coordinator in front of S3: parts go straight to the store."""

    schemes = ("mlflow-artifacts",)
    shown = "`mlflow-artifacts://`"
    against = "transfer serve, S3"
    unable = {
        "no_clobber_refuses_to_replace": "rclone ignores If-None-Match",
        "an_object_replaced_while_read_is_noticed": "rclone ignores If-Match and gives no ETag",
        "a_part_sent_again_replaces_the_first": "rclone answers 501 to other content",
    }

    @pytest.fixture
    async def store(self, s3_coordinator, open_store):
        async with open_store(f"mlflow-artifacts://{s3_coordinator}/", {}) as store:
            yield store


class TestCoordinatedSftp(StoreConformance):
    """A coordinator in front of an SSH server: parts come to it, and go on at their offsets."""

    shown = "`transfer+http://`"
    against = "transfer serve, SFTP"

    @pytest.fixture
    async def store(self, sftp_coordinator, open_store):
        async with open_store(f"transfer+http://{sftp_coordinator}/", {}) as store:
            yield store


class TestCoordinatedFtp(StoreConformance):
    """A coordinator in front of an FTP server: whole objects pass through it."""

    shown = "`transfer+http://`"
    against = "transfer serve, FTP"

    @pytest.fixture
    async def store(self, ftp_coordinator, open_store):
        async with open_store(f"transfer+http://{ftp_coordinator}/", {}) as store:
            yield store
