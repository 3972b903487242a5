"""Cloud Storage when something goes wrong, against a server that checks what Google's checks."""

from __future__ import annotations

import io
import secrets
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

import aiohttp
import anyio
import pytest
from gcloud.aio.auth import iam
from yarl import URL

from backends.gcs import credentials as gcs_credentials
from tests.faults.harness import (
    BUCKET,
    GCS,
    ChaosProxy,
    StrictGcs,
    StrictStore,
    gcs_json_api,
    lies,
    network,
)
from tests.faults.harness.answers import Answer
from transfer.checksums import Algorithm, checksum_of
from transfer.engine import Engine, Options
from transfer.errors import (
    CredentialsError,
    DamagedInTransitError,
    ExistsError,
    ExpiredError,
    IntegrityError,
    RejectedError,
    SourceChangedError,
    StalledError,
    TemporaryError,
    TransferError,
    UnsupportedError,
)
from transfer.files import FileSource
from transfer.model import Expected, Intent, ObjectInfo, Part, Span, Verified
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_root
from transfer.settings import Settings
from transfer.sources import BytesSink, BytesSource
from transfer.store import Context
from transfer.tally import Tally

KIB = 1024
MIB = 1024**2
CHUNK = 256 * KIB
PART = 5 * MIB


@pytest.fixture
async def server():
    async with StrictGcs() as server:
        yield server


@pytest.fixture
def robot(server, tmp_path):
    """The variables of somebody whose credentials can sign."""
    return server.environ_with(server.service_account(), tmp_path)


@pytest.fixture
def person(server, tmp_path):
    """The variables of somebody whose credentials cannot."""
    return server.environ_with(server.authorized_user(), tmp_path)


@asynccontextmanager
async def opened(environ, **more):
    settings = Settings.from_env(environ | more)
    async with (
        open_mover(settings) as mover,
        open_root(locate(f"gs://{BUCKET}"), Context(settings, mover)) as store,
    ):
        yield store


@pytest.fixture
def file(tmp_path):
    """Make a file, and a source of it."""
    made = []

    def make(size: int):
        path = tmp_path / f"file-{len(made)}"
        path.write_bytes(secrets.token_bytes(size))
        made.append(path.open("rb"))
        return path.read_bytes(), FileSource(made[-1].fileno(), Span(0, size))

    yield make
    for one in made:
        one.close()


def intent_of(data: bytes, **more) -> Intent:
    return Intent(len(data), algorithm=Algorithm.CRC32C, **more)


def crc_tally() -> Tally:
    return Tally(Algorithm.CRC32C)


async def read(store, key: str) -> bytes:
    async with store.open(key) as found:
        sink = BytesSink()
        await found.source(Span(0, found.info.size)).pour(sink, Tally())
        return bytes(sink.data)


# --- parts


async def send(store, upload, number: int, data: bytes):
    start = (number - 1) * PART
    part = Part(number, Span(start, start + len(data)))
    return await store.parts.send(upload, part, BytesSource(data), crc_tally())


async def begun(store, key: str = "k"):
    data = secrets.token_bytes(PART + 1000)
    upload = await store.parts.create(key, intent_of(data, part_size=PART))
    receipts = [
        await send(store, upload, 1, data[:PART]),
        await send(store, upload, 2, data[PART:]),
    ]
    return data, upload, receipts


async def test_parts_are_bound_to_number_and_content(server, robot):
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        info = await store.parts.complete(upload, receipts, Expected(len(data)))
    assert info.checksum == checksum_of(Algorithm.CRC32C, data)
    assert info.version
    assert info.version.isdecimal()
    for entry in server.seen("UploadPart"):
        assert entry.headers["x-goog-hash"].startswith("crc32c=")
        assert "authorization" not in entry.headers
    assert server.objects["k"].data == data
    assert not server.seen("token")


