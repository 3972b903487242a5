"""Every lie, seen from the wire; and when it is told."""

from __future__ import annotations

import io
import time
from collections import Counter
from email.utils import parsedate_to_datetime

import aiohttp
import anyio
import pytest

from tests.faults.harness import AWS, Canary, StrictStore
from tests.faults.harness import lies as l
from tests.faults.harness.by_hand import begun, exchange, parsed, presigned, send, signed
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


# --- Refusing for no reason


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408, 404, 403])
async def test_a_status(store, status):
    rule = store.lies.add("PutObject", l.refuse(status, "SomeCode"))
    reply = await send(store, put(store))
    assert (reply.status, reply.code) == (status, "SomeCode")
    assert store.objects == {}
    [entry] = store.log
    assert (entry.status, entry.code, entry.did, entry.lied) == (status, "SomeCode", 0, ["refuse"])
    assert (entry.received, rule.hits) == (100, 1)


@pytest.mark.parametrize("value", l.RETRY_AFTERS)
async def test_retry_after_in_all_its_forms(store, value):
    store.lies.add("PutObject", l.slow_down(value))
    reply = await send(store, put(store))
    assert (reply.status, reply.code) == (503, "SlowDown")
    told = reply.headers["retry-after"]
    if value == "date":
        ahead = parsedate_to_datetime(told).timestamp() - store.clock.time()
        assert 55 < ahead <= 60
    else:
        assert told == value


async def test_a_request_timeout_ends_the_connection(store):
    store.lies.add("PutObject", l.request_timeout())
    message = put(store)
    reply = parsed(await exchange(store.port, message.head + message.body))
    assert (reply.status, reply.code) == (400, "RequestTimeout")
    assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("rst", [False, True])
async def test_an_answer_while_the_body_is_being_sent(store, rst):
    store.lies.add("PutObject", l.early(403, after=10, rst=rst))
    message = put(store).but(more={"Content-Length": "100"})
    reader, writer = await begun(store.port, message.head + BODY[:10])
    assert b"403 Forbidden" in await reader.readline()
    if not rst:
        writer.write(BODY[10:])
        assert (await reader.read()).endswith(b"</Error>")
    writer.close()
    await store.until(lambda s: s.log[0].ended)
    assert (store.log[0].status, store.objects) == (403, {})
    assert store.log[0].received in {10, 100}


async def test_an_early_answer_and_aiohttp(store):
    store.lies.add("PutObject", l.early(403, after=65536))
    message = put(store, bytes(8_000_000))
    body = io.BytesIO(message.body)
    async with (
        aiohttp.ClientSession() as session,
        session.put(store.url + message.target, data=body) as answer,
    ):
        assert answer.status == 403
    assert store.objects == {}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_a_canary(store, status):
    async with Canary() as canary:
        store.lies.add("PutObject", l.redirect(status, canary.url))
        reply = await send(store, put(store))
        assert (reply.status, reply.headers["location"]) == (status, canary.url)
        assert canary.seen == []
        # The control: who follows is noticed.
        async with (
            aiohttp.ClientSession() as session,
            session.put(store.url + put(store).target, data=BODY) as answer,
        ):
            assert answer.status == 200
        assert [(one.method, len(body)) for one, body in canary.seen] == [("PUT", 100)]


@pytest.mark.parametrize(("after", "received"), [(None, 100), (10, 100), (0, 0)])
async def test_a_connection_that_just_ends(store, after, received):
    store.lies.add("PutObject", l.drop(after=after))
    reply = await send(store, put(store))
    assert reply.status == 0
    assert store.objects == {}
    assert (store.log[0].status, store.log[0].received) == (0, received)


async def test_no_answer_at_all(store):
    store.lies.add("PutObject", l.hang())
    message = put(store)
    with pytest.raises(TimeoutError):
        await exchange(store.port, message.head + message.body, seconds=0.03)
    assert store.log[0].status == 0


# --- Sooner or later


async def test_a_delay_by_the_store_s_clock(kept):
    kept.lies.add("GetObject", l.delay(3600))
    replies = []

    async def ask():
        replies.append(await send(kept, get(kept)))

    began = time.monotonic()
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await kept.until(lambda s: s.count("GetObject"))
        assert replies == []
        await anyio.sleep(0.005)
        kept.clock.advance(3601)
    # It was signed an hour ago by then, but it had come in time.
    assert replies[0].body == BODY
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(("lie", "there"), [(l.hold, False), (l.hold_answer, True)])
async def test_holding_back(store, lie, there):
    event = anyio.Event()
    store.lies.add("PutObject", lie(event))
    async with anyio.create_task_group() as group:
        group.start_soon(send, store, put(store))
        await store.until(lambda s: s.log and s.log[0].lied)
        await anyio.sleep(0.01)
        assert ("a" in store.objects) == there
        assert store.log[0].status == 0
        event.set()
    assert store.log[0].status == 200


async def test_whitespace_before_the_answer(store, upload):
    store.lies.add(COMPLETE, l.whitespace(pieces=5, pause=0.001))
    raw = await exchange(store.port, upload.but(more={"Connection": "close"}).head + upload.body)
    assert raw.count(b"2\r\n \n\r\n") == 5
    reply = parsed(raw)
    assert reply.status == 200
    assert reply.body.startswith(b" \n" * 5 + b"<?xml")
    assert reply.tag("ETag").endswith("-3&quot;")


# --- Having done it


