"""The strict store with clients that know nothing of it: boto3, aiobotocore, rclone."""

from __future__ import annotations

import base64
import hashlib
import os
import urllib.request

import pytest

from tests.faults.harness import AWS, BUCKET, NAMED, StrictStore, in_thread
from tests.faults.harness.clients import boto, refused
from tests.faults.harness.digests import checksum_of

KIB = 1024
SMALL = AWS.but(min_part=KIB)


@pytest.fixture(scope="module")
def store():
    with in_thread(StrictStore(SMALL)) as store:
        yield store


@pytest.fixture(scope="module")
def client(store):
    # When supported: today's default of the SDKs; it sends and wants checksums.
    client = boto(store, request_checksum_calculation="when_supported")
    yield client
    client.close()


@pytest.fixture
def ask(client, request):
    """Call an operation on a key that is this test's own; return the answer."""

    def call(operation, **arguments):
        arguments.setdefault("Key", request.node.name)
        return getattr(client, operation)(Bucket=BUCKET, **arguments)

    return call


def test_an_object(ask):
    data = os.urandom(100_000)
    put = ask(
        "put_object",
        Body=data,
        ContentType="text/x",
        CacheControl="no-store",
        Metadata={"color": "light blue"},
    )
    assert put["ChecksumCRC32"] == checksum_of("crc32", data)
    head = ask("head_object", ChecksumMode="ENABLED")
    assert head["ContentLength"] == 100_000
    assert (head["ContentType"], head["CacheControl"]) == ("text/x", "no-store")
    assert head["Metadata"] == {"color": "light blue"}
    assert head["ETag"] == put["ETag"]
    assert (head["ChecksumCRC32"], head["ChecksumType"]) == (put["ChecksumCRC32"], "FULL_OBJECT")
    assert ask("get_object")["Body"].read() == data
    assert ask("delete_object")["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(ask, "get_object") == (404, "NoSuchKey")
    assert refused(ask, "head_object") == (404, "404")


def test_an_empty_object(ask):
    ask("put_object", Body=b"")
    assert ask("head_object")["ContentLength"] == 0
    assert ask("get_object")["Body"].read() == b""


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-19", 10, 20), ("bytes=90-", 90, 100), ("bytes=-7", 93, 100)],
)
def test_a_range(ask, header, start, stop):
    data = bytes(range(100))
    ask("put_object", Body=data)
    got = ask("get_object", Range=header)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == f"bytes {start}-{stop - 1}/100"
    assert got["Body"].read() == data[start:stop]


def test_a_range_that_is_not_there(ask):
    ask("put_object", Body=b"12345")
    assert refused(ask, "get_object", Range="bytes=5-9") == (416, "InvalidRange")
    assert ask("get_object", Range="bytes=4-900")["Body"].read() == b"5"


def test_conditions_of_reads(ask):
    etag = ask("put_object", Body=b"1")["ETag"]
    assert ask("get_object", IfMatch=etag)["Body"].read() == b"1"
    assert refused(ask, "get_object", IfMatch='"0"') == (412, "PreconditionFailed")
    assert refused(ask, "get_object", IfNoneMatch=etag)[0] == 304
    assert refused(ask, "head_object", IfMatch='"0"')[0] == 412