async def test_a_complete_whose_answer_is_lost_is_judged_by_our_mark(server, robot):
    server.lies.add("CompleteMultipartUpload", lies.lose_answer(), nth=1)
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        info = await store.parts.complete(upload, receipts, Expected(len(data)))
    assert info.size == len(data)
    assert server.count("CompleteMultipartUpload") == 1


async def test_somebody_elses_object_is_not_taken_for_ours(server, robot):
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        await store.parts.abort(upload)
        await store.put("k", BytesSource(data), intent_of(data), crc_tally())
        with pytest.raises(TransferError, match="404 NoSuchUpload"):
            await store.parts.complete(upload, receipts, Expected(len(data)))


async def test_an_error_in_a_200_is_an_error(server, robot):
    server.lies.add("CompleteMultipartUpload", lies.error_in_200("InternalError"), nth=1)
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        with pytest.raises(TemporaryError, match="InternalError"):
            await store.parts.complete(upload, receipts, Expected(len(data)))
        info = await store.parts.complete(upload, receipts, Expected(len(data)))
    assert info.size == len(data)


async def test_an_object_with_another_checksum_is_found_out(server, robot):
    server.lies.add("HeadObject", lies.header("x-goog-hash", "crc32c=AAAAAA=="))
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        with pytest.raises(IntegrityError, match="has checksum crc32c:00000000"):
            await store.parts.complete(upload, receipts, Expected(len(data)))


