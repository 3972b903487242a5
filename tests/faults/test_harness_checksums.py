"""What a client claims of its bytes is computed again: each claim, right and wrong."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib

import pytest

from tests.faults.harness import AWS, BUCKET, CEPH, StrictStore, crc64, in_thread
from tests.faults.harness.aws_chunked import UNSIGNED_TRAILER
from tests.faults.harness.by_hand import presigned, send, signed
from tests.faults.harness.clients import boto, refused
from tests.faults.harness.digests import ALGORITHMS, checksum_of, composite_of, digest_of

SMALL = AWS.but(min_part=10)
BODY = b"the quick brown fox"
# For the nine digits: zlib's, RFC 3720, the NVM Express specification, FIPS 180.
CHECK = {
    "crc32": "cbf43926",
    "crc32c": "e3069283",
    "crc64nvme": "ae8b14860a799888",
    "sha1": "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
    "sha256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
}


@pytest.fixture
async def store():
    async with StrictStore(SMALL) as store:
        yield store


def put(store, headers, body=BODY):
    return send(store, presigned(store, "PUT", "a", headers=headers, body=body))


def other(text):
    """Return another checksum of the same kind."""
    raw = bytearray(base64.b64decode(text))
    raw[0] ^= 1
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digests_have_their_check_values(algorithm):
    assert digest_of(algorithm, b"123456789").hex() == CHECK[algorithm]


def test_the_fast_crc64_is_the_slow_one():
    for size in (0, 1, 63, 1024, 1025, 131_071, 131_073, 300_000):
        data = os.urandom(size)
        slow = crc64._by_byte(2**64 - 1, data) ^ (2**64 - 1)
        assert crc64.crc64nvme(data) == slow.to_bytes(8, "big")


# --- Of a whole object


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_checksum_of_a_put(store, algorithm):
    name = f"x-amz-checksum-{algorithm}"
    right = checksum_of(algorithm, BODY)
    wrong = await put(store, {name: other(right)})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    assert wrong.tag("Message").startswith(f"The {algorithm.upper()} you specified")
    invalid = await put(store, {name: right[:-4] + "!!!!"})
    assert (invalid.status, invalid.code) == (400, "InvalidRequest")
    assert store.objects == {}
    taken = await put(store, {name: right})
    assert (taken.status, taken.headers[name]) == (200, right)
    assert taken.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    mode = {"x-amz-checksum-mode": "ENABLED"}
    for method in ("HEAD", "GET"):
        got = await send(store, presigned(store, method, "a", headers=mode))
        assert (got.headers[name], got.headers["x-amz-checksum-type"]) == (right, "FULL_OBJECT")
    part = await send(
        store, presigned(store, "GET", "a", headers=mode).but(more={"Range": "bytes=0-1"})
    )
    assert name not in part.headers


async def test_what_was_given_no_checksum_gets_one(store):
    await put(store, {})
    head = await send(store, presigned(store, "HEAD", "a"))
    assert not [name for name in head.headers if "checksum" in name]
    mode = {"x-amz-checksum-mode": "ENABLED"}
    head = await send(store, presigned(store, "HEAD", "a", headers=mode))
    assert head.headers["x-amz-checksum-crc64nvme"] == checksum_of("crc64nvme", BODY)


async def test_claims_that_contradict_each_other(store):
    crc32, sha1 = checksum_of("crc32", BODY), checksum_of("sha1", BODY)
    two = await put(store, {"x-amz-checksum-crc32": crc32, "x-amz-checksum-sha1": sha1})
    assert two.tag("Message").startswith("Expecting a single x-amz-checksum- header")
    named = {"x-amz-checksum-crc32": crc32, "x-amz-sdk-checksum-algorithm": "SHA1"}
    reply = await put(store, named)
    assert reply.tag("Message") == "Value for x-amz-sdk-checksum-algorithm header is invalid."
    alone = await put(store, {"x-amz-sdk-checksum-algorithm": "SHA1"})
    assert (alone.status, alone.code) == (400, "InvalidRequest")
    unknown = await put(store, {"x-amz-checksum-crc16": "AAA="})
    assert (unknown.status, unknown.code) == (400, "InvalidRequest")


@pytest.mark.parametrize("sign", [True, False])
async def test_content_md5(store, sign):
    right = base64.b64encode(hashlib.md5(BODY).digest()).decode()

    async def answer(value):
        headers = {"content-md5": value}
        message = presigned(store, "PUT", "a", headers=headers if sign else {}, body=BODY)
        return await send(store, message.but(without="content-md5", more=headers))

    for invalid in ("no base64!", "MTIz", "000"):
        assert (await answer(invalid)).code == "InvalidDigest"
    assert (await answer(other(right))).code == "BadDigest"
    assert (await answer(right)).status == 200


async def test_a_store_without_checksums_looks_at_none():
    async with StrictStore(CEPH) as store:
        reply = await put(store, {"x-amz-checksum-crc32": "AAAAAA=="})
        assert reply.status == 200
        assert "x-amz-checksum-crc32" not in reply.headers
        mode = {"x-amz-checksum-mode": "ENABLED"}
        head = await send(store, presigned(store, "HEAD", "a", headers=mode))
        assert not [name for name in head.headers if "checksum" in name]
        # Content-MD5 is older.
        assert (await put(store, {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="})).code == "BadDigest"


# --- Behind the body


def chunked(store, *, chunks=(BODY,), trailer=None, length=None, announced="x-amz-checksum-crc32"):
    whole = b"".join(chunks)
    value = base64.b64encode(zlib.crc32(whole).to_bytes(4, "big")).decode()
    trailer = f"x-amz-checksum-crc32:{value}" if trailer is None else trailer
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    body += b"0\r\n" + trailer.encode() + b"\r\n\r\n"
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": str(len(whole) if length is None else length),
        "x-amz-trailer": announced,
    }
    return signed(store, "PUT", "a", headers=headers, body=body, payload=UNSIGNED_TRAILER)


async def test_a_trailer_is_verified(store):
    reply = await send(store, chunked(store, chunks=(BODY, b"more", b"\r\n0\r\n")))
    assert reply.status == 200
    assert store.objects["a"].data == BODY + b"more\r\n0\r\n"
    assert reply.headers["x-amz-checksum-crc32"] == checksum_of("crc32", store.objects["a"].data)
    assert "content-encoding" not in store.objects["a"].headers


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"trailer": "x-amz-checksum-crc32:AAAAAA=="}, "BadDigest"),
        ({"trailer": "x-amz-checksum-crc32:AAA"}, "InvalidRequest"),
        ({"trailer": ""}, "MalformedTrailerError"),
        ({"trailer": "nothing"}, "MalformedTrailerError"),
        ({"announced": "x-amz-checksum-sha1"}, "MalformedTrailerError"),
        ({"length": 3}, "IncompleteBody"),
    ],
)
async def test_a_trailer_that_is_wrong(store, change, code):
    assert (await send(store, chunked(store, **change))).code == code
    assert store.objects == {}


async def test_chunks_that_are_none(store):
    broken = chunked(store)
    assert (await send(store, broken.but(body=b"zz\r\n" + broken.body))).code == "IncompleteBody"
    short = broken.body.replace(b"\r\n0\r\n", b"0\r\n")
    assert (await send(store, broken.but(body=short))).code == "IncompleteBody"
    signed_chunks = signed(
        store,
        "PUT",
        "a",
        headers={"x-amz-decoded-content-length": "3"},
        body=b"3;chunk-signature=0\r\nabc\r\n0;chunk-signature=0\r\n\r\n",
        payload="STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    )
    assert (await send(store, signed_chunks)).status == 501


# --- Of parts, and of what they become


@pytest.fixture(scope="module")
def lasting():
    with in_thread(StrictStore(SMALL)) as store:
        yield store


@pytest.fixture(scope="module")
def client(lasting):
    client = boto(lasting, request_checksum_calculation="when_required")
    yield client
    client.close()


CUT = [b"0123456789", b"abcdefghij", b"end"]


class Mpu:
    """An upload, with what was claimed of its parts."""

    def __init__(self, client, key, **create) -> None:
        self.client = client
        self.names = {"Bucket": BUCKET, "Key": key}
        self.names["UploadId"] = client.create_multipart_upload(**self.names, **create)["UploadId"]
        self.parts = []

    def send(self, algorithm=None, numbers=(1, 2, 3)):
        for number in numbers:
            data = CUT[(number - 1) % 3]
            claim = (
                {f"Checksum{algorithm.upper()}": checksum_of(algorithm, data)} if algorithm else {}
            )
            answer = self.client.upload_part(**self.names, PartNumber=number, Body=data, **claim)
            self.parts.append({"PartNumber": number, "ETag": answer["ETag"], **claim})
        return self

    def without_checksums(self):
        return [{n: p[n] for n in ("PartNumber", "ETag")} for p in self.parts]

    def complete(self, parts=None, **more):
        upload = {"Parts": self.parts if parts is None else parts}
        return self.client.complete_multipart_upload(**self.names, MultipartUpload=upload, **more)


@pytest.fixture
def mpu(client, request):
    return lambda **create: Mpu(client, request.node.name, **create)


def test_what_an_upload_can_be_created_with(client):
    def create(**arguments):
        return client.create_multipart_upload(Bucket=BUCKET, Key="c", **arguments)

    for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256"):
        assert create(ChecksumAlgorithm=algorithm)["ChecksumType"] == "COMPOSITE"
    assert create(ChecksumAlgorithm="CRC64NVME")["ChecksumType"] == "FULL_OBJECT"
    assert "ChecksumType" not in create()
    wrong = [
        {"ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "CRC32", "ChecksumType": "HALF"},
        {"ChecksumAlgorithm": "MD4"},
    ]
    for arguments in wrong:
        assert refused(create, **arguments) == (400, "InvalidRequest")


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "sha1", "sha256"])
def test_composite(mpu, client, algorithm):
    upload = mpu(ChecksumAlgorithm=algorithm.upper()).send(algorithm)
    name = f"Checksum{algorithm.upper()}"
    listed = client.list_parts(**upload.names)
    assert listed["ChecksumAlgorithm"] == algorithm.upper()
    assert [part[name] for part in listed["Parts"]] == [part[name] for part in upload.parts]
    whole = composite_of(algorithm, [part[name] for part in upload.parts])
    assert refused(upload.complete, **{name: other(whole)}) == (400, "BadDigest")
    assert refused(upload.complete, **{name: f"{whole}-2"}) == (400, "BadDigest")
    assert refused(upload.complete, **{name: "AAA"}) == (400, "InvalidRequest")
    assert refused(upload.complete, ChecksumType="FULL_OBJECT") == (400, "InvalidRequest")
    assert upload.complete(**{name: whole})[name] == f"{whole}-3"
    names = {"Bucket": BUCKET, "Key": upload.names["Key"]}
    head = client.head_object(**names, ChecksumMode="ENABLED")
    assert (head[name], head["ChecksumType"]) == (f"{whole}-3", "COMPOSITE")


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme"])
@pytest.mark.parametrize("claim", [True, False])
def test_full_object(mpu, client, algorithm, claim):
    create = {"ChecksumAlgorithm": algorithm.upper(), "ChecksumType": "FULL_OBJECT"}
    upload = mpu(**create).send(algorithm if claim else None)
    name = f"Checksum{algorithm.upper()}"
    assert all(name in part for part in client.list_parts(**upload.names)["Parts"])
    whole = checksum_of(algorithm, b"".join(CUT))
    typed = {"ChecksumType": "FULL_OBJECT"}
    assert refused(upload.complete, **typed, **{name: other(whole)}) == (400, "BadDigest")
    assert refused(upload.complete, ChecksumType="COMPOSITE") == (400, "InvalidRequest")
    # Amazon takes an untyped one for a composite checksum.
    assert refused(upload.complete, **{name: whole}) == (400, "BadDigest")
    done = upload.complete(upload.without_checksums(), **typed, **{name: whole})
    assert (done[name], done["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_parts_have_the_upload_s_checksum(mpu):
    upload = mpu(ChecksumAlgorithm="CRC32C")
    assert refused(upload.send) == (400, "InvalidRequest")
    assert refused(upload.send, "sha1") == (400, "InvalidRequest")
    full = mpu(ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT")
    assert refused(full.send, "crc32") == (400, "InvalidRequest")


def test_a_complete_names_the_checksums_of_parts(mpu):
    upload = mpu(ChecksumAlgorithm="CRC32C").send("crc32c")
    assert refused(upload.complete, upload.without_checksums()) == (400, "InvalidRequest")
    right = upload.parts[1]["ChecksumCRC32C"]
    for wrong, code in ((other(right), "InvalidPart"), ("AAA", "InvalidArgument")):
        upload.parts[1]["ChecksumCRC32C"] = wrong
        assert refused(upload.complete) == (400, code)
    del upload.parts[1]["ChecksumCRC32C"]
    upload.parts[1]["ChecksumSHA1"] = checksum_of("sha1", CUT[1])
    assert refused(upload.complete) == (400, "BadDigest")
    del upload.parts[1]["ChecksumSHA1"]
    upload.parts[1]["ChecksumCRC32C"] = right
    upload.complete()


def test_numbers_with_checksums_have_no_gaps(mpu):
    upload = mpu(ChecksumAlgorithm="CRC32C").send("crc32c", (1, 2, 4))
    assert refused(upload.complete) == (400, "InvalidPartOrder")
    plain = mpu().send(None, (1, 2, 4))
    plain.complete()


def test_an_upload_without_checksums_checks_parts_and_forgets_them(mpu, client):
    upload = mpu().send("crc32c")
    assert "ChecksumCRC32C" not in client.list_parts(**upload.names)["Parts"][0]
    wrong = {"PartNumber": 1, "Body": CUT[0], "ChecksumCRC32C": "AAAAAA=="}
    assert refused(client.upload_part, **upload.names, **wrong) == (400, "BadDigest")
    # What it never promised to remember is a part it does not have.
    assert refused(upload.complete) == (400, "InvalidPart")
    assert refused(upload.complete, upload.without_checksums(), ChecksumType="FULL_OBJECT") == (
        400,
        "InvalidRequest",
    )
    # And the checksum of the whole is not even looked at.
    upload.complete(upload.without_checksums(), ChecksumCRC32C="AAAAAA==")


def test_the_size_of_the_whole(mpu):
    upload = mpu().send()
    assert refused(upload.complete, MpuObjectSize=22) == (400, "InvalidRequest")
    upload.complete(MpuObjectSize=23)
