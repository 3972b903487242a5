"""Every fault of the network, seen from both of its ends."""

from __future__ import annotations

import time

import anyio
import pytest

from tests.faults.harness import AWS, BUCKET, ChaosProxy, StrictStore, in_thread
from tests.faults.harness import network as n
from tests.faults.harness.by_hand import begun, exchange, parsed, presigned, send
from tests.faults.harness.clients import boto
from tests.faults.harness.messages import Messages

BODY = bytes(range(250)) * 4


@pytest.fixture
async def store():
    async with StrictStore(AWS) as store:
        yield store


@pytest.fixture
async def kept(store):
    """An object that is there."""
    await send(store, presigned(store, "PUT", "a", body=BODY))
    return store


def put(store, body=BODY):
    """Return a PUT that ends its connection; it is signed for the store's own address."""
    return presigned(store, "PUT", "a", body=body).but(more={"Connection": "close"})


def get(store):
    return presigned(store, "GET", "a").but(more={"Connection": "close"})


async def asked(proxy, message, **how):
    return await exchange(proxy.port, message.head + message.body, **how)


# --- No fault


async def test_bytes_pass(store):
    async with ChaosProxy(store.port) as proxy:
        assert (await send(proxy, put(store))).status == 200
        assert (await send(proxy, get(store))).body == BODY
        assert store.objects["a"].data == BODY
        first = proxy.connections[0]
        assert first.passed["request"] == len(put(store).head) + 1000
        assert proxy.hits == []


def test_a_client_that_signs_for_the_proxy_s_address():
    with in_thread(StrictStore()) as store:
        plan = {1: [n.Reset(300)], 2: [n.Close(10, n.RESPONSE)]}
        with in_thread(ChaosProxy(store.port, plan)) as proxy:
            client = boto(store, url=proxy.url, retries={"total_max_attempts": 3})
            client.put_object(Bucket=BUCKET, Key="a", Body=BODY)
            client.close()
            assert [len(one.hits) for one in proxy.connections] == [1, 1, 0]
        assert store.objects["a"].data == BODY
        assert store.environ_for(proxy.url)["MLFLOW_S3_ENDPOINT_URL"] == proxy.url


# --- At a byte


@pytest.mark.parametrize("at", [0, 1, 500, 1200])
async def test_a_reset_in_a_request(store, at):
    async with ChaosProxy(store.port, [n.Reset(at)]) as proxy:
        assert await asked(proxy, put(store)) == b""
        assert proxy.connections[0].passed == {"request": at, "response": 0}
        assert proxy.hits == [n.Reset(at)]
        await store.until(lambda s: all(entry.ended for entry in s.log))
        assert store.objects == {}


@pytest.mark.parametrize("at", [0, 1, 100, 1000])
async def test_a_reset_in_a_response(kept, at):
    async with ChaosProxy(kept.port, [n.Reset(at, n.RESPONSE)]) as proxy:
        reader, writer = await begun(proxy.port, get(kept).head)
        assert len(await reader.readexactly(at)) == at
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        # It was done, all the same.
        assert kept.log[-1].status == 200


async def test_the_last_byte_of_a_request_can_be_the_one(store):
    async with ChaosProxy(store.port) as proxy:
        whole = put(store)
        proxy.plan = [n.Reset(len(whole.head) + 999)]
        assert await asked(proxy, whole) == b""
        await store.until(lambda s: s.log and s.log[0].ended)
        assert (store.log[0].received, store.objects) == (999, {})


@pytest.mark.parametrize("at", [100, 400])
async def test_a_response_that_is_closed_too_early(kept, at):
    async with ChaosProxy(kept.port, [n.Close(at, n.RESPONSE)]) as proxy:
        assert len(await asked(proxy, get(kept))) == at


async def test_a_byte_that_flips(store):
    async with ChaosProxy(store.port) as proxy:
        message = put(store)
        proxy.plan = [n.Flip(len(message.head) + 7, bit=3)]
        assert (await send(proxy, message)).status == 200
        stored = store.objects["a"].data
        assert [place for place in range(1000) if stored[place] != BODY[place]] == [7]
        assert stored[7] == BODY[7] ^ 8
        proxy.plan = [n.Flip(0, n.RESPONSE), n.Flip(1, n.RESPONSE)]
        assert (await asked(proxy, get(store))).startswith(b"IUTP/1.1 200")