async def test_a_part_that_is_damaged_on_its_way_is_refused(server, robot):
    async with ChaosProxy(server.port) as proxy:
        environ = robot | {"TRANSFER_GCS_ENDPOINT_URL": proxy.url}
        async with opened(environ) as store:
            upload = await store.parts.create("k", intent_of(bytes(PART + 1), part_size=PART))
            await proxy.cut()
            proxy.plan = [network.Flip(at=PART // 2)]
            with pytest.raises(DamagedInTransitError, match="BadDigest"):
                await send(store, upload, 1, bytes(PART))
            await store.parts.abort(upload)


async def test_an_upload_that_must_not_replace_is_not_opened_in_parts(server, robot):
    async with opened(robot) as store:
        with pytest.raises(UnsupportedError):
            await store.parts.create("k", Intent(1, PART, no_clobber=True))
    assert server.log == []


async def test_parts_are_listed_over_pages(tmp_path):
    async with StrictGcs(GCS.but(page=2, min_part=0)) as server:
        environ = server.environ_with(server.service_account(), tmp_path)
        async with opened(environ) as store:
            upload = await store.parts.create("k", Intent(5, 1))
            for number in range(1, 6):
                part = Part(number, Span(number - 1, number))
                await store.parts.send(upload, part, BytesSource(b"x"), Tally())
            assert [one.number for one in await store.parts.sent(upload)] == [1, 2, 3, 4, 5]
            await store.parts.abort(upload)
        assert server.count("ListParts") == 3


# --- permissions for others


async def plainly(signed, *, data: bytes | None = None, drop: str = "") -> tuple[int, str]:
    """Use a permission as anybody would; return status and body."""
    headers = {name: value for name, value in signed.headers.items() if name != drop}
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"], auto_decompress=False) as session,
        session.request(
            signed.method,
            URL(signed.url, encoded=True),
            data=None if data is None else io.BytesIO(data),
            headers=headers,
        ) as answer,
    ):
        return answer.status, await answer.text()


async def test_permissions_hold_for_exactly_what_they_say(server, robot):
    data = b"content"
    checksum = checksum_of(Algorithm.CRC32C, data)
    async with opened(robot) as store:
        signed = await store.signer.sign_put("k", Intent(len(data), checksum=checksum), 60)
        assert (await plainly(signed, data=b"longer content"))[0] == 400
        assert "BadDigest" in (await plainly(signed, data=b"CONTENT"))[1]
        assert (await plainly(signed, data=data, drop="x-goog-hash"))[0] == 400
        assert (await plainly(signed, data=data))[0] == 200
        reading = await store.signer.sign_read(await store.stat("k"), 60)
        assert await plainly(reading) == (200, "content")
        await store.put("k", BytesSource(b"other"), Intent(5), Tally())
        assert (await plainly(reading))[0] == 412


async def test_a_permission_for_a_part_is_for_its_length(server, robot):
    async with opened(robot) as store:
        upload = await store.parts.create("k", Intent(10, 10))
        signed = await store.signer.sign_part(upload, Part(1, Span(0, 10)), None, 60)
        for data, code in ((bytes(9), "EntityTooSmall"), (bytes(11), "EntityTooLarge")):
            assert code in (await plainly(signed, data=data))[1]
        assert (await plainly(signed, data=bytes(10)))[0] == 200
        await store.parts.abort(upload)


async def test_a_permission_that_has_expired_is_told_from_one_that_never_was(server, robot):
    async with opened(robot) as store:
        data, upload, receipts = await begun(store)
        signed = await store.signer.sign_part(upload, Part(1, Span(0, PART)), None, 60)
        server.clock.advance(61)
        status, body = await plainly(signed, data=data[:PART])
        assert (status, "ExpiredToken" in body) == (400, True)
        server.clock.advance(4000)
        with pytest.raises(ExpiredError):
            await send(store, upload, 1, data[:PART])
        server.clock.jump(-4061)
        await store.parts.complete(upload, receipts, Expected(len(data)))


# --- single requests


async def test_a_put_whose_answer_is_lost_was_ours(server, robot):
    # Over a connection that was used before, the byte path tries a second time by itself.
    server.lies.add("PutObject", lies.lose_answer(), nth=(1, 2))
    intent = intent_of(b"new", no_clobber=True)
    async with opened(robot) as store:
        with pytest.raises(TemporaryError):
            await store.put("k", BytesSource(b"new"), intent, crc_tally())
        info = await store.put("k", BytesSource(b"new"), intent, crc_tally())
        assert info == await store.stat("k")
    assert [entry.did for entry in server.seen("PutObject")] in ([200], [200, 412])


async def test_a_put_after_a_failed_one_replaces_only_what_it_saw(server, robot):
    server.lies.add("PutObject", lies.refuse(503), nth=1)
    intent = intent_of(b"ours")
    async with opened(robot) as store:
        with pytest.raises(TemporaryError):
            await store.put("k", BytesSource(b"ours"), intent, crc_tally())
        await store.put("k", BytesSource(b"theirs"), intent_of(b"theirs"), crc_tally())
        await store.put("k", BytesSource(b"ours"), intent, crc_tally())
    first, _, last = server.seen("PutObject")
    assert "x-goog-if-generation-match" not in first.headers
    assert int(last.headers["x-goog-if-generation-match"]) > 0
    assert server.objects["k"].data == b"ours"


# --- resumable uploads


async def test_a_large_file_goes_in_chunks(server, person, file):
    data, source = file(9 * MIB + 5)
    async with opened(person, MLFLOW_GCS_UPLOAD_CHUNK_SIZE=str(4 * MIB)) as store:
        tally = crc_tally()
        info = await store.put("k", source, intent_of(data), tally)
    assert info.checksum == tally.checksum == checksum_of(Algorithm.CRC32C, data)
    assert tally.moved == len(data)
    assert [entry.received for entry in server.seen("resumable.put")] == [4 * MIB, 4 * MIB, MIB + 5]
    assert [entry.status for entry in server.seen("resumable.put")] == [308, 308, 200]
    assert server.objects["k"].data == data


@pytest.mark.parametrize("as_file", [True, False])
async def test_a_broken_upload_goes_on_where_it_broke(server, person, file, as_file):
    data, source = file(9 * MIB)
    if not as_file:
        source = BytesSource(data)
    intent = intent_of(data)
    faults = {1: [network.Reset(at=6 * MIB)], 2: [network.Reset(at=200_000)]}
    async with ChaosProxy(server.port, faults) as proxy, opened(person) as store:
        server.lies.add("objects.insert", through(proxy), nth=1)
        with pytest.raises(TemporaryError) as caught:
            await store.put("k", source, intent, crc_tally())
        assert "upload_id" not in str(caught.value)
        await server.until(lambda s: all(entry.ended for entry in s.seen("resumable.put")))
        proxy.plan = []
        tally = crc_tally()
        info = await store.put("k", source, intent, tally)
    assert info.size == tally.moved == len(data)
    assert info.checksum == tally.checksum
    last = server.seen("resumable.put")[-1]
    begin = int(last.headers["content-range"].removeprefix("bytes ").partition("-")[0])
    assert begin > MIB
    assert begin % CHUNK == 0
    assert last.received == len(data) - begin
    assert server.objects["k"].data == data
    assert server.count("objects.insert") == 1


def through(proxy):
    """Let the session's address lead through a proxy."""

    async def lie(exchange, work):
        answer = await work()
        answer.headers["Location"] = answer.headers["Location"].replace(
            exchange.store.url, proxy.url
        )
        return answer

    return lie


async def test_the_last_answer_may_be_lost(server, person, file):
    data, source = file(9 * MIB)
    server.lies.add("resumable.put", lies.lose_answer(), nth=(1, 2))
    intent = intent_of(data)
    async with opened(person) as store:
        with pytest.raises(TemporaryError):
            await store.put("k", source, intent, crc_tally())
        info = await store.put("k", source, intent, crc_tally())
    assert info.size == len(data)
    assert server.finished_sessions == 1


async def test_a_session_that_is_gone_is_opened_anew(server, person, file):
    data, source = file(9 * MIB)
    server.lies.add("resumable.put", lies.refuse(503), nth=1)
    intent = intent_of(data)
    async with opened(person) as store:
        with pytest.raises(TemporaryError):
            await store.put("k", source, intent, crc_tally())
        server.sessions.clear()
        with pytest.raises(TemporaryError, match="session is gone"):
            await store.put("k", source, intent, crc_tally())
        await store.put("k", source, intent, crc_tally())
    assert server.objects["k"].data == data


async def test_a_file_that_changes_is_not_stored(server, person, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(9 * MIB))
    with path.open("r+b") as opened_file:
        source = FileSource(opened_file.fileno(), Span(0, 9 * MIB))
        server.lies.add("objects.insert", changing(path))
        async with opened(person) as store:
            with pytest.raises(DamagedInTransitError, match="doesn't match calculated"):
                await store.put("k", source, intent_of(bytes(9 * MIB)), crc_tally())
    assert server.objects == {}


def changing(path):
    async def lie(exchange, work):
        answer = await work()
        await anyio.Path(path).write_bytes(b"x" * 9 * MIB)
        return answer

    return lie


async def test_a_cancelled_upload_is_given_up(server, person, file):
    data, source = file(9 * MIB)
    server.lies.add("resumable.put", lies.hang(), nth=1)
    async with opened(person) as store:
        async with anyio.create_task_group() as group:
            group.start_soon(store.put, "k", source, intent_of(data), crc_tally())
            await server.until(lambda s: s.seen("resumable.put"))
            group.cancel_scope.cancel()
        assert server.sessions == {}
    assert server.count("resumable.cancel") == 1


async def test_sessions_that_nobody_came_back_to_end_with_the_store(server, person, file):
    data, source = file(9 * MIB)
    server.lies.add("resumable.put", lies.refuse(503), nth=1)
    async with opened(person) as store:
        with pytest.raises(TemporaryError):
            await store.put("k", source, intent_of(data), crc_tally())
        assert len(server.sessions) == 1
    assert server.sessions == {}


async def test_a_large_file_that_must_not_replace(server, robot, file):
    data, source = file(9 * MIB)
    async with opened(robot) as store:
        await store.put("k", source, intent_of(data, no_clobber=True), crc_tally())
        with pytest.raises(ExistsError):
            await store.put("k", source, intent_of(data, no_clobber=True), crc_tally())
    assert server.finished_sessions == 1


# --- credentials


@pytest.fixture
def machine(server, monkeypatch):
    """The environment of a virtual machine: nothing, and a metadata server."""
    root = f"{server.url}/computeMetadata/v1/instance/service-accounts/default"
    monkeypatch.setattr("gcloud.aio.auth.token.GCE_ENDPOINT_TOKEN", f"{root}/token")
    monkeypatch.setattr(gcs_credentials, "_EMAIL_URL", f"{root}/email")
    monkeypatch.setattr(iam, "API_ROOT_IAM_CREDENTIALS", f"{server.url}/v1")
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nowhere")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    return {"TRANSFER_GCS_ENDPOINT_URL": server.url}


async def test_a_machine_signs_through_iam(server, machine):
    async with opened(machine) as store:
        data, upload, receipts = await begun(store)
        await store.parts.complete(upload, receipts, Expected(len(data)))
        assert await read(store, "k") == data
    assert server.count("signBlob", status=200) == server.count("signBlob") > 3
    assert server.count("metadata") == 2


async def test_a_machine_that_may_not_sign_has_no_parts(server, machine, file):
    server.may_sign = False
    data, source = file(9 * MIB)
    async with opened(machine) as store:
        assert (store.parts, store.signer) == (None, None)
        await store.put("k", source, intent_of(data), crc_tally())
        assert await read(store, "k") == data
    assert server.open_uploads == []


async def test_a_token_is_fetched_once_for_all_who_wait(server, person):
    server.lies.add("token", lies.delay(0.1))
    async with opened(person) as store, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(store.scan, "")
    assert server.count("token") == 1


async def test_a_token_that_cannot_be_had_is_asked_for_once(server, person):
    server.lies.add("token", lies.refuse(400))
    async with opened(person) as store:
        with pytest.raises(CredentialsError):
            await store.stat("k")
    assert server.count("token") == 1


async def test_a_token_service_in_trouble_is_temporary(server, person):
    server.lies.add("token", lies.refuse(500), nth=1)
    async with opened(person) as store:
        with pytest.raises(TemporaryError):
            await store.stat("k")
        assert (await store.scan("")).objects == ()


async def test_a_token_that_is_refused_when_old_is_replaced(server, person, monkeypatch):
    async with opened(person) as store:
        await store.scan("")
        server.tokens.clear()
        with pytest.raises(CredentialsError, match="401"):
            await store.scan("")
        await store.scan("")
        server.tokens.clear()
        monkeypatch.setattr(gcs_credentials, "_MARGIN", -1.0)
        with pytest.raises(ExpiredError):
            await store.scan("")
        await store.scan("")
    assert server.count("token") == 3


async def test_credentials_of_every_kind_are_understood(server, machine, tmp_path, monkeypatch):
    """A federation's token, exchanged, then impersonating the account that signs."""
    federated = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/pools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{server.url}/computeMetadata/sts",
        "credential_source": {"url": f"{server.url}/computeMetadata/subject"},
        "service_account_impersonation_url": (
            f"{server.url}/v1/projects/-/serviceAccounts/{server.email}:generateAccessToken"
        ),
    }
    server.lies.add("metadata", exchanged(server))
    environ = machine | server.environ_with(federated, tmp_path)
    async with opened(environ) as store:
        data, upload, receipts = await begun(store)
        await store.parts.complete(upload, receipts, Expected(len(data)))
        assert (await store.stat("k")).size == len(data)
    assert server.count("signBlob", status=200) > 3


