"""What Azure says and Azurite does not: before the real thing stands one that says it."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import pytest

import transfer
from tests.conformance.suite import content, get, keys, put
from tests.faults.harness.azure_front import AzureFront, Fault
from tests.support.azurite import ACCOUNT, KEY
from transfer.errors import (
    ConnectionLostError,
    DamagedInTransitError,
    ExistsError,
    ExpiredError,
    ThrottledError,
    UploadGoneError,
)
from transfer.model import Expected, Intent, Part, Span
from transfer.settings import Settings
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
