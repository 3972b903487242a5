"""Every way of not being allowed, shown with requests that botocore signed and the test bent."""

from __future__ import annotations

import hashlib

import pytest

from tests.faults.harness import AWS, RCLONE, Clock, Key, StrictStore
from tests.faults.harness.by_hand import exchange, parsed, path_of, presigned, send, signed
from tests.faults.harness.http1 import parse_head
from tests.faults.harness.refusals import NOT_SIGNED, Refusal
from tests.faults.harness.signatures import verify

BODY = b"five!"
DOCUMENTED = Key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
# 2013-05-24T00:00:00Z, the moment of the examples in the S3 API reference.
THEN = 1_369_353_600.0
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
async def store():
    async with StrictStore() as store:
        yield store


def put(store, **more):
    headers = {"content-length": str(len(BODY)), "x-amz-meta-color": "blue"}
    return presigned(store, "PUT", "a key", headers=headers, body=BODY, **more)


# --- The examples of the S3 API reference


def checked(head, now=THEN):
    request = parse_head(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return verify(request, {DOCUMENTED.access: DOCUMENTED}, region="us-east-1", now=now)


IN_QUERY = """GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1
Host: examplebucket.s3.amazonaws.com"""
IN_HEADER = f"""GET /test.txt HTTP/1.1
Host: examplebucket.s3.amazonaws.com
Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41
Range: bytes=0-9
x-amz-content-sha256: {EMPTY}
x-amz-date: 20130524T000000Z"""


def test_documented_example_in_the_query():
    assert checked(IN_QUERY) == "UNSIGNED-PAYLOAD"


def test_documented_example_in_the_header():
    assert checked(IN_HEADER) == EMPTY


@pytest.mark.parametrize("example", [IN_QUERY, IN_HEADER])
@pytest.mark.parametrize(
    ("old", "new"), [("test.txt", "test.txu"), ("GET", "PUT"), ("=host", "=iost")]
)
def test_a_documented_example_that_was_changed_is_refused(example, old, new):
    with pytest.raises(Refusal):
        checked(example.replace(old, new))


# --- Presigned


async def test_a_presigned_put_is_taken(store):
    reply = await send(store, put(store))
    assert reply.status == 200
    stored = store.objects["a key"]
    assert (stored.data, stored.metadata) == (BODY, {"color": "blue"})


CHANGES = {
    "another key": lambda m: m.swap("a%20key", "b%20key"),
    "another method": lambda m: m.but(method="GET", body=b"", without="content-length"),
    "another parameter": lambda m: m.swap("?", "?partNumber=2&"),
    "a longer life": lambda m: m.swap("X-Amz-Expires=900", "X-Amz-Expires=901"),
    "another length": lambda m: m.but(
        without="content-length", more={"Content-Length": "6"}, body=BODY + b"!"
    ),
    "no length": lambda m: m.but(
        without="content-length",
        more={"Transfer-Encoding": "chunked"},
        body=b"5\r\nfive!\r\n0\r\n\r\n",
    ),
    "another value": lambda m: m.but(without="x-amz-meta-color", more={"x-amz-meta-color": "red"}),
    "a header less": lambda m: m.but(without="x-amz-meta-color"),
    "another host": lambda m: m.but(without="host", more={"Host": "elsewhere"}),
    "another signature": lambda m: m.swap("X-Amz-Signature=", "X-Amz-Signature=0"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_differs_from_what_was_signed_is_refused(store, change):
    reply = await send(store, change(put(store)))
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    assert store.objects == {}


@pytest.mark.parametrize(
    "header", ["x-amz-meta-more", "x-amz-checksum-crc32c", "x-amz-acl", "x-amz-copy-source"]
)
async def test_a_header_that_steers_and_is_not_signed_is_refused(store, header):
    reply = await send(store, put(store).but(more={header: "AAAAAA=="}))
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert reply.tag("Message") == NOT_SIGNED
    assert reply.tag("HeadersNotSigned") == header


async def test_headers_that_do_not_steer_need_no_signature(store):
    more = {"Content-Type": "text/plain", "Content-MD5": "", "User-Agent": "me"}
    more["Content-MD5"] = "8m4YGMVYEVu0/nyQdBYO9w=="
    reply = await send(store, put(store).but(more=more))
    # Not signed, and looked at all the same.
    assert (reply.status, reply.code) == (400, "BadDigest")


async def test_time_runs_out_by_the_store_s_clock(store):
    message = put(store)
    store.clock.advance(899)
    assert (await send(store, message)).status == 200
    store.clock.advance(2)
    reply = await send(store, message)
    assert (reply.status, reply.code) == (403, "AccessDenied")
    assert reply.tag("Message") == "Request has expired"
    assert reply.tag("X-Amz-Expires") == "900"


async def test_rclone_says_400_to_what_has_expired():
    async with StrictStore(RCLONE) as store:
        message = put(store)
        store.clock.advance(1000)
        assert (await send(store, message)).status == 400


async def test_time_that_has_not_come_is_refused(store):
    message = put(store)
    store.clock.jump(-20 * 60)
    assert (await send(store, message)).tag("Message") == "Request is not yet valid"


async def test_a_store_whose_clock_is_wrong():
    async with StrictStore(AWS.but(clock_skew=-16 * 60)) as store:
        assert (await send(store, put(store))).tag("Message") == "Request is not yet valid"
        reply = await send(store, signed(store, "GET", "a"))
        assert reply.code == "RequestTimeTooSkewed"
        assert store.clock.http_date() != reply.headers["date"]


@pytest.mark.parametrize("lifetime", ["604801", "-1", "soon", "1e3"])
async def test_a_lifetime_that_cannot_be(store, lifetime):
    reply = await send(store, put(store).swap("X-Amz-Expires=900", f"X-Amz-Expires={lifetime}"))
    assert (reply.status, reply.code) == (400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize("name", ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders"])
async def test_a_signature_with_a_piece_missing(store, name):
    reply = await send(store, put(store).swap(f"X-Amz-{name}", f"X-Was-{name}"))
    assert (reply.status, reply.code) == (400, "AuthorizationQueryParametersError")


# --- Whoever it is, and wherever


@pytest.mark.parametrize("sign", [presigned, signed])
async def test_somebody_unknown_and_somebody_who_lies(store, sign):
    unknown = await send(store, sign(store, "GET", "a", by=Key("NOBODY", "secret")))
    assert (unknown.status, unknown.code) == (403, "InvalidAccessKeyId")
    wrong = await send(store, sign(store, "GET", "a", by=Key("STRICTKEY", "guessed")))
    assert (wrong.status, wrong.code) == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("sign", [presigned, signed])
async def test_the_region_is_part_of_it(store, sign):
    reply = await send(store, sign(store, "GET", "a", region="eu-west-1"))
    assert (reply.status, reply.tag("Region")) == (400, "us-east-1")


@pytest.mark.parametrize("sign", [presigned, signed])
async def test_temporary_credentials_come_with_a_token_and_an_end(sign):
    key = Key("TEMPORARY", "secret", token="token/+=", expires=2_000_000_000.0)
    async with StrictStore(keys=[key]) as store:
        message = sign(store, "GET", "a", by=key)
        assert (await send(store, message)).code == "NoSuchKey"
        other = sign(store, "GET", "a", by=Key("TEMPORARY", "secret", token="other"))
        assert (await send(store, other)).code == "InvalidToken"
        without = sign(store, "GET", "a", by=Key("TEMPORARY", "secret"))
        assert (await send(store, without)).code == "InvalidToken"
        store.keys[key.access] = Key("TEMPORARY", "secret", token="token/+=", expires=0.0)
        reply = await send(store, message)
        assert (reply.status, reply.code) == (400, "ExpiredToken")


async def test_nobody_gets_nothing(store):
    message = put(store)
    plain = message.but(target=path_of("a key"), without="x-amz-meta-color")
    reply = await send(store, plain)
    assert (reply.status, reply.code) == (403, "AccessDenied")


async def test_one_signature_is_enough(store):
    both = put(store).but(more={"Authorization": "AWS4-HMAC-SHA256 something"})
    assert (await send(store, both)).code == "InvalidArgument"


@pytest.mark.parametrize("how", ["query", "header"])
async def test_the_old_signature_is_not_spoken(store, how):
    message = put(store).but(target=path_of("a"), without="x-amz-meta-color")
    if how == "query":
        message = message.but(target=path_of("a") + "?AWSAccessKeyId=A&Expires=1&Signature=b")
    else:
        message = message.but(more={"Authorization": "AWS STRICTKEY:abcdef="})
    assert (await send(store, message)).code == "InvalidRequest"


# --- In the header


async def test_a_signed_header_covers_the_body(store):
    message = signed(store, "PUT", "a", body=BODY)
    assert (await send(store, message)).status == 200
    reply = await send(store, message.but(body=BODY[::-1]))
    assert (reply.status, reply.code) == (400, "XAmzContentSHA256Mismatch")
    assert store.objects["a"].data == BODY


async def test_a_body_may_be_left_unsigned(store):
    message = signed(store, "PUT", "a", body=BODY, payload="UNSIGNED-PAYLOAD")
    assert (await send(store, message.but(body=BODY[::-1]))).status == 200


async def test_a_hash_that_is_not_the_signed_one_is_another_request(store):
    message = signed(store, "PUT", "a", body=BODY)
    other = {"X-Amz-Content-SHA256": hashlib.sha256(b"other").hexdigest()}
    reply = await send(store, message.but(without="x-amz-content-sha256", more=other))
    assert reply.code == "SignatureDoesNotMatch"
    reply = await send(store, message.but(without="x-amz-content-sha256"))
    assert (reply.status, reply.code) == (400, "InvalidRequest")


@pytest.mark.parametrize(("minutes", "code"), [(14, ""), (16, "RequestTimeTooSkewed")])
@pytest.mark.parametrize("way", [1, -1])
async def test_clocks_may_differ_by_a_quarter_of_an_hour(store, minutes, code, way):
    message = signed(store, "PUT", "a", body=BODY)
    store.clock.jump(way * minutes * 60)
    assert (await send(store, message)).code == code


async def test_the_clock_can_be_anybody_s():
    clock = Clock(frozen_at=THEN)
    head = IN_QUERY.replace("\n", "\r\n") + "\r\nConnection: close\r\n\r\n"
    async with StrictStore(clock=clock, keys=[DOCUMENTED], buckets=("test.txt",)) as store:
        reply = parsed(await exchange(store.port, head.encode()))
        # Allowed; only that the example means an object, and here is its bucket.
        assert (reply.status, reply.code) == (501, "NotImplemented")
        clock.advance(86_401)
        reply = parsed(await exchange(store.port, head.encode()))
        assert (reply.status, reply.tag("Message")) == (403, "Request has expired")
