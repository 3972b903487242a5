from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from backends.azure.blocks import Ticket
from backends.azure.parts import LIMITS
from tests.conformance.suite import StoreConformance, content, get, keys, put
from tests.support.azurite import ACCOUNT, CONTAINER, KEY, PROGRAM, account_sas
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import (
    AccessError,
    CredentialsError,
    ExistsError,
    NotFoundError,
    RejectedError,
    UploadGoneError,
    UsageError,
)
from transfer.model import Expected, Intent, Part, Receipt, Span
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_root
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.store import Context, Request, Tls
from transfer.tally import Tally

if TYPE_CHECKING:
    from transfer.store import Mover, Response, SignedRequest, Store

pytestmark = pytest.mark.servers

CA = "MLFLOW_TRACKING_SERVER_CERT_PATH"


class TestAzurite(StoreConformance):
    """Against Azurite, which checks every signature, its time and what it permits."""

    schemes = ("wasbs", "wasb", "abfss", "az")
    shown = "`wasbs://`, `abfss://`, `az://`"
    against = "Azurite"
    version_from = (str(PROGRAM), "--version")
    unseen = (
        "Azure itself, the `dfs` endpoint of Data Lake Storage, and identities other than a "
        "managed one whose tokens Azurite takes unverified."
    )
    unable = {
        "aborting_may_be_asked_twice_and_ends_it": "Azure takes blocks for any name at any time",
    }

    @pytest.fixture
    async def store(self, azurite, open_store):
        async with open_store(azurite.url, azurite.environ) as store:
            yield store

    async def all_sent(self, parts, upload, cut) -> list[Receipt]:
        return [await self.send(parts, upload, number, data) for number, data in enumerate(cut, 1)]

    async def test_upload_that_was_given_up_is_gone_for_everybody(self, store, parts, room):
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = await self.all_sent(parts, upload, cut)
        await parts.abort(upload)
        await parts.abort(upload)
        with pytest.raises(UploadGoneError):
            await parts.sent(upload)
        with pytest.raises(UploadGoneError):
            await parts.complete(upload, receipts, Expected(None))
        assert await keys(store, room) == []

    async def test_what_waits_for_the_same_name_from_others_stays_out(self, store, parts, room):
        one, first = await self.open(parts, room + "a", 3)
        other, second = await self.open(parts, room + "a", 3)
        receipts = await self.all_sent(parts, one, first)
        others = await self.all_sent(parts, other, second)
        assert await parts.sent(one) == [Receipt(r.number, r.size, r.etag) for r in receipts]
        await parts.complete(one, receipts, Expected(sum(map(len, first))))
        assert await get(store, room + "a") == b"".join(first)
        with pytest.raises(UploadGoneError):
            await parts.complete(other, others, Expected(None))
        assert await get(store, room + "a") == b"".join(first)

    async def test_the_attempt_that_was_receipted_is_the_one(self, store, parts, room):
        """An attempt that was given up may still arrive, later than the one that counts."""
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = await self.all_sent(parts, upload, cut)
        await self.send(parts, upload, 1, content(len(cut[0])))
        assert [receipt.number for receipt in await parts.sent(upload)] == [1, 1, 2]
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    @pytest.mark.parametrize("length", [14, 18, 64])
    async def test_blocks_with_other_ids_are_not_in_the_way(
        self, azurite, store, parts, room, length
    ):
        """As MLflow's servers leave them: "mlflow_block_1", "mlflow_block_00001"."""
        with azurite.sdk() as client, client.get_blob_client(CONTAINER, room + "a") as blob:
            blob.stage_block("x" * length, b"left behind")
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = await self.all_sent(parts, upload, cut)
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_blocks_with_ids_too_short_for_ours_are_named(self, azurite, parts, room):
        with azurite.sdk() as client, client.get_blob_client(CONTAINER, room + "a") as blob:
            blob.stage_block("1", b"left behind")
        with pytest.raises(RejectedError) as caught:
            await self.open(parts, room + "a", 2)
        assert "they expire within a week" in caught.value.hint

    async def test_completing_does_not_replace_where_that_is_forbidden(self, store, parts, room):
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = await self.all_sent(parts, upload, cut)
        await put(store, room + "a", b"old")
        with pytest.raises((ExistsError, UploadGoneError)):
            await parts.complete(upload, receipts, Expected(None, no_clobber=True))
        assert await get(store, room + "a") == b"old"

    async def test_blob_gets_what_was_intended_when_it_was_opened(self, azurite, store, room):
        intent = Intent(4, 4, content_type="a/b", metadata={"run_id": "7 + 1"})
        upload = await store.parts.create(room + "a", intent)
        receipt = await self.send(store.parts, upload, 1, b"1234")
        md5 = checksum_of(Algorithm.MD5, b"1234")
        await store.parts.complete(upload, [receipt], Expected(4, md5))
        with azurite.sdk() as client, client.get_blob_client(CONTAINER, room + "a") as blob:
            found = blob.get_blob_properties()
        assert found.content_settings.content_type == "a/b"
        assert bytes(found.content_settings.content_md5) == md5.value
        assert found.metadata == {
            "run_id": "7 + 1",
            "transfer_upload": Ticket.parse(upload.id).nonce,
        }
        assert (await store.stat(room + "a")).checksum == md5

    async def test_content_type_follows_from_the_name(self, store, room):
        await put(store, room + "a.json", b"{}")
        upload, cut = await self.open(store.parts, room + "b.json", 1)
        receipts = await self.all_sent(store.parts, upload, cut)
        await store.parts.complete(upload, receipts, Expected(None))
        for name in ("a.json", "b.json"):
            assert (await store.stat(room + name)).content_type == "application/json"

    async def test_metadata_that_azure_cannot_keep_is_refused_at_once(self, store, room):
        with pytest.raises(UsageError):
            await store.parts.create(room + "a", Intent(4, 4, metadata={"run-id": "7"}))

    async def test_put_and_listing_say_the_md5_that_the_service_computed(self, store, room):
        md5 = checksum_of(Algorithm.MD5, b"12345")
        info = await put(store, room + "a", b"12345")
        page = await store.scan(room)
        looked = await store.stat(room + "a")
        assert (info.checksum, looked.checksum, page.objects[0].checksum) == (md5, md5, md5)
        assert info.version == looked.version == page.objects[0].version
        assert looked.modified == page.objects[0].modified == info.modified

    async def test_folders_that_hadoop_has_made_are_no_objects(self, azurite, store, room):
        with azurite.sdk() as client, client.get_blob_client(CONTAINER, room + "sub") as blob:
            blob.upload_blob(b"", metadata={"hdi_isfolder": "true"})
        await put(store, room + "sub/a", b"12345")
        assert await keys(store, room) == [room + "sub/a"]
        page = await store.scan(room, folders=True)
        assert (page.objects, page.folders) == ((), (room + "sub/",))
        with pytest.raises(NotFoundError, match="it is a folder"):
            await store.stat(room + "sub")

    async def test_listed_object_is_opened_without_a_look(self, store, room):
        await put(store, room + "a", b"12345")
        [info] = (await store.scan(room)).objects
        await put(store, room + "a", b"other")
        async with store.open(room + "a", info) as opened:
            assert opened.info == info

    async def test_missing_container_is_not_found(self, azurite, open_store, room):
        url = azurite.url.replace(CONTAINER, "nowhere", 1)
        async with open_store(url, azurite.environ) as store:
            with pytest.raises(NotFoundError, match="ContainerNotFound"):
                await store.parts.create(room + "a", Intent(4, 4))
            with pytest.raises(NotFoundError, match="ContainerNotFound"):
                await store.scan(room)

    def test_limits_are_those_that_azure_documents(self):
        assert LIMITS.max_count == 50_000
        assert round(LIMITS.max_object / 1024**4, 1) == 190.7