def test_conditions_of_writes(ask):
    assert refused(ask, "put_object", Body=b"", IfMatch='"0"') == (404, "NoSuchKey")
    etag = ask("put_object", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(ask, "put_object", Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(ask, "put_object", Body=b"2", IfMatch='"0"') == (412, "PreconditionFailed")
    assert refused(ask, "put_object", Body=b"2", IfNoneMatch=etag) == (501, "NotImplemented")
    ask("put_object", Body=b"2", IfMatch=etag)
    assert ask("get_object")["Body"].read() == b"2"


def test_a_multipart_upload(ask, store, client, request):
    cut = [os.urandom(KIB), os.urandom(2 * KIB), b"end"]
    created = ask("create_multipart_upload", Metadata={"mark": "1"}, ChecksumAlgorithm="CRC32")
    assert created["ChecksumType"] == "COMPOSITE"
    upload = created["UploadId"]
    parts = []
    for number, data in enumerate(cut, 1):
        answer = ask("upload_part", UploadId=upload, PartNumber=number, Body=data)
        assert answer["ChecksumCRC32"] == checksum_of("crc32", data)
        parts.append(
            {
                "PartNumber": number,
                "ETag": answer["ETag"],
                "ChecksumCRC32": answer["ChecksumCRC32"],
            }
        )
    listed = ask("list_parts", UploadId=upload)
    assert [(one["PartNumber"], one["Size"]) for one in listed["Parts"]] == [
        (1, KIB),
        (2, 2 * KIB),
        (3, 3),
    ]
    mine = client.list_multipart_uploads(Bucket=BUCKET, Prefix=request.node.name)["Uploads"]
    assert [one["UploadId"] for one in mine] == [upload]
    done = ask("complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": parts})
    assert done["ETag"].endswith('-3"')
    assert ask("get_object")["Body"].read() == b"".join(cut)
    assert ask("head_object")["Metadata"] == {"mark": "1"}
    assert store.shelf.uploads == {}


def test_aborting(ask):
    upload = ask("create_multipart_upload")["UploadId"]
    ask("upload_part", UploadId=upload, PartNumber=1, Body=b"1")
    ask("abort_multipart_upload", UploadId=upload)
    assert refused(ask, "abort_multipart_upload", UploadId=upload) == (404, "NoSuchUpload")
    assert refused(ask, "list_parts", UploadId=upload) == (404, "NoSuchUpload")
    late = {"UploadId": upload, "PartNumber": 2, "Body": b"2"}
    assert refused(ask, "upload_part", **late) == (404, "NoSuchUpload")


def test_listing(client):
    names = ["l/a b", "l/a+b", "l/d/1", "l/d/2", "l/ü%41", "l/ctrl\x01\n", "l/<&>\"'"]
    for name in names:
        client.put_object(Bucket=BUCKET, Key=name, Body=b"12")
    pages = list(
        client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix="l/", PaginationConfig={"PageSize": 2}
        )
    )
    found = [item["Key"] for page in pages for item in page["Contents"]]
    assert found == sorted(names)
    assert [page["KeyCount"] for page in pages] == [2, 2, 2, 1]
    once = client.list_objects_v2(Bucket=BUCKET, Prefix="l/", Delimiter="/")
    assert [one["Prefix"] for one in once["CommonPrefixes"]] == ["l/d/"]
    assert len(once["Contents"]) == 5
    after = client.list_objects_v2(Bucket=BUCKET, Prefix="l/", StartAfter="l/d/2")
    assert [item["Key"] for item in after["Contents"]] == ["l/ü%41"]


def test_folders_go_on_over_pages(client):
    for name in ("p/a/1", "p/a/2", "p/b/1", "p/c"):
        client.put_object(Bucket=BUCKET, Key=name, Body=b"")
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="p/", Delimiter="/", PaginationConfig={"PageSize": 1}
    )
    found = [
        [one["Prefix"] for one in page.get("CommonPrefixes", [])]
        + [one["Key"] for one in page.get("Contents", [])]
        for page in pages
    ]
    assert found == [["p/a/"], ["p/b/"], ["p/c"]]


def test_list_parts_goes_on_over_pages(ask, client, request):
    upload = ask("create_multipart_upload")["UploadId"]
    for number in range(1, 8):
        ask("upload_part", UploadId=upload, PartNumber=number, Body=bytes(number))
    pages = client.get_paginator("list_parts").paginate(
        Bucket=BUCKET,
        Key=request.node.name,
        UploadId=upload,
        PaginationConfig={"PageSize": 3},
    )
    assert [[one["Size"] for one in page["Parts"]] for page in pages] == [
        [1, 2, 3],
        [4, 5, 6],
        [7],
    ]
    ask("abort_multipart_upload", UploadId=upload)


def test_open_uploads_go_on_over_pages(client):
    wanted = []
    for name in ("u/a", "u/a", "u/b", "u/c"):
        answer = client.create_multipart_upload(Bucket=BUCKET, Key=name)
        wanted.append((name, answer["UploadId"]))
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=BUCKET, Prefix="u/", PaginationConfig={"PageSize": 2}
    )
    found = [(one["Key"], one["UploadId"]) for page in pages for one in page["Uploads"]]
    assert found == wanted
    for key, upload in wanted:
        client.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=upload)


