"""What Azure says and Azurite does not: before the real thing stands one that says it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import pytest

import transfer
from tests.conformance.suite import content, get, keys, put
from tests.faults.harness.azure_front import AzureFront, Fault
from tests.support.azurite import ACCOUNT, KEY
from transfer.engine import Engine, Options
from transfer.errors import (
    ConnectionLostError,
    DamagedInTransitError,
    ExistsError,
    ExpiredError,
    SourceChangedError,
    ThrottledError,
    UploadGoneError,
)
from transfer.model import Expected, Intent, Part, Span, Verified
from transfer.settings import Settings
from transfer.sizes import MIB
from transfer.sources import BytesSource
from transfer.tally import Tally

pytestmark = pytest.mark.servers

LOST = Fault(lost=True)
BUSY = Fault(503, "ServerBusy", {"retry-after": "3"})
EXPIRED = Fault(
    403,
    "AuthenticationFailed",
    detail="<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [x]"
    "</AuthenticationErrorDetail>",
)


@pytest.fixture
async def front(azurite):
    parts = urlsplit(azurite.endpoint)
    async with AzureFront(parts.hostname, parts.port) as front:
        yield front


@pytest.fixture
def environ(front):
    endpoint = f"http://127.0.0.1:{front.port}/{ACCOUNT}"
    string = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}"
    return {"AZURE_STORAGE_CONNECTION_STRING": string}


@pytest.fixture
async def store(azurite, environ, open_store):
    async with open_store(azurite.url, environ) as store:
        yield store


@pytest.fixture
def room() -> str:
    return f"room-{secrets.token_hex(6)}/"


async def all_sent(store, key, data):
    upload = await store.parts.create(key, Intent(len(data), len(data)))
    part = Part(1, Span(0, len(data)))
    return upload, [await store.parts.send(upload, part, BytesSource(data), Tally())]


async def test_lost_answer_to_a_completion_is_settled_by_a_look(front, store, room):
    upload, receipts = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block List"] = [LOST]
    info = await store.parts.complete(upload, receipts, Expected(4))
    assert info.size == 4
    assert front.asked["Put Block List"] == 1
    assert await get(store, room + "a") == b"1234"


async def test_completion_that_did_not_happen_is_no_success(front, store, room):
    """Another blob of that name is there: the mark in its metadata is not ours."""
    await put(store, room + "a", b"old!")
    upload, receipts = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block List"] = [BUSY]
    with pytest.raises(ThrottledError) as caught:
        await store.parts.complete(upload, receipts, Expected(4))
    assert caught.value.retry_after == 3
    assert await get(store, room + "a") == b"old!"
    await store.parts.complete(upload, receipts, Expected(4))
    assert await get(store, room + "a") == b"1234"


async def test_look_that_fails_too_leaves_the_first_error(front, store, room):
    upload, receipts = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block List"] = [LOST]
    front.faults["Get Blob Properties"] = [BUSY]
    with pytest.raises(ConnectionLostError):
        await store.parts.complete(upload, receipts, Expected(4))
    # Asked once more, it finds what it did.
    assert (await store.parts.complete(upload, receipts, Expected(4))).size == 4


async def test_blocks_that_went_between_the_look_and_the_commit(front, store, room):
    upload, receipts = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block List"] = [Fault(400, "InvalidBlockList")]
    with pytest.raises(UploadGoneError):
        await store.parts.complete(upload, receipts, Expected(4))
    assert await keys(store, room) == []


async def test_condition_that_failed_at_the_commit_means_that_it_exists(front, store, room):
    upload, receipts = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block List"] = [Fault(412, "ConditionNotMet")]
    with pytest.raises(ExistsError):
        await store.parts.complete(upload, receipts, Expected(4, no_clobber=True))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(400, "Md5Mismatch"), DamagedInTransitError),
        (BUSY, ThrottledError),
        (EXPIRED, ExpiredError),
    ],
)
async def test_part_that_is_refused_may_be_sent_again(front, store, room, fault, kind):
    front.faults["Put Block"] = [Fault(503, "ServerBusy")]
    with pytest.raises(ThrottledError):
        await store.parts.create(room + "a", Intent(4, 4))
    upload, _ = await all_sent(store, room + "a", b"1234")
    front.faults["Put Block"] = [fault]
    with pytest.raises(kind):
        await store.parts.send(upload, Part(1, Span(0, 4)), BytesSource(b"1234"), Tally())


async def test_overwriting_without_the_permission_means_that_it_exists(front, store, room):
    front.faults["Put Blob"] = [Fault(403, "UnauthorizedBlobOverwrite")]
    with pytest.raises(ExistsError):
        await put(store, room + "a", b"new", no_clobber=True)


async def test_run_survives_all_of_it(front, azurite, environ, tmp_path, room):
    """Busy, damaged, expired and lost answers: the file arrives, whole, and nothing twice."""
    source = tmp_path / "file"
    source.write_bytes(content(3_000_000))
    damaged, failed = Fault(400, "Md5Mismatch"), Fault(500, "OperationTimedOut")
    front.faults["Put Block"] = [failed, BUSY, damaged, EXPIRED, LOST, LOST]
    front.faults["Put Block List"] = [failed, LOST]
    settings = Settings.from_env(environ | {"MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "300000"})
    async with transfer.Engine(settings) as engine:
        report = await engine.push(source, f"{azurite.url}/{room}file")
        await engine.pull(f"{azurite.url}/{room}file", tmp_path / "back")
    assert report.done[0].parts == 10
    assert not any(front.faults.values())
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("operation", ["Put Blob", "Put Block List"])
async def test_what_we_have_stored_ourselves_is_no_blob_of_somebody_else(  # noqa: PLR0917 - fixtures
    front, azurite, environ, tmp_path, room, operation
):
    """The answer was lost, and asked again the service refuses to replace what is there."""
    size = 9000 if operation == "Put Blob" else 900_000
    source = tmp_path / "file"
    source.write_bytes(content(size))
    front.faults[operation] = [LOST]
    sizes = {
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "300000",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "500000",
    }
    settings, once = Settings.from_env(environ | sizes), Options(no_clobber=True)
    async with Engine(settings) as engine:
        report = await engine.push(source, f"{azurite.url}/{room}file", options=once)
        assert report.done[0].size == size
        assert not any(front.faults.values())
        with pytest.raises(ExistsError):
            await engine.push(source, f"{azurite.url}/{room}file", options=once)


# --- copies that the service makes


@pytest.fixture
def copy(environ):
    """Copy in parts of 1 MiB; parts that are so small are fine for Azure."""

    async def copied(source, target, options=None, **more):
        settings = Settings.from_env(
            environ
            | {
                "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "1MiB",
                "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "2MiB",
            }
            | more
        )
        async with Engine(settings) as engine:
            return await engine.copy(source, target, options=options or Options())

    return copied


async def test_blobs_are_copied_by_the_service(azurite, front, store, room, copy):
    """Small ones at once, large ones in blocks: nothing of them passes here."""
    large, small = secrets.token_bytes(5 * MIB + 7), secrets.token_bytes(1000)
    for name, data in (("large ü %+", large), ("d/small #", small)):
        await put(store, f"{room}from/{name}", data)
    front.asked.clear()
    url = azurite.url
    report = await copy(f"{url}/{room}from/", f"{url}/{room}to/")
    assert len(report.done) == 2
    assert (front.asked["Copy Blob From URL"], front.asked["Put Block From URL"]) == (1, 6)
    assert (front.asked["Get Blob"], front.asked["Put Blob"]) == (0, 0)
    assert await get(store, f"{room}to/large ü %+") == large
    assert await get(store, f"{room}to/d/small #") == small


async def test_a_copy_from_a_container_that_may_not_be_read_is_moved(
    azurite, front, store, room, copy
):
    """The service may say no where it reads for us, though we may read ourselves."""
    data = secrets.token_bytes(3 * MIB)
    await put(store, room + "a", data)
    front.faults["Put Block From URL"] = [Fault(403, "CannotVerifyCopySource")] * 3
    report = await copy(
        f"{azurite.url}/{room}a", f"{azurite.url}/{room}b", TRANSFER_CONCURRENCY="1"
    )
    assert len(report.done) == 1
    assert front.asked["Put Block From URL"] == 1
    assert front.asked["Put Block"] == 4


async def test_where_the_content_must_be_verified_it_is_moved(azurite, front, store, room, copy):
    """What Azure says of a copy is what was once said of its source."""
    await put(store, room + "a", content(1000))
    url = f"{azurite.url}/{room}"
    report = await copy(f"{url}a", f"{url}b")
    assert report.done[0].verified is Verified.SIZE
    report = await copy(f"{url}a", f"{url}c", Options(require_verified=True))
    assert report.done[0].verified is Verified.CONTENT
    assert front.asked["Copy Blob From URL"] == 1


async def test_a_blob_that_is_replaced_while_it_is_copied(store, room):
    data = secrets.token_bytes(1000)
    await put(store, room + "a", data)
    async with store.open(room + "a") as found:
        source = found.source(Span(0, len(data)))
        await put(store, room + "a", data)
        with pytest.raises(SourceChangedError):
            await store.put(room + "b", source, Intent(len(data)), Tally())
        upload = await store.parts.create(room + "b", Intent(len(data), len(data)))
        with pytest.raises(SourceChangedError):
            await store.parts.send(upload, Part(1, Span(0, len(data))), source, Tally())
    assert await keys(store, room) == [room + "a"]