class TestMd5(StoreConformance):
    """Each block and blob with a Content-MD5, which Azurite compares."""

    unable = TestAzurite.unable

    @pytest.fixture
    async def store(self, azurite, open_store):
        async with open_store(
            azurite.url, azurite.environ | {"TRANSFER_AZURE_CHECKSUM": "md5"}
        ) as it:
            yield it

    async def test_part_that_changes_between_hashing_and_sending_is_refused(self, store, room):
        upload = await store.parts.create(room + "a", Intent(4, 4, algorithm=Algorithm.CRC32C))
        assert upload.algorithm is Algorithm.MD5
        part = Part(1, Span(0, 4))
        # Azurite has another code for it than Azure.
        with pytest.raises(RejectedError, match="MD5 doesn't match"):
            await store.parts.send(upload, part, Changing(), Tally(Algorithm.CRC32C))
        with pytest.raises(RejectedError, match="MD5 doesn't match"):
            await store.put(room + "b", Changing(), Intent(4), Tally(Algorithm.CRC32C))
        assert await keys(store, room) == []


class Changing:
    """Four bytes that are others each time they are read."""

    size = 4
    extent = None
    origin = None

    async def pour(self, sink, tally):
        await BytesSource(secrets.token_bytes(4)).pour(sink, tally)


async def everything_once(store: Store) -> None:
    """Do all that a way in must permit."""
    room, helper = f"room-{secrets.token_hex(6)}/", StoreConformance()
    await put(store, room + "b c%.bin", b"12345")
    upload, cut = await helper.open(store.parts, room + "a", 2)
    receipts = [await helper.send(store.parts, upload, n, data) for n, data in enumerate(cut, 1)]
    await store.parts.complete(upload, receipts, Expected(None))
    assert await get(store, room + "a", Span(1, 7)) == b"".join(cut)[1:7]
    assert await keys(store, room) == [room + "a", room + "b c%.bin"]
    await store.delete(room + "a")
    assert (await store.stat(room + "b c%.bin")).size == 5
    other, cut = await helper.open(store.parts, room + "a", 2)
    await store.parts.abort(other)
    assert await keys(store, room) == [room + "b c%.bin"]


async def test_sas_token_that_somebody_gave_lets_us_in(azurite, open_store):
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(None),
        "AZURE_STORAGE_SAS_TOKEN": f"?{account_sas()}",
    }
    async with open_store(f"az://{CONTAINER}", environ) as store:
        await everything_once(store)