def exchanged(server):
    """Play the token service of a federation: the harness has none."""

    async def lie(exchange, work):
        del work
        if exchange.request.path.endswith("/subject"):
            return Answer(200, {"Content-Type": "text/plain"}, b"of-somebody-else")
        form = parse_qs((await exchange.body.read()).decode())
        assert form["subject_token"] == ["of-somebody-else"]
        return gcs_json_api.answer_json(gcs_json_api._token(server))

    return lie


async def test_urls_for_others_lead_to_the_public_address(server, robot):
    async with ChaosProxy(server.port) as proxy:
        async with opened(robot, TRANSFER_PUBLIC_ENDPOINT_URL=proxy.url) as store:
            signed = await store.signer.sign_put("k", Intent(1), 60)
            assert signed.url.startswith(f"{proxy.url}/{BUCKET}/k?")
            assert (await plainly(signed, data=b"x"))[0] == 200
            assert await read(store, "k") == b"x"
        assert len(proxy.connections) == 1


async def test_objects_go_from_store_to_store(server, robot, tmp_path, monkeypatch):
    data = secrets.token_bytes(11 * MIB)
    async with StrictStore() as other:
        for name, value in other.environ.items():
            monkeypatch.setenv(name, value)
        settings = Settings.from_env(
            robot | other.environ | {"MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "5MiB"}
        )
        (tmp_path / "in").write_bytes(data)
        async with Engine(settings=settings) as engine:
            await engine.push(str(tmp_path / "in"), f"gs://{BUCKET}/a b")
            await engine.copy(f"gs://{BUCKET}/a b", f"s3://{BUCKET}/there")
            report = await engine.copy(f"s3://{BUCKET}/there", f"gs://{BUCKET}/back")
        assert other.objects["there"].data == data
    assert server.objects["back"].data == data
    assert report.done[0].verified is Verified.CONTENT
    assert server.count("UploadPart") == 6


@pytest.mark.parametrize("who", ["robot", "person"])
async def test_an_object_is_copied_by_the_store_itself(server, who, request, tmp_path):
    """In two calls, with the metadata; not one byte of it passes here."""
    environ = request.getfixturevalue(who) | {"MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "5MiB"}
    data = secrets.token_bytes(11 * MIB)
    (tmp_path / "in").write_bytes(data)
    async with Engine(settings=Settings.from_env(environ)) as engine:
        with_metadata = Options(metadata={"of": "it"})
        await engine.push(str(tmp_path / "in"), f"gs://{BUCKET}/a b/ü%", options=with_metadata)
        server.log.clear()
        report = await engine.copy(f"gs://{BUCKET}/a b/ü%", f"gs://{BUCKET}/c d/é+")
    there = server.objects["c d/é+"]
    assert there.data == data
    assert there.metadata["of"] == "it"
    assert report.done[0].verified is Verified.CONTENT
    assert server.count("objects.rewrite", status=200) == 2
    assert sum(entry.received for entry in server.log) < KIB
    assert server.count("GetObject") == 0


async def test_a_copy_that_is_refused_is_moved(server, robot, tmp_path):
    """One refusal is enough: the store is not asked again."""
    folder = tmp_path / "from"
    folder.mkdir()
    for number in range(3):
        (folder / f"in{number}").write_bytes(secrets.token_bytes(11 * MIB))
    server.lies.add("objects.rewrite", lies.refuse(403, "AccessDenied"))
    async with Engine(settings=Settings.from_env(robot | {"TRANSFER_CONCURRENCY": "1"})) as engine:
        await engine.push(f"{folder}/", f"gs://{BUCKET}/from/")
        report = await engine.copy(f"gs://{BUCKET}/from/", f"gs://{BUCKET}/to/")
    assert len(report.done) == 3
    for number in range(3):
        data = (folder / f"in{number}").read_bytes()
        assert server.objects[f"to/in{number}"].data == data
    assert server.count("objects.rewrite") == 1


async def test_a_copy_that_fails_half_way_goes_on_from_there(server, robot):
    settings = Settings.from_env(robot)
    async with opened(robot) as store:
        await store.put("a", BytesSource(b"x" * 1000), Intent(1000), Tally())
    server.lies.add("objects.rewrite", lies.refuse(503), nth=2)
    async with Engine(settings=settings) as engine:
        await engine.copy(f"gs://{BUCKET}/a", f"gs://{BUCKET}/b")
    assert server.objects["b"].data == b"x" * 1000
    # One that says how far it is, one that fails, and one that goes on with the same token.
    assert [entry.status for entry in server.seen("objects.rewrite")] == [200, 503, 200]


async def test_a_copy_that_is_refused_half_way_is_moved_and_compared_as_a_whole(server, robot):
    data = secrets.token_bytes(9 * MIB)
    async with opened(robot) as store:
        await store.put("a", BytesSource(data), Intent(len(data)), Tally())
        server.lies.add("objects.rewrite", lies.refuse(403, "AccessDenied"), nth=2)
        async with store.open("a") as found:
            tally = crc_tally()
            await store.put("b", found.source(Span(0, len(data))), intent_of(data), tally)
    assert server.objects["b"].data == data
    assert (tally.moved, tally.checksum) == (len(data), checksum_of(Algorithm.CRC32C, data))


async def test_a_copy_with_other_metadata_is_moved_in_parts(server, robot):
    data = secrets.token_bytes(11 * MIB)
    async with opened(robot) as store:
        await store.put("a", BytesSource(data), Intent(len(data)), Tally())
    environ = robot | {"MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": "5MiB"}
    async with Engine(settings=Settings.from_env(environ)) as engine:
        options = Options(metadata={"k": "v"})
        await engine.copy(f"gs://{BUCKET}/a", f"gs://{BUCKET}/b", options=options)
    assert server.objects["b"].data == data
    assert server.objects["b"].metadata["k"] == "v"
    assert (server.count("objects.rewrite"), server.count("UploadPart")) == (0, 3)


async def test_an_object_that_is_replaced_while_it_is_copied(server, robot):
    async with opened(robot) as store:
        await store.put("a", BytesSource(b"first"), Intent(5), Tally())
        async with store.open("a") as found:
            source = found.source(Span(0, 5))
            await store.put("a", BytesSource(b"other"), Intent(5), Tally())
            with pytest.raises(SourceChangedError, match=f"gs://{BUCKET}/a was replaced"):
                await store.put("b", source, Intent(5), Tally())
    assert "b" not in server.objects


async def test_who_waits_for_a_token_may_be_cancelled_alone(server, person):
    held = anyio.Event()
    server.lies.add("token", lies.hold(held), nth=1)
    first = anyio.CancelScope()
    async with opened(person) as store, anyio.create_task_group() as group:

        async def impatient():
            with first:
                await store.scan("")

        group.start_soon(impatient)
        await server.until(lambda s: s.seen("token"))
        group.start_soon(store.scan, "")
        await anyio.sleep(0.05)
        first.cancel()
        held.set()
    assert first.cancelled_caught
    assert server.count("objects.list", status=200) == 1


# --- settings


async def test_the_time_out_of_this_store_is_its_own(server, robot):
    async with opened(robot, MLFLOW_GCS_DEFAULT_TIMEOUT="1") as store:
        await store.put("k", BytesSource(b"x"), Intent(1), Tally())
        server.lies.add("GetObject", lies.hang())
        with pytest.raises(StalledError), anyio.fail_after(10):
            await read(store, "k")


async def test_downloads_keep_to_the_chunk_size_that_was_set(server, robot, tmp_path):
    (tmp_path / "in").write_bytes(secrets.token_bytes(2 * MIB))
    settings = Settings.from_env(
        robot
        | {
            "MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE": str(CHUNK),
            "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": "1MiB",
        }
    )
    async with Engine(settings=settings) as engine:
        await engine.push(str(tmp_path / "in"), f"gs://{BUCKET}/k")
        report = await engine.pull(f"gs://{BUCKET}/k", str(tmp_path / "out"))
    assert report.failed == []
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert [entry.sent for entry in server.seen("GetObject")] == [CHUNK] * 8


async def test_a_version_that_is_no_generation_any_more(server, robot):
    async with opened(robot) as store:
        await store.put("k", BytesSource(b"x"), Intent(1), Tally())
        gone = ObjectInfo("k", 1, "not a generation")
        with pytest.raises(RejectedError):
            async with store.open("k", gone) as found:
                await found.source(Span(0, 1)).pour(BytesSink(), Tally())