@pytest.mark.parametrize("rst", [False, True])
async def test_a_lost_answer(store, upload, rst):
    store.lies.add(COMPLETE, l.lose_answer(rst=rst))
    assert (await send(store, upload)).status == 0
    assert store.objects["m"].data == b"".join(PARTS)
    entry = store.seen(COMPLETE)[0]
    assert (entry.status, entry.did) == (0, 200)


async def test_gone_although_done(store, upload):
    store.lies.add(COMPLETE, l.deny())
    reply = await send(store, upload)
    assert (reply.status, reply.code) == (404, "NoSuchUpload")
    assert store.objects["m"].data == b"".join(PARTS)


@pytest.mark.parametrize("done", [False, True])
async def test_an_error_in_200(store, upload, done):
    store.lies.add(COMPLETE, l.error_in_200("SlowDown", done=done))
    reply = await send(store, upload)
    assert (reply.status, reply.code) == (200, "SlowDown")
    assert ("m" in store.objects) == done
    assert bool(store.open_uploads) != done


async def test_an_error_in_200_behind_whitespace(store, upload):
    store.lies.add(COMPLETE, l.whitespace(pause=0.001))
    store.lies.add(COMPLETE, l.error_in_200())
    reply = await send(store, upload)
    assert (reply.status, reply.code) == (200, "InternalError")
    assert reply.body.startswith(b" \n")
    assert store.seen(COMPLETE)[0].lied == ["whitespace", "error_in_200"]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("missing", None),
        ("weak", f'W/"{md5_hex(BODY)}"'),
        ("unquoted", md5_hex(BODY)),
        ("upper", f'"{md5_hex(BODY).upper()}"'),
        ("empty", '""'),
        ("other", f'"{md5_hex(BODY)[::-1]}"'),
    ],
)
async def test_etags(store, upload, change, shown):
    store.lies.add(["PutObject", COMPLETE], l.etag(change))
    assert (await send(store, put(store))).headers.get("etag") == shown
    told = (await send(store, upload)).tag("ETag").replace("&quot;", '"')
    true = f'"{store.objects["m"].etag}"'
    assert told != true
    assert told.strip('W/"').lower() in {true.strip('"'), true.strip('"')[::-1], ""}


@pytest.mark.parametrize(
    ("lie", "body"),
    [
        (l.huge_body(), b"x" * 2 * 1024**2),
        (l.invalid_xml(), b'<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"0'),
        (l.html(), b"<html>"),
        (l.body(b""), b""),
    ],
)
async def test_bodies_that_make_no_sense(store, upload, lie, body):
    store.lies.add(COMPLETE, lie)
    reply = await send(store, upload)
    assert (reply.status, reply.body[: len(body)]) == (200, body)
    assert "m" in store.objects


async def test_bytes_that_are_no_utf8(store, upload):
    store.lies.add(COMPLETE, l.invalid_utf8())
    with pytest.raises(UnicodeDecodeError):
        (await send(store, upload)).body.decode()


async def test_anything_on_the_wire(kept):
    kept.lies.add("GetObject", l.raw(b"SSH-2.0-OpenSSH_9.2\r\n"))
    assert await exchange(kept.port, get(kept).head) == b"SSH-2.0-OpenSSH_9.2\r\n"


async def test_headers(kept):
    kept.lies.add("GetObject", l.header("last-modified", None))
    kept.lies.add("GetObject", l.header("Content-Type", "text/evil"))
    reply = await send(kept, get(kept))
    assert "last-modified" not in reply.headers
    assert reply.headers["content-type"] == "text/evil"


# --- When


async def test_rules_count(store):
    first = store.lies.add("PutObject", l.refuse(500), nth=2)
    some = store.lies.add(["GetObject", "HeadObject"], l.refuse(503), nth=(1, 3))
    keyed = store.lies.add("*", l.refuse(429), key="b")
    statuses = [(await send(store, put(store))).status for _ in range(3)]
    assert statuses == [200, 500, 200]
    statuses = [(await send(store, get(store))).status for _ in range(4)]
    assert statuses == [503, 200, 503, 200]
    assert (await send(store, get(store, "b"))).status == 429
    assert [(rule.seen, rule.hits) for rule in (first, some, keyed)] == [(3, 1), (5, 2), (1, 1)]
    store.lies.clear()
    assert (await send(store, get(store, "b"))).status == 404


async def test_chance_is_the_same_for_the_same_seed():
    async def statuses(seed, order):
        async with StrictStore() as store:
            menu = {"PutObject": [l.refuse(500), l.refuse(503)], "*": [l.refuse(418)]}
            dice = store.lies.seeded(seed, 0.5, menu)
            found = {}
            for key in order:
                reply = await send(store, presigned(store, "PUT", key, body=b"1"))
                found[key] = reply.status
            assert dice.hits == sum(status != 200 for status in found.values())
            return found

    keys = [f"k{number}" for number in range(40)]
    once = await statuses(1, keys)
    assert once == await statuses(1, reversed(keys))
    assert once != await statuses(2, keys)
    assert {200, 500, 503} == set(once.values())
    assert 10 < Counter(once.values())[200] < 30


async def test_chance_has_an_end(store):
    store.lies.seeded(3, 1.0, {"*": [l.refuse(500)]}, most=2)
    statuses = [(await send(store, put(store))).status for _ in range(4)]
    assert statuses == [500, 500, 200, 200]


async def test_a_lie_of_one_s_own(store):
    async def teapot(exchange, work):
        answer = await work()
        answer.status = 418
        return answer

    store.lies.add("PutObject", teapot)
    assert (await send(store, put(store))).status == 418
    assert (store.log[0].did, store.log[0].lied) == (200, ["teapot"])