async def test_account_key_lets_us_in_to_a_data_lake(azurite, open_store):
    url = f"abfss://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net"
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(None),
        "AZURE_STORAGE_ACCESS_KEY": KEY,
    }
    async with open_store(url, environ) as store:
        await everything_once(store)


@pytest.fixture
def identity(secure_azurite, monkeypatch):
    """Be on a machine that has a managed identity."""
    for name, value in secure_azurite.environ.items():
        monkeypatch.setenv(name, value)
    return secure_azurite


async def test_identity_lets_us_in(identity, open_store):
    async with open_store(identity.server.url, identity.environ) as store:
        await everything_once(store)


async def confined(url: str, environ: dict[str, str], stack: AsyncExitStack) -> tuple[Store, Mover]:
    """Open a store as a coordinator does."""
    settings = Settings.from_env(environ)
    mover = await stack.enter_async_context(open_mover(settings))
    context = Context(settings, mover, confined=True)
    return await stack.enter_async_context(open_root(locate(url), context)), mover


async def test_identity_signs_by_a_key_that_is_delegated_to_it(identity):
    async with AsyncExitStack() as stack:
        store, mover = await confined(identity.server.url, identity.environ, stack)
        await signed_once(store, mover, Tls(ca_file=identity.environ[CA]))


async def test_account_key_signs(azurite):
    async with AsyncExitStack() as stack:
        store, mover = await confined(azurite.url, azurite.environ, stack)
        await signed_once(store, mover, Tls())


async def test_sas_token_is_handed_to_nobody(azurite):
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(None),
        "AZURE_STORAGE_SAS_TOKEN": account_sas(),
    }
    async with AsyncExitStack() as stack:
        store, _ = await confined(azurite.url, environ, stack)
        assert store.signer is None


async def signed_once(store: Store, mover: Mover, tls: Tls) -> None:
    """Use each kind of signed request, as somebody without credentials does."""
    key = f"room-{secrets.token_hex(6)}/a b%.bin"

    async def use(signed: SignedRequest, data: bytes = b"") -> Response:
        request = Request(signed.method, signed.url, signed.headers, tls=tls)
        source = BytesSource(data) if data else None
        return await mover.exchange(request, source=source)

    upload = await store.parts.create(key, Intent(4, 4))
    signed = await store.signer.sign_part(upload, Part(1, Span(0, 4)), None, 60)
    assert (await use(signed, b"1234")).status == 201
    receipt = Receipt(1, 4, signed.etag)
    assert list(await store.parts.sent(upload)) == [receipt]
    # Good for this blob only, and only to write it.
    elsewhere = replace(signed, url=signed.url.replace("room-", "rooms-"))
    assert (await use(elsewhere, b"1234")).status == 403
    info = await store.parts.complete(upload, [receipt], Expected(4))
    assert (await use(replace(signed, method="GET"))).status in {400, 403}
    answer = await use(await store.signer.sign_read(info, 60))
    assert (answer.status, answer.body) == (200, b"1234")
    answer = await use(await store.signer.sign_put(key, Intent(3, no_clobber=True), 60), b"new")
    assert answer.status == 403
    assert (await use(await store.signer.sign_put(key, Intent(3), 60), b"new")).status == 201
    assert (await use(await store.signer.sign_read(info, -60))).status == 403


async def test_token_is_not_sent_over_plain_http(azurite, identity, open_store):
    environ = identity.environ | {
        "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(None),
    }
    async with open_store(azurite.url, environ) as store:
        with pytest.raises(UsageError, match="not sent over plain HTTP"):
            await store.stat("a")


async def test_without_any_credentials_the_error_says_what_to_set(azurite, open_store, monkeypatch):
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:9/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("PATH", "")
    url = f"wasbs://{CONTAINER}@{ACCOUNT}.blob.core.windows.net"
    async with open_store(url, {}) as store:
        with pytest.raises(CredentialsError) as caught:
            await store.stat("a")
    assert "AZURE_STORAGE_CONNECTION_STRING" in caught.value.hint
    assert "\n" not in str(caught.value)


class TestCoordinatedAzure(StoreConformance):
    """A coordinator in front of it: parts go straight to the store."""

    shown = "`transfer+http://`"
    against = "transfer serve, Azurite"
    unable = {
        "no_clobber_refuses_to_replace": "Azurite has another code than Azure for what it refuses",
    }

    @pytest.fixture
    async def store(self, azure_coordinator, open_store):
        async with open_store(f"transfer+http://{azure_coordinator}/", {}) as store:
            yield store

    async def test_a_url_that_may_only_create_does_not_replace(self, store, room):
        await put(store, room + "a", b"old")
        with pytest.raises(AccessError):
            await put(store, room + "a", b"new", no_clobber=True)
        assert await get(store, room + "a") == b"old"

    async def test_the_attempt_that_was_receipted_is_the_one(self, store, parts, room):
        upload, cut = await self.open(parts, room + "a", 2)
        await self.send(parts, upload, 1, content(len(cut[0])))
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)
