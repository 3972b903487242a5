"""The engine and a store that verifies everything: what is refused is handled as designed."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from backends.s3 import parts as s3_parts
from tests.faults.harness import AWS, BUCKET, ChaosProxy, StrictStore, lies, network
from tests.faults.harness.by_hand import Message, begun, send
from transfer.engine import Engine, Options
from transfer.errors import (
    CredentialsError,
    ExistsError,
    IntegrityError,
    NotFoundError,
    UploadGoneError,
)
from transfer.model import Intent, Part, Span
from transfer.registry import locate
from transfer.settings import Settings

PART = 64 * 1024
SIZE = 6 * PART - 1000
TARGET = f"s3://{BUCKET}/a"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(s3_parts.S3Parts, "limits", replace(s3_parts.LIMITS, min_size=1))


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
async def store():
    async with StrictStore(AWS.but(min_part=1)) as store:
        yield store


@pytest.fixture
def engine_for(monkeypatch, tmp_path):
    @asynccontextmanager
    async def opened(store, url=None, **changes):
        for name, value in store.environ.items():
            monkeypatch.setenv(name, value)
        settings = Settings(
            s3_endpoint_url=url or store.url,
            aws_region="us-east-1",
            upload_part_size=PART,
            durability="none",
            concurrency=4,
            state_dir=str(tmp_path / "state"),
        )
        async with Engine(replace(settings, **changes)) as engine:
            yield engine

    return opened


async def test_what_the_store_has_lost_is_noticed_before_complete(store, engine_for, source):
    store.lies.add("UploadPart", lies.forget(), part=2)
    async with engine_for(store) as engine:
        with pytest.raises(IntegrityError, match="part 2 is not in the store"):
            await engine.push(source, TARGET)
    assert store.count("CompleteMultipartUpload") == 0
    assert (store.objects, store.open_uploads) == ({}, [])


@pytest.mark.parametrize("connection", [1, 2, 3, 4])
async def test_a_bit_that_flips_on_the_way_is_refused_and_sent_again(
    store, engine_for, source, connection
):
    flip = network.Flip(at=PART // 2, bit=3)
    async with (
        ChaosProxy(store.port, {connection: [flip]}) as proxy,
        engine_for(store, proxy.url) as engine,
    ):
        report = await engine.push(source, TARGET)
        hit = proxy.hits == [flip]
    refused = store.count("UploadPart", status=400)
    assert refused == hit
    assert store.objects["a"].data == source.read_bytes()
    assert report.done[0].verified == "content"
    assert report.retries == refused


async def test_some_of_those_bits_did_flip(store, engine_for, source):
    async with (
        ChaosProxy(store.port, [network.Flip(at=PART // 2)]) as proxy,
        engine_for(store, proxy.url, attempts=2) as engine,
    ):
        report = await engine.run(source, TARGET)
    assert {entry.code for entry in store.seen("UploadPart", status=400)} == {"BadDigest"}
    assert report.done == [] or report.retries
    assert store.objects == {} or store.objects["a"].data == source.read_bytes()


async def test_a_key_that_is_not_the_right_one_ends_it_at_once(
    store, engine_for, source, monkeypatch
):
    async with engine_for(store) as engine:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "forged")
        with pytest.raises(CredentialsError, match="SignatureDoesNotMatch"):
            await engine.push(source, TARGET)
    assert (store.objects, store.open_uploads) == ({}, [])
    assert {entry.status for entry in store.log} == {403}
    assert len(store.log) == 1


async def test_permissions_are_for_one_content_one_length_and_a_while(store, engine_for):
    """What a client may do with a URL that it was given for one part."""
    async with engine_for(store) as engine:
        s3 = await engine._stores.get(locate(TARGET))
        upload = await s3.parts.create("a", Intent(2 * PART, PART, nonce="0" * 32))
        part = Part(1, Span(0, PART))
        signed = await s3.signer.sign_part(upload, part, None, 900)

        def message(body, url=signed.url):
            parts = urlsplit(url)
            headers = {"Host": parts.netloc, "Content-Length": str(len(body))}
            return Message("PUT", f"{parts.path}?{parts.query}", headers, body)

        longer = await send(store, message(b"x" * (PART + 1)))
        assert (longer.status, longer.code) == (403, "SignatureDoesNotMatch")
        forged = await send(
            store, message(b"x" * PART).swap("X-Amz-Signature=", "X-Amz-Signature=0")
        )
        assert forged.status in {400, 403}
        other = await send(store, message(b"x" * PART).swap("partNumber=1", "partNumber=2"))
        assert (other.status, other.code) == (403, "SignatureDoesNotMatch")
        assert store.open_uploads[0].parts == {}
        assert (await send(store, message(b"x" * PART))).status == 200
        # Again is the same again, as long as the upload is open, and nothing after that.
        assert (await send(store, message(b"x" * PART))).status == 200
        store.clock.advance(901)
        assert (await send(store, message(b"x" * PART))).code in {
            "AccessDenied",
            "RequestTimeTooSkewed",
        }
        store.clock.jump(-901)
        await s3.parts.abort(upload)
        assert (await send(store, message(b"x" * PART))).code == "NoSuchUpload"
    assert store.open_uploads == []


async def test_a_url_that_is_used_again_after_complete_changes_nothing(store, engine_for, source):
    async with engine_for(store) as engine:
        s3 = await engine._stores.get(locate(TARGET))
        urls = []
        sign = s3.presigner.sign_part

        async def remembered(*arguments):
            urls.append(await sign(*arguments))
            return urls[-1]

        s3.presigner.sign_part = remembered
        await engine.push(source, TARGET)
    first = urls[0]
    parts = urlsplit(first.url)
    headers = {"Host": parts.netloc, **first.headers}
    body = source.read_bytes()[:PART]
    replayed = Message("PUT", f"{parts.path}?{parts.query}", headers, body)
    assert (await send(store, replayed)).code == "NoSuchUpload"
    assert store.objects["a"].data == source.read_bytes()
    assert store.open_uploads == []


async def test_an_abort_is_made_until_nothing_is_left(engine_for):
    """A part that was being sent when the upload was given up may arrive all the same."""
    async with (
        StrictStore(AWS.but(min_part=1, abort_misses_parts_in_flight=True)) as store,
        engine_for(store) as engine,
    ):
        s3 = await engine._stores.get(locate(TARGET))
        upload = await s3.parts.create("a", Intent(2 * PART, PART, nonce="0" * 32))
        signed = await s3.signer.sign_part(upload, Part(1, Span(0, PART)), None, 900)
        parts = urlsplit(signed.url)
        headers = {"Host": parts.netloc, "Content-Length": str(PART)}
        late = Message("PUT", f"{parts.path}?{parts.query}", headers)
        _, writer = await begun(store.port, late.head + b"x" * 1000)
        await store.until(lambda s: s.open_uploads[0].in_flight)

        async def then_it_arrives(exchange, work):
            answer = await work()
            writer.write(b"x" * (PART - 1000))
            await store.until(lambda s: s.count("UploadPart", status=200))
            return answer

        store.lies.add("AbortMultipartUpload", then_it_arrives, nth=1)
        await s3.parts.abort(upload)
        writer.close()
        assert store.count("AbortMultipartUpload") == 2
        assert store.open_uploads == []


async def test_an_upload_that_is_gone_is_not_called_a_success(store, engine_for, source):
    """Not even if an object of the same size is there: it is somebody else's."""
    async with engine_for(store, s3_checksum="none") as engine:
        (source.parent / "other").write_bytes(bytes(SIZE))
        await engine.push(source.parent / "other", TARGET)
        store.lies.add("CompleteMultipartUpload", lies.refuse(404, "NoSuchUpload"))
        with pytest.raises(UploadGoneError):
            await engine.push(source, TARGET)
    assert store.objects["a"].data == bytes(SIZE)
    assert store.open_uploads == []


async def test_what_is_not_there_is_said_in_words(store, engine_for, tmp_path):
    async with engine_for(store) as engine:
        with pytest.raises(NotFoundError, match=f"s3://{BUCKET}/none does not exist"):
            await engine.pull(f"s3://{BUCKET}/none", tmp_path / "none")


@pytest.mark.parametrize("checksum", ["auto", "none"])
@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload"])
async def test_what_we_have_stored_ourselves_is_no_object_of_somebody_else(
    store, engine_for, source, operation, checksum
):
    """The answer was lost, and asked again the store refuses to replace what is there."""
    size = PART // 2 if operation == "PutObject" else SIZE
    os.truncate(source, size)
    store.lies.add(operation, lies.lose_answer(), nth=1)
    once = Options(no_clobber=True)
    async with engine_for(store, s3_checksum=checksum) as engine:
        report = await engine.push(source, TARGET, options=once)
        assert store.count(operation) >= 1
        assert report.done[0].size == size
        with pytest.raises(ExistsError):
            await engine.push(source, TARGET, options=once)
    assert store.objects["a"].data == source.read_bytes()