@pytest.mark.parametrize(
    "key", ["k" * 1024, "a//b", "/a", "./../a", "a b+c%20d?e#f", "ü/名", "~*'()"]
)
def test_awkward_keys(client, key):
    client.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == key.encode()


def test_keys_and_buckets_that_cannot_be(client):
    long = {"Bucket": BUCKET, "Key": "k" * 1025, "Body": b""}
    assert refused(client.put_object, **long) == (400, "KeyTooLongError")
    other = {"Bucket": "nowhere", "Key": "k", "Body": b""}
    assert refused(client.put_object, **other) == (404, "NoSuchBucket")
    owned = {"Bucket": BUCKET, "Key": "k", "ExpectedBucketOwner": "000000000000"}
    assert refused(client.get_object, **owned) == (403, "AccessDenied")
    client.head_bucket(Bucket=BUCKET, ExpectedBucketOwner="111122223333")


def test_what_it_does_not_know_it_says(client, ask):
    assert refused(client.list_objects, Bucket=BUCKET) == (501, "NotImplemented")
    assert refused(ask, "get_object_tagging") == (501, "NotImplemented")
    ask("put_object", Body=b"")
    assert refused(ask, "get_object", PartNumber=1) == (501, "NotImplemented")
    copy = {"CopySource": f"{BUCKET}/a"}
    assert refused(ask, "copy_object", **copy) == (501, "NotImplemented")
    elsewhere = {"Body": b"", "WebsiteRedirectLocation": "/x"}
    assert refused(ask, "put_object", **elsewhere) == (501, "NotImplemented")


def test_metadata_has_a_limit(ask):
    many = {f"name-{number}": "v" * 100 for number in range(20)}
    assert refused(ask, "put_object", Body=b"", Metadata=many) == (400, "MetadataTooLarge")


def test_encryption_shows_and_changes_etags(ask):
    plain = ask("put_object", Body=b"1")
    assert plain["ServerSideEncryption"] == "AES256"
    kms = ask("put_object", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId="key")
    assert (kms["ServerSideEncryption"], kms["SSEKMSKeyId"]) == ("aws:kms", "key")
    assert kms["ETag"] != plain["ETag"]


def test_presigned_urls_of_boto3(client, request):
    key = request.node.name
    data = b"presigned"
    params = {"Bucket": BUCKET, "Key": key, "ContentMD5": md5(data), "ContentLength": len(data)}
    url = client.generate_presigned_url("put_object", Params=params, ExpiresIn=60)
    put = urllib.request.Request(url, data=data, method="PUT")
    put.add_header("Content-MD5", md5(data))
    put.add_header("Content-Type", "text/plain")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    url = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == data


def md5(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


@pytest.mark.parametrize("personality", NAMED.values(), ids=NAMED)
def test_every_personality_serves_boto3(personality):
    with in_thread(StrictStore(personality.but(min_part=0))) as store:
        client = boto(store, request_checksum_calculation="when_required")
        client.put_object(Bucket=BUCKET, Key="a", Body=b"whole", Metadata={"Color": "x"})
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="b")["UploadId"]
        tags = [
            client.upload_part(
                Bucket=BUCKET, Key="b", UploadId=upload, PartNumber=number, Body=b"12345"
            )["ETag"]
            for number in (1, 2)
        ]
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        complete = {"Bucket": BUCKET, "Key": "b", "UploadId": upload}
        complete["MultipartUpload"] = {"Parts": parts}
        first = client.complete_multipart_upload(**complete)
        if personality.complete_twice == "404":
            assert refused(client.complete_multipart_upload, **complete) == (404, "NoSuchUpload")
        else:
            assert client.complete_multipart_upload(**complete)["ETag"] == first["ETag"]
        ranged = client.get_object(Bucket=BUCKET, Key="b", Range="bytes=4-5")
        assert ranged["Body"].read() == b"51"
        assert ranged["ResponseMetadata"]["HTTPStatusCode"] == personality.ranged_status
        client.close()
