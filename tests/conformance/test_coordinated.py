from __future__ import annotations

import pytest

from tests.conformance.suite import StoreConformance

pytestmark = pytest.mark.servers


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
