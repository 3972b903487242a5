"""The strict Cloud Storage believes nothing: each check by a request that is wrong in one thing."""

from __future__ import annotations

import json
import time
from urllib.parse import quote, urlencode

import aiohttp
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from gcloud.aio.storage import Storage
from yarl import URL

from backends.gcs.signing import KeySigner, prepare
from tests.faults.harness import BUCKET, StrictGcs
from tests.faults.harness.gcs import EMAIL

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
async def server():
    async with StrictGcs() as server:
        yield server


class Client:
    """Signs and sends by hand."""

    def __init__(self, server: StrictGcs, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session
        self._signer = KeySigner(EMAIL, server.service_account()["private_key"])

    async def url(self, method: str, key: str, query=None, headers=None, **more) -> str:
        unsigned = prepare(
            method,
            f"{self.server.url}/{BUCKET}/{quote(key)}",
            query=query or {},
            headers=headers or {},
            **{"email": EMAIL, "now": time.time(), "lifetime": 60, **more},
        )
        return unsigned.signed(await self._signer.sign(unsigned.text))

    async def send(self, method: str, url: str, headers=None, data: bytes | None = None):
        """Return status and body."""
        async with self._session.request(
            method, URL(url, encoded=True), headers=headers, data=data
        ) as answer:
            return answer.status, await answer.text()

    async def signed(self, method: str, key: str, query=None, headers=None, data=None):
        url = await self.url(method, key, query, headers)
        return await self.send(method, url, headers, data)


@pytest.fixture
async def client(server):
    async with aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session:
        yield Client(server, session)


async def test_a_good_request_is_taken(server, client):
    headers = {"x-goog-hash": "crc32c=AAAAAA==", "x-goog-meta-a": "b"}
    assert (await client.signed("PUT", "k", headers=headers, data=b""))[0] == 200
    assert server.objects["k"].metadata == {"a": "b"}


async def test_what_was_changed_after_it_was_signed_is_refused(client):
    url = await client.url("PUT", "k")
    for wrong in (
        url.replace("/k?", "/other?"),
        url.replace("X-Goog-Expires=60", "X-Goog-Expires=600"),
        url + "&partNumber=1",
        url[:-4] + "0000",
    ):
        status, body = await client.send("PUT", wrong, data=b"x")
        assert (status, "SignatureDoesNotMatch" in body) == (403, True)
    assert (await client.send("GET", url))[0] == 403


async def test_a_header_of_google_that_is_not_signed_is_refused(client):
    url = await client.url("PUT", "k")
    status, body = await client.send("PUT", url, {"x-goog-meta-a": "b"}, b"x")
    assert (status, "MalformedSecurityHeader" in body) == (400, True)


async def test_a_signed_header_has_to_be_sent(client):
    url = await client.url("PUT", "k", headers={"x-goog-meta-a": "b"})
    assert (await client.send("PUT", url, {}, b"x"))[0] == 400
    assert (await client.send("PUT", url, {"x-goog-meta-a": "c"}, b"x"))[0] == 403


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"now": time.time() - 120}, "ExpiredToken"),
        ({"now": time.time() + 3600}, "RequestTimeTooSkewed"),
        ({"email": "somebody@else"}, "AccessDenied"),
    ],
)
async def test_time_and_account_have_to_be_right(client, more, code):
    assert code in (await client.send("GET", await client.url("GET", "k", **more)))[1]


async def test_nobody_is_nobody(client):
    for url in (f"/{BUCKET}/k", f"/storage/v1/b/{BUCKET}/o"):
        assert (await client.send("GET", client.server.url + url))[0] == 401
        wrong = {"Authorization": "Bearer guessed"}
        assert (await client.send("GET", client.server.url + url, wrong))[0] == 401


async def test_lengths_and_hashes_are_checked(server, client):
    cases = {
        "EntityTooLarge": {"x-goog-content-length-range": "0,3"},
        "EntityTooSmall": {"x-goog-content-length-range": "5,9"},
        "BadDigest": {"x-goog-hash": "md5=1B2M2Y8AsgTpgAmY7PhCfg=="},
    }
    for code, headers in cases.items():
        assert code in (await client.signed("PUT", "k", None, headers, b"1234"))[1]
    assert server.objects == {}


async def test_generations_are_checked(client):
    nothing = {"x-goog-if-generation-match": "0"}
    assert (await client.signed("PUT", "k", None, nothing, b"1"))[0] == 200
    assert (await client.signed("PUT", "k", None, nothing, b"2"))[0] == 412
    assert (await client.signed("GET", "k", None, {"x-goog-if-generation-match": "9"}))[0] == 412


async def test_uploads_in_parts_take_no_precondition(client):
    headers = {"x-goog-if-generation-match": "0"}
    status, body = await client.signed("POST", "k", {"uploads": ""}, headers)
    assert (status, "not supported" in body) == (400, True)


async def token_for(client: Client, **claims) -> tuple[int, str]:
    server = client.server
    now = int(time.time())
    payload = {"iss": EMAIL, "aud": f"{server.url}/token", "scope": "s", "iat": now}
    payload |= {"exp": now + 60} | claims
    key = claims.pop("key", server.key)
    payload.pop("key", None)
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": jwt.encode(payload, key, algorithm="RS256"),
    }
    return await client.send("POST", f"{server.url}/token", {}, urlencode(form).encode())


async def test_tokens_are_for_who_has_signed_for_them(client):
    assert (await token_for(client))[0] == 200
    assert (await token_for(client, iss="somebody@else"))[0] == 400
    assert (await token_for(client, aud="https://elsewhere"))[0] == 400
    assert (await token_for(client, exp=int(time.time()) - 1))[0] == 400
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    status, body = await token_for(client, key=foreign)
    assert (status, json.loads(body)["error"]) == (400, "invalid_grant")


async def test_a_library_that_knows_nothing_of_it_can_use_it(server, tmp_path):
    """gcloud-aio-storage: its token, its resumable upload, its listing."""
    environ = server.environ_with(server.service_account(), tmp_path)
    data = bytes(600_000)
    async with Storage(
        service_file=environ["GOOGLE_APPLICATION_CREDENTIALS"],
        api_root=server.url,
        api_is_dev=False,
    ) as storage:
        await storage.upload(BUCKET, "a/b", data, force_resumable_upload=True)
        found = await storage.list_objects(BUCKET, params={"prefix": "a/"})
        assert [item["name"] for item in found["items"]] == ["a/b"]
        assert await storage.download_metadata(BUCKET, "a/b") == found["items"][0]
    assert server.objects["a/b"].data == data


async def test_chunks_are_whole_granules(server, client):
    await token_for(client)
    [token] = server.tokens
    url = f"{server.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&name=k"
    headers = {"Authorization": f"Bearer {token}", "X-Upload-Content-Length": "300000"}
    assert (await client.send("POST", url, headers, b"{}"))[0] == 200
    [uid] = server.sessions
    session = f"{server.url}/upload/storage/v1/b/{BUCKET}/o?upload_id={uid}"
    wrong = {"Content-Range": "bytes 0-99999/300000"}
    assert (await client.send("PUT", session, wrong, bytes(100_000)))[0] == 400
    right = {"Content-Range": "bytes 0-262143/300000"}
    assert (await client.send("PUT", session, right, bytes(262_144)))[0] == 308
    gap = {"Content-Range": "bytes 290000-299999/300000"}
    assert (await client.send("PUT", session, gap, bytes(10_000)))[0] == 400
    assert (await client.send("PUT", f"{session}x", right, bytes(262_144)))[0] == 404
