"""The store's HTTP, and what it keeps a log of: bytes down a raw socket."""

from __future__ import annotations

import anyio
import pytest

from tests.faults.harness import AWS, BUCKET, StrictStore
from tests.faults.harness.by_hand import begun, exchange, parsed, presigned, send, signed

BODY = b"12345"


@pytest.fixture
async def store():
    async with StrictStore() as store:
        yield store


@pytest.mark.parametrize(
    "head",
    [
        b"NONSENSE\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"GET /a HTTP/2\r\n\r\n",
        b"GET http://host/a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /a HTTP/1.1\r\nspace : 1\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PUT /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_what_is_no_http(store, head):
    assert (await exchange(store.port, head)).startswith(b"HTTP/1.1 400 ")
    assert store.log == []


async def test_one_connection_takes_many_requests(store):
    one = presigned(store, "PUT", "a", body=BODY)
    two = presigned(store, "GET", "a").but(more={"Connection": "close"})
    data = await exchange(store.port, one.head + one.body + two.head)
    assert data.count(b"HTTP/1.1 200 OK") == 2
    assert data.endswith(BODY)
    assert store.accepted == 1
    assert [entry.connection for entry in store.log] == [1, 1]


async def test_a_body_byte_by_byte(store):
    message = presigned(store, "PUT", "a", body=BODY)
    reader, writer = await begun(store.port, b"")
    for byte in message.head + message.body:
        writer.write(bytes([byte]))
        await anyio.lowlevel.checkpoint()
    assert b"200" in await reader.readline()
    writer.close()
    assert store.objects["a"].data == BODY


async def test_who_waits_to_be_told_is_told(store):
    message = presigned(store, "PUT", "a", body=BODY).but(more={"Expect": "100-continue"})
    reader, writer = await begun(store.port, message.head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(message.body)
    assert b"200" in await reader.readline()
    writer.close()


async def test_who_waits_and_is_refused_sends_nothing(store):
    message = presigned(store, "PUT", "a", body=BODY).swap("Signature=", "Signature=0")
    data = await exchange(store.port, message.but(more={"Expect": "100-continue"}).head)
    reply = parsed(data)
    assert (reply.status, reply.headers["connection"], reply.interim) == (403, "close", False)
    assert store.log[0].received == 0


async def test_who_does_not_wait_can_still_read_the_refusal(store):
    message = presigned(store, "PUT", "a", body=bytes(3_000_000)).swap("Signature=", "Signature=0")
    reply = await send(store, message)
    assert (reply.status, reply.code) == (403, "SignatureDoesNotMatch")
    await store.until(lambda s: s.log[0].ended)


async def test_a_length_is_required(store):
    unsigned = presigned(store, "PUT", "a").but(more={"Connection": "close"})
    head = unsigned.head.replace(b"Content-Length: 0\r\n", b"")
    reply = parsed(await exchange(store.port, head))
    assert (reply.status, reply.code) == (411, "MissingContentLength")
    chunked = unsigned.but(more={"Transfer-Encoding": "chunked"}, body=b"0\r\n\r\n")
    assert (await send(store, chunked)).status == 501
    http10 = head.replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await exchange(store.port, http10)).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("kept", [0, 1, 4])
async def test_a_body_that_ends_too_early_is_nothing(store, kept):
    message = presigned(store, "PUT", "a", body=BODY)
    data = message.head + message.body[:kept]
    assert await exchange(store.port, data, half_close=True) == b""
    await store.until(lambda s: s.log[0].ended)
    assert (store.log[0].status, store.log[0].received, store.objects) == (0, kept, {})


async def test_a_replaced_object_is_old_or_new(store):
    await send(store, presigned(store, "PUT", "a", body=b"old"))
    message = presigned(store, "PUT", "a", body=b"new!!")
    reader, writer = await begun(store.port, message.head + message.body[:4])
    await store.until(lambda s: s.count("PutObject") == 2)
    assert (await send(store, presigned(store, "GET", "a"))).body == b"old"
    writer.write(message.body[4:])
    assert b"200" in await reader.readline()
    writer.close()
    assert (await send(store, presigned(store, "GET", "a"))).body == b"new!!"


async def test_keys_that_are_no_text(store):
    message = signed(store, "GET", "a").but(target=f"/{BUCKET}/%ff%fe")
    reply = await send(store, message)
    assert (reply.status, reply.code) in {(403, "SignatureDoesNotMatch"), (400, "InvalidURI")}


async def test_head_has_no_body(store):
    await send(store, presigned(store, "PUT", "a", body=BODY))
    for key, status, length in (("a", 200, "5"), ("b", 404, None)):
        head = presigned(store, "HEAD", key).but(more={"Connection": "close"}).head
        reply = parsed(await exchange(store.port, head))
        assert (reply.status, reply.body) == (status, b"")
        assert length in {None, reply.headers["content-length"]}


async def test_the_log(store):
    await send(store, presigned(store, "PUT", "a", body=BODY))
    await send(store, presigned(store, "GET", "a").but(more={"Range": "bytes=1-2"}))
    await send(store, presigned(store, "GET", "b"))
    put, got, missing = store.log
    assert (put.operation, put.bucket, put.key, put.received) == ("PutObject", BUCKET, "a", 5)
    assert (got.operation, got.status, got.sent) == ("GetObject", 206, 2)
    assert (missing.status, missing.code, missing.did) == (404, "NoSuchKey", 404)
    assert store.count("GetObject") == 2
    assert store.count(status=404) == 1
    assert store.seen("GetObject", key="b") == [missing]
    assert store.bytes_received == 5
    assert put.headers["host"] == f"127.0.0.1:{store.port}"


async def test_what_never_becomes_true_is_a_timeout(store):
    with pytest.raises(TimeoutError):
        await store.until(lambda s: s.count("PutObject"), seconds=0.01)


async def test_leaving_ends_all_connections():
    async with StrictStore() as store:
        reader, writer = await begun(store.port, b"PUT /tests/a HT")
        await store.until(lambda s: s.accepted)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.transport.abort()
    with pytest.raises(OSError, match="Connect call failed"):
        await begun(store.port, b"")


async def test_a_mistake_of_the_harness_is_an_error_of_the_test():
    async def broken(exchange, work):
        raise ZeroDivisionError

    store = StrictStore()
    await store.__aenter__()
    store.lies.add("*", broken)
    assert (await send(store, presigned(store, "GET", "a"))).status == 0
    with pytest.raises(ZeroDivisionError):
        await store.__aexit__(None, None, None)


async def test_all_is_the_same_for_the_same_seed():
    ids = []
    for seed in (1, 1, 2):
        async with StrictStore(AWS, seed=seed) as store:
            reply = await send(store, signed(store, "POST", "a", query="uploads="))
            ids.append(reply.tag("UploadId"))
    assert ids[0] == ids[1] != ids[2]
