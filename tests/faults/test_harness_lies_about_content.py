"""Lies about bytes: those that are read, and those that are kept."""

from __future__ import annotations

import gzip

import aiohttp
import pytest

from tests.faults.harness import AWS, StrictStore
from tests.faults.harness import lies as l
from tests.faults.harness import lies_about_content as c
from tests.faults.harness.by_hand import exchange, parsed, presigned, send, signed
from tests.faults.harness.digests import md5_hex

BODY = b"0123456789" * 10
PARTS = [b"a" * 10, b"b" * 10, b"c" * 5]
COMPLETE = "CompleteMultipartUpload"


@pytest.fixture
async def store():
    async with StrictStore(AWS.but(min_part=0)) as store:
        yield store


def put(store, body=BODY):
    return presigned(store, "PUT", "a", body=body)


def get(store, key="a", **headers):
    return presigned(store, "GET", key).but(more=headers)


@pytest.fixture
async def kept(store):
    """An object that is there."""
    await send(store, put(store))
    return store


@pytest.fixture
async def upload(store):
    """An upload with three parts: the message that completes it."""
    opened = await send(store, signed(store, "POST", "m", query="uploads="))
    upload_id = opened.tag("UploadId")
    listed = ""
    for number, data in enumerate(PARTS, 1):
        query = f"partNumber={number}&uploadId={upload_id}"
        reply = await send(store, presigned(store, "PUT", "m", query=query, body=data))
        tag = reply.headers["etag"]
        listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
    xml = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return signed(store, "POST", "m", query=f"uploadId={upload_id}", body=xml)


# --- What is read


async def test_a_range_that_is_ignored(kept):
    kept.lies.add("GetObject", c.ignore_range())
    reply = await send(kept, get(kept, Range="bytes=10-19"))
    assert (reply.status, reply.body) == (200, BODY)
    assert "content-range" not in reply.headers


@pytest.mark.parametrize(
    ("how", "shown"),
    [
        ("shifted", "bytes 11-20/100"),
        ("missing", None),
        ("total", "bytes 10-19/101"),
        ("garbage", "bytes of some range"),
        ("unit", "lines 10-19/100"),
    ],
)
async def test_a_content_range_that_is_wrong(kept, how, shown):
    kept.lies.add("GetObject", c.content_range(how))
    reply = await send(kept, get(kept, Range="bytes=10-19"))
    assert (reply.status, reply.headers.get("content-range")) == (206, shown)
    assert reply.body == BODY[10:20]


async def test_another_range(kept):
    kept.lies.add("GetObject", c.other_range(1))
    reply = await send(kept, get(kept, Range="bytes=10-19"))
    assert (reply.headers["content-range"], reply.body) == ("bytes 11-20/100", BODY[11:21])


async def test_a_body_that_is_too_short(kept):
    rule = kept.lies.add("GetObject", c.short(3, "length"))
    reply = await send(kept, get(kept))
    assert (reply.headers["content-length"], reply.body) == ("100", BODY[:97])
    rule.lie = c.short(3, "chunked")
    raw = await exchange(kept.port, get(kept, Connection="close").head)
    assert raw.endswith(b"0\r\n\r\n")
    assert parsed(raw).body == BODY[:97]
    rule.lie = c.short(3, "close")
    reply = await send(kept, get(kept))
    assert ("content-length" not in reply.headers, reply.body) == (True, BODY[:97])
    # Two of these are whole answers to any client of HTTP.
    async with aiohttp.ClientSession() as session:
        for framing, passes in (("length", False), ("chunked", True), ("close", True)):
            rule.lie = c.short(3, framing)
            async with session.get(kept.url + get(kept).target) as answer:
                if passes:
                    assert await answer.read() == BODY[:97]
                else:
                    with pytest.raises(aiohttp.ClientPayloadError):
                        await answer.read()


async def test_a_body_that_is_too_long(kept):
    kept.lies.add("GetObject", c.surplus(b"!!"))
    assert (await send(kept, get(kept))).body == BODY + b"!!"


async def test_a_body_that_is_compressed(kept):
    kept.lies.add("GetObject", c.gzipped())
    reply = await send(kept, get(kept, **{"Accept-Encoding": "identity"}))
    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(reply.body) == BODY


async def test_a_bit_that_flips_on_the_way(kept):
    kept.lies.add("GetObject", c.flip_sent(at=3, bit=2))
    reply = await send(kept, get(kept))
    assert [n for n in range(100) if reply.body[n] != BODY[n]] == [3]
    assert kept.objects["a"].data == BODY


# --- What is kept


@pytest.mark.parametrize(
    ("lie", "kept"),
    [
        (c.corrupt("flip", at=-1), BODY[:-1] + b"8"),
        (c.corrupt("drop_last"), BODY[:-1]),
        (c.corrupt("duplicate"), BODY[:50] * 2),
        (c.corrupt("zero"), bytes(100)),
    ],
)
async def test_other_bytes_are_kept_than_came(store, lie, kept):
    store.lies.add("PutObject", lie)
    reply = await send(store, put(store))
    assert (reply.status, reply.headers["etag"]) == (200, f'"{md5_hex(BODY)}"')
    assert (await send(store, get(store))).body == kept


async def test_a_part_that_rots(store, upload):
    query = upload.target.partition("?")[2] + "&partNumber=2"
    store.lies.add("UploadPart", c.corrupt("flip"), part=2)
    await send(store, presigned(store, "PUT", "m", query=query, body=PARTS[1]))
    assert (await send(store, upload)).status == 200
    assert store.objects["m"].data == PARTS[0] + b"c" + PARTS[1][1:] + PARTS[2]
    assert store.objects["m"].received == b"".join(PARTS)


async def test_parts_in_each_other_s_place(store, upload):
    store.lies.add(COMPLETE, c.swap_parts(1, 3))
    assert (await send(store, upload)).status == 200
    assert store.objects["m"].data == PARTS[2] + PARTS[1] + PARTS[0]


async def test_what_is_forgotten(store, upload):
    store.lies.add("PutObject", l.forget())
    assert (await send(store, put(store))).status == 200
    assert store.objects == {}
    rule = store.lies.add("UploadPart", l.forget(), part=2)
    query = upload.target.partition("?")[2] + "&partNumber=2"
    reply = await send(store, presigned(store, "PUT", "m", query=query, body=PARTS[1]))
    assert (reply.status, rule.hits) == (200, 1)
    assert (await send(store, upload)).code == "InvalidPart"