@pytest.mark.parametrize("way", [n.REQUEST, n.RESPONSE])
async def test_a_black_hole(kept, way):
    async with ChaosProxy(kept.port, [n.Blackhole(50, way)]) as proxy:
        message = put(kept)
        with pytest.raises(TimeoutError):
            await asked(proxy, message, seconds=0.05)
        # It takes everything, for ever.
        _, writer = await begun(proxy.port, message.head + message.body)
        await proxy.until(lambda p: p.connections[1:] and p.connections[1].passed[way] == 50)
        with anyio.fail_after(5):
            for _ in range(100):
                writer.write(bytes(100_000))
                await writer.drain()
        assert proxy.connections[1].passed[way] == 50
        writer.transport.abort()


async def test_nobody_reads_any_more(store):
    async with ChaosProxy(store.port, [n.HalfOpen(100)]) as proxy:
        message = put(store, bytes(20_000_000))
        _, writer = await begun(proxy.port, message.head)
        with pytest.raises(TimeoutError):
            await poured(writer, message.body)
        assert proxy.connections[0].passed["request"] == 100
        writer.transport.abort()


async def poured(writer, data):
    with anyio.fail_after(0.05):
        for start in range(0, len(data), 100_000):
            writer.write(data[start : start + 100_000])
            await writer.drain()


async def test_a_pause(kept):
    async with ChaosProxy(kept.port, [n.Pause(10, n.RESPONSE, seconds=0.03)]) as proxy:
        began = time.monotonic()
        assert (await send(proxy, get(kept))).body == BODY
        assert time.monotonic() - began >= 0.03


async def test_several_faults_at_their_places(kept):
    plan = [
        n.Flip(0, n.RESPONSE),
        n.Pause(5, n.RESPONSE, seconds=0.0),
        n.Flip(5, n.RESPONSE),
        n.Close(8, n.RESPONSE),
    ]
    async with ChaosProxy(kept.port, plan) as proxy:
        assert await asked(proxy, get(kept)) == b"ITTP/0.1"
        assert [type(hit) for hit in proxy.hits] == [n.Flip, n.Pause, n.Flip, n.Close]


# --- In a message


async def test_faults_of_the_second_exchange(kept):
    plan = [n.Flip(9, n.RESPONSE, message=2), n.Reset(20, n.REQUEST, message=3)]
    async with ChaosProxy(kept.port, plan) as proxy:
        head = get(kept).but(without="connection").head
        reader, writer = await begun(proxy.port, head)
        answers = []
        for _ in range(2):
            answers.append(await reader.readuntil(b"\r\n\r\n"))
            assert await reader.readexactly(1000) == BODY
            writer.write(head)
        assert answers[0].startswith(b"HTTP/1.1 200 ")
        assert answers[1].startswith(b"HTTP/1.1 300 ")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        assert kept.count("GetObject") == 2


async def test_the_last_byte_is_missing(kept):
    async with ChaosProxy(kept.port, [n.DropLast()]) as proxy:
        reply = parsed(await asked(proxy, get(kept)))
        assert (reply.headers["content-length"], reply.body) == ("1000", BODY[:-1])
        proxy.plan = [n.DropLast(n.REQUEST)]
        assert await asked(proxy, put(kept)) == b""
        await kept.until(lambda s: s.log[-1].ended)
        assert kept.log[-1].received == 999


async def test_an_answer_that_comes_twice(kept):
    async with ChaosProxy(kept.port, [n.Duplicate(garbage=b"\r\n\r\n")]) as proxy:
        data = await asked(proxy, get(kept))
        once = data[: len(data) // 2 - 2]
        assert data == once + b"\r\n\r\n" + once
        assert once.endswith(BODY)


async def test_an_answer_twice_on_a_connection_that_is_used_again(kept):
    """What a client with keep-alive makes of it: it must not take the copy for the next answer."""
    async with ChaosProxy(kept.port, {1: [n.Duplicate()]}) as proxy:
        head = get(kept).but(without="connection").head
        reader, writer = await begun(proxy.port, head)
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1000) == BODY
        writer.transport.abort()
        assert kept.count("GetObject") == 1


