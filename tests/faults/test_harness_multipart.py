"""The rules of parts, of Complete and of aborting; and where personalities differ."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from tests.faults.harness import AWS, CEPH, EXPRESS, KMS, R2, RCLONE, StrictStore
from tests.faults.harness.by_hand import begun, exchange, presigned, send, signed
from tests.faults.harness.digests import md5_hex

SMALL = AWS.but(min_part=10)
CUT = [b"0123456789", b"abcdefghij", b"end"]


@pytest.fixture
async def store():
    async with StrictStore(SMALL) as store:
        yield store


class Hand:
    """An upload done by hand."""

    def __init__(self, store, key="a") -> None:
        self.store = store
        self.key = key
        self.id = ""
        self.tags = {}

    async def open(self):
        reply = await send(self.store, signed(self.store, "POST", self.key, query="uploads="))
        self.id = reply.tag("UploadId")
        return self

    def part(self, number, data):
        query = f"partNumber={number}&uploadId={self.id}"
        return presigned(self.store, "PUT", self.key, query=query, body=data)

    async def put(self, number, data):
        reply = await send(self.store, self.part(number, data))
        if reply.status == 200:
            self.tags[number] = reply.headers["etag"]
        return reply

    async def put_all(self, cut=CUT):
        for number, data in enumerate(cut, 1):
            await self.put(number, data)
        return self

    async def ask(self, method, body=b"", **headers):
        query = f"uploadId={self.id}"
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        message = signed(self.store, method, self.key, query=query, body=body, headers=more)
        return await send(self.store, message)

    async def complete(self, numbers=None, tags=None, **headers):
        tags = self.tags | (tags or {})
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tags[number]}</ETag></Part>"
            for number in (numbers or sorted(self.tags))
        )
        xml = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
        return await self.ask("POST", xml.encode(), **headers)


@pytest.fixture
async def hand(store):
    return await Hand(store).open()


async def test_an_object_has_the_etag_of_its_parts(store, hand):
    await hand.put_all()
    assert [hand.tags[number] for number in (1, 2, 3)] == [f'"{md5_hex(data)}"' for data in CUT]
    reply = await hand.complete()
    together = md5_hex(b"".join(bytes.fromhex(md5_hex(data)) for data in CUT))
    assert reply.tag("ETag") == f"&quot;{together}-3&quot;"
    assert store.objects["a"].data == b"".join(CUT)
    assert store.objects["a"].part_sizes == (10, 10, 3)
    assert store.objects["a"].upload_id == hand.id
    assert store.open_uploads == []


@pytest.mark.parametrize("number", ["0", "10001", "-1", "one", "", "9" * 30])
async def test_numbers_of_parts(store, hand, number):
    reply = await hand.put(number, b"x")
    assert (reply.status, reply.code) == (400, "InvalidArgument")
    assert store.open_uploads[0].parts == {}


async def test_the_first_and_the_last_number(hand):
    for number in (1, 10_000):
        assert (await hand.put(number, b"0123456789")).status == 200
    assert (await hand.complete()).status == 200


async def test_uploads_that_are_none(store, hand):
    for wrong in (Hand(store, "another key"), Hand(store)):
        wrong.id = hand.id if wrong.key != "a" else hand.id[:-1] + "x"
        wrong.tags = {1: '"0"'}
        for reply in (
            await wrong.put(1, b"x"),
            await wrong.complete(),
            await wrong.ask("GET"),
            await wrong.ask("DELETE"),
        ):
            assert (reply.status, reply.code) == (404, "NoSuchUpload")


async def test_a_part_that_is_not_the_one_sent(hand):
    await hand.put_all()
    await hand.put(2, b"ABCDEFGHIJ")
    reply = await hand.complete(tags={2: f'"{md5_hex(CUT[1])}"'})
    assert (reply.status, reply.code, reply.tag("PartNumber")) == (400, "InvalidPart", "2")
    assert (await hand.complete(tags={2: hand.tags[2].strip('"')})).status == 200


async def test_a_part_that_was_never_sent(hand):
    await hand.put_all()
    reply = await hand.complete((1, 2, 3, 4), tags={4: hand.tags[3]})
    assert (reply.status, reply.code, reply.tag("PartNumber")) == (400, "InvalidPart", "4")


@pytest.mark.parametrize("numbers", [(2, 1, 3), (1, 1), (1, 2, 2), (3, 2, 1)])
async def test_parts_come_in_order(hand, numbers):
    await hand.put_all()
    reply = await hand.complete(numbers)
    assert (reply.status, reply.code) == (400, "InvalidPartOrder")


async def test_parts_may_be_left_out_and_are_gone_then(store, hand):
    await hand.put_all()
    assert (await hand.complete((1, 3))).status == 200
    assert store.objects["a"].data == CUT[0] + CUT[2]
    assert (await hand.ask("GET")).status == 404


async def test_all_parts_but_the_last_have_a_least_size(hand):
    await hand.put_all([b"0123456789", b"short", b"e"])
    reply = await hand.complete()
    assert (reply.status, reply.code) == (400, "EntityTooSmall")
    assert (reply.tag("PartNumber"), reply.tag("ProposedSize")) == ("2", "5")
    assert (await hand.complete((1, 2))).status == 200


async def test_a_part_has_a_largest_size():
    async with StrictStore(AWS.but(max_part=100)) as store:
        hand = await Hand(store).open()
        reply = await hand.put(1, bytes(101))
        assert (reply.status, reply.code) == (400, "EntityTooLarge")
        assert (await hand.put(1, bytes(100))).status == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MalformedXML"),
        (b"<Complete", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (b"<CompleteMultipartUpload/>", "InvalidRequest"),
        (b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>", "MalformedXML"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><CompleteMultipartUpload/>", "MalformedXML"),
    ],
)
async def test_a_list_of_parts_that_is_none(hand, body, code):
    await hand.put_all()
    reply = await hand.ask("POST", body)
    assert (reply.status, reply.code) == (400, code)


async def test_a_truncated_part_is_none(store, hand):
    message = hand.part(1, bytes(1000)).but(more={"Content-Length": "1000"})
    for half_close in (True, False):
        sent = message.head + message.body[:999]
        if half_close:
            assert await exchange(store.port, sent, half_close=True) == b""
        else:
            with pytest.raises(TimeoutError):
                await exchange(store.port, sent, seconds=0.02)
    await store.until(lambda s: s.count("UploadPart") == 2 and all(e.ended for e in s.log))
    assert store.open_uploads[0].parts == {}
    assert [(e.status, e.received) for e in store.seen("UploadPart")] == [(0, 999)] * 2


# --- Twice, late, at once


async def test_completing_twice_gives_the_same_answer(store, hand):
    await hand.put_all()
    first, second = await hand.complete(), await hand.complete()
    assert (second.status, second.body) == (200, first.body)
    other = await hand.complete((1, 2))
    assert (other.status, other.code) == (404, "NoSuchUpload")
    assert len(store.objects) == 1


async def test_a_store_that_forgets_uploads():
    async with StrictStore(SMALL.but(complete_twice="404")) as store:
        hand = await (await Hand(store).open()).put_all()
        assert (await hand.complete()).status == 200
        assert (await hand.complete()).code == "NoSuchUpload"


@pytest.mark.parametrize("end", ["abort", "complete"])
async def test_a_part_in_flight_at_the_end_is_refused(store, hand, end):
    await hand.put_all()
    message = hand.part(3, b"late").but(more={"Content-Length": "4"})
    reader, writer = await begun(store.port, message.head + b"la")
    await store.until(lambda s: s.open_uploads[0].in_flight)
    reply = await (hand.ask("DELETE") if end == "abort" else hand.complete())
    assert reply.status in {200, 204}
    writer.write(b"te")
    assert b"404 Not Found" in await reader.readline()
    writer.close()
    assert store.open_uploads == []
    assert ("a" in store.objects) == (end == "complete")


async def test_an_abort_can_miss_a_part_in_flight():
    async with StrictStore(SMALL.but(abort_misses_parts_in_flight=True)) as store:
        hand = await Hand(store).open()
        await hand.put(1, CUT[0])
        message = hand.part(2, b"late").but(more={"Content-Length": "4"})
        reader, writer = await begun(store.port, message.head + b"la")
        await store.until(lambda s: s.open_uploads[0].in_flight)
        assert (await hand.ask("DELETE")).status == 204
        writer.write(b"te")
        assert b"200 OK" in await reader.readline()
        writer.close()
        listed = await hand.ask("GET")
        assert listed.tag("PartNumber") == "2"
        assert (await hand.ask("DELETE")).status == 204
        assert (await hand.ask("GET")).code == "NoSuchUpload"


@pytest.mark.parametrize(
    ("late_parts_win", "kept"), [(True, b"first....."), (False, b"second....")]
)
async def test_of_two_attempts_the_later_wins(late_parts_win, kept):
    async with StrictStore(SMALL.but(late_parts_win=late_parts_win)) as store:
        hand = await Hand(store).open()
        message = hand.part(1, b"first.....").but(more={"Content-Length": "10"})
        reader, writer = await begun(store.port, message.head + b"first")
        await store.until(lambda s: s.open_uploads[0].in_flight)
        await hand.put(1, b"second....")
        writer.write(b".....")
        assert b"200 OK" in await reader.readline()
        writer.close()
        assert store.open_uploads[0].parts[1].data == kept
        assert store.peak == 2


# --- Conditions


async def test_create_only(store, hand):
    await hand.put_all()
    await send(store, presigned(store, "PUT", "a", body=b"there"))
    reply = await hand.complete(if_none_match="*")
    assert (reply.status, reply.code) == (412, "PreconditionFailed")
    await send(store, signed(store, "DELETE", "a"))
    reply = await hand.complete(if_none_match="*")
    # It is free; but it was not, all the time since the upload was created.
    assert (reply.status, reply.code) == (409, "ConditionalRequestConflict")
    again = await (await Hand(store).open()).put_all()
    assert (await again.complete(if_none_match="*")).status == 200


async def test_replace_only_what_is_known(store):
    put = await send(store, presigned(store, "PUT", "a", body=b"old"))
    hand = await (await Hand(store).open()).put_all()
    assert (await hand.complete(if_match='"0"')).status == 412
    new = await send(store, presigned(store, "PUT", "a", body=b"new"))
    assert (await hand.complete(if_match=put.headers["etag"])).status == 412
    assert (await hand.complete(if_match=new.headers["etag"])).status == 409
    await send(store, signed(store, "DELETE", "a"))
    assert (await hand.complete(if_match=new.headers["etag"])).status == 404
    assert (await hand.complete(if_match='"0"', if_none_match="*")).status == 501


@pytest.mark.parametrize(("personality", "put", "complete"), [(CEPH, 412, 200), (RCLONE, 200, 200)])
async def test_stores_that_ignore_conditions(personality, put, complete):
    async with StrictStore(personality.but(min_part=0)) as store:
        message = presigned(store, "PUT", "a", headers={"If-None-Match": "*"}, body=b"1")
        assert (await send(store, message)).status == 200
        assert (await send(store, message)).status == put
        hand = await (await Hand(store).open()).put_all()
        assert (await hand.complete(if_none_match="*")).status == complete


# --- Other personalities


@pytest.mark.parametrize(
    ("cut", "status"),
    [
        ([b"x" * 10, b"x" * 10, b"x" * 3], 200),
        ([b"x" * 10, b"x" * 10, b"x" * 10], 200),
        ([b"x" * 10, b"x" * 11, b"x" * 3], 400),
        ([b"x" * 10, b"x" * 11], 400),
        ([b"x" * 10], 200),
    ],
)
async def test_r2_wants_equal_parts(cut, status):
    async with StrictStore(R2.but(min_part=10)) as store:
        hand = await (await Hand(store).open()).put_all(cut)
        assert (await hand.complete()).status == status


@pytest.mark.parametrize("personality", [KMS, EXPRESS])
async def test_etags_that_are_no_md5(personality):
    async with StrictStore(personality.but(min_part=0), seed=7) as store:
        put = await send(store, presigned(store, "PUT", "b", body=b"1"))
        assert put.headers["etag"] != f'"{md5_hex(b"1")}"'
        hand = await (await Hand(store).open()).put_all()
        assert hand.tags[1] != f'"{md5_hex(CUT[0])}"'
        reply = await hand.complete()
        assert reply.status == 200
        assert reply.tag("ETag").endswith("-3&quot;") == (personality is KMS)


async def test_rclone_shows_no_etag_and_names_in_capitals():
    async with StrictStore(RCLONE) as store:
        headers = {"x-amz-meta-my-color": "blue"}
        await send(store, presigned(store, "PUT", "a", headers=headers, body=b"12"))
        got = await send(store, presigned(store, "GET", "a").but(more={"If-Match": '"0"'}))
        assert (got.status, got.headers["etag"]) == (200, '""')
        raw = presigned(store, "HEAD", "a").but(more={"Connection": "close"})
        assert b"x-amz-meta-My-Color: blue" in await exchange(store.port, raw.head)


async def test_ids_have_to_be_encoded(hand):
    assert "~" in hand.id
    assert len(hand.id) > 64


async def test_many_parts_are_listed_in_pages(store, hand):
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for number in range(1, 41):
                group.start_soon(hand.put, number, b"0123456789")
    store.personality = SMALL.but(page=15)
    found, marker = [], 0
    for _ in range(3):
        query = f"uploadId={hand.id}&part-number-marker={marker}"
        reply = await send(store, signed(store, "GET", "a", query=query))
        marker = int(reply.tag("NextPartNumberMarker"))
        found.append(marker)
    assert found == [15, 30, 40]
    assert reply.tag("IsTruncated") == "false"


async def test_a_page_has_a_thousand_parts(store, hand):
    await hand.put(1, CUT[0])
    [upload] = store.open_uploads
    upload.parts = {number: replace(upload.parts[1], number=number) for number in range(1, 1002)}
    reply = await hand.ask("GET")
    assert reply.body.count(b"<Part>") == 1000
    assert (reply.tag("IsTruncated"), reply.tag("NextPartNumberMarker")) == ("true", "1000")