# --- Speed


async def test_latency(kept):
    async with ChaosProxy(kept.port, [n.Latency(0.03)]) as proxy:
        began = time.monotonic()
        assert (await send(proxy, get(kept))).body == BODY
        assert 0.03 <= time.monotonic() - began < 5


async def test_rate(store):
    async with ChaosProxy(store.port, [n.Rate(50_000)]) as proxy:
        began = time.monotonic()
        message = put(store)
        size = len(message.head) + 1000
        assert (await send(proxy, message)).status == 200
        assert size / 50_000 * 0.9 <= time.monotonic() - began < 5


async def test_a_byte_at_a_time(store):
    async with ChaosProxy(store.port, [n.Slices(1), n.Slices(7, n.RESPONSE)]) as proxy:
        assert (await send(proxy, put(store))).status == 200
        assert (await send(proxy, get(store))).body == BODY


# --- Connections


async def test_connections_that_are_refused(kept):
    async with ChaosProxy(kept.port, {1: [n.Refused()], 2: [n.Refused()]}) as proxy:
        for _ in range(2):
            assert await asked(proxy, get(kept)) == b""
        assert (await send(proxy, get(kept))).body == BODY
        assert kept.accepted == 2  # one for the fixture's PUT


async def test_down_and_up_again(kept):
    async with ChaosProxy(kept.port) as proxy:
        reader, writer = await begun(proxy.port, b"GET")
        await anyio.sleep(0.005)
        port = proxy.port
        await proxy.down()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        with pytest.raises(OSError, match="Connect call failed"):
            await begun(port, b"")
        await proxy.up()
        assert proxy.port == port
        assert (await send(proxy, get(kept))).body == BODY


async def test_cutting_what_there_is(kept):
    async with ChaosProxy(kept.port) as proxy:
        reader, writer = await begun(proxy.port, b"GET")
        await anyio.sleep(0.005)
        await proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
        assert (await send(proxy, get(kept))).body == BODY


async def test_nobody_behind_it():
    async with StrictStore() as store:
        port = store.port
    async with ChaosProxy(port) as proxy:
        assert await exchange(proxy.port, b"GET / HTTP/1.1\r\n\r\n") == b""


def test_chance_is_the_same_for_the_same_seed():
    menu = [n.Reset(-1), n.Flip(-1, n.RESPONSE), n.Latency(0.01)]
    plans = [n.Seeded(seed, 0.5, menu) for seed in (1, 1, 2)]
    faults = [[plan(number) for number in range(1, 41)] for plan in plans]
    assert faults[0] == faults[1] != faults[2]
    chosen = [fault for [fault] in filter(None, faults[0])]
    assert 10 < len(chosen) < 30
    assert {type(fault) for fault in chosen} == {n.Reset, n.Flip, n.Latency}
    assert all(getattr(fault, "at", 0) >= 0 for fault in chosen)
    few = n.Seeded(1, 1.0, menu, most=2)
    assert [bool(few(number)) for number in range(1, 5)] == [True, True, False, False]


# --- Where messages end


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_messages_are_told_apart(step):
    responses = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",  # to a HEAD
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nto the end",
    ]
    methods = [b"GET", b"HEAD", b"PUT", b"DELETE", b"POST", b"GET", b"GET"]
    messages = Messages(methods, responses=True)
    data = b"".join(responses)
    found = {}
    for start in range(0, len(data), step):
        for piece in messages.feed(data[start : start + step]):
            found[piece.number] = found.get(piece.number, b"") + piece.data
    assert list(found.values()) == responses


def test_requests_say_what_answers_will_be():
    methods = []
    messages = Messages(methods, responses=False)
    data = b"HEAD / HTTP/1.1\r\n\r\nPUT / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
    data += b"GET / HTTP/1.1\r\n\r\n"
    pieces = list(messages.feed(data))
    assert [(piece.number, piece.first, piece.last) for piece in pieces] == [
        (1, True, True),
        (2, True, False),
        (2, False, True),
        (3, True, True),
    ]
    assert methods == [b"HEAD", b"PUT", b"GET"]
