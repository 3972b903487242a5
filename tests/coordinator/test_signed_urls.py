"""URLs of the coordinator's own: what is signed holds, and what arrives is whole or nothing."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import anyio
import httpx
import pytest

from backends.coordinated.client import Server
from backends.coordinated.store import CoordinatedStore
from tests.coordinator.inside import MLFLOW, OWN, exact, files_below, local, new_upload
from tests.coordinator.test_own_api import CUT, DATA, about, all_sent, crc, opened, sent, signed
from transfer.checksums import Algorithm
from transfer.coordinator import data_api
from transfer.coordinator.permits import Permits
from transfer.engine.attempts import Attempts, Lane
from transfer.errors import AccessError, ExpiredError
from transfer.model import Expected, Intent, Part, Span
from transfer.retries import RetryPolicy
from transfer.sources import BytesSource
from transfer.store import Response, Tls
from transfer.tally import Tally
from transfer.wire import Capabilities, WireLimits

if TYPE_CHECKING:
    from tests.coordinator.inside import Inside


async def one_url(ask, number: int = 1) -> tuple[dict[str, Any], str]:
    upload = await opened(ask)
    (request,) = await signed(ask, upload, number)
    return upload, local(request["url"])


# --- what is signed holds


def other_digit(found: re.Match[str]) -> str:
    """Return what was found with another hexadecimal digit, whatever the random one was."""
    return f"uploads/{'1' if found[1] == '0' else '0'}"


def changed_queries(url: str) -> dict[str, str]:
    """Return the URL with each thing changed that somebody might change."""
    path, _, query = url.partition("?")
    claims = dict(parse_qsl(query))

    def with_(**changes: str) -> str:
        return f"{path}?{urlencode({**claims, **changes})}"

    signature = claims["signature"]
    return {
        "no query": path,
        "an empty query": f"{path}?",
        "no signature": url.partition("&signature")[0],
        "only the signature": f"{path}?signature={signature}",
        "a later end": with_(expires=str(int(claims["expires"]) + 3600)),
        "no end": f"{path}?{urlencode({'length': claims['length'], 'signature': signature})}",
        "an end that is none": with_(expires="x"),
        "another length": with_(length="5"),
        "no length": f"{path}?{urlencode({'expires': claims['expires'], 'signature': signature})}",
        "one more claim": f"{url}&more=1",
        "a claim twice": f"{url}&expires=99999999999",
        "a length twice": f"{url}&length=5",
        "an empty signature": with_(signature=""),
        "a cut signature": with_(signature=signature[:-1]),
        "a longer signature": with_(signature=signature + "0"),
        "another signature": with_(signature=signature[::-1]),
        "a signature in capitals": with_(signature=signature.upper().replace("0", "O")),
        "a signature with a NUL": f"{path}?{query}%00",
        "bad UTF-8": f"{path}?{query}%ff",
        "another part": url.replace("/parts/1?", "/parts/2?"),
        "a part written otherwise": url.replace("/parts/1?", "/parts/01?"),
        "a part in code": url.replace("/parts/1?", "/parts/%31?"),
        "another upload": re.sub(r"uploads/(.)", other_digit, url),
        "another case": url.replace("/api/transfer/", "/API/transfer/"),
        "two slashes": url.replace("/parts/", "//parts/"),
        "a way round": url.replace("/parts/", "/x/../parts/"),
        "a slash behind": url.replace("/parts/1?", "/parts/1/?"),
        "an object": url.replace(path, f"{OWN}/data/objects/team/x"),
    }


async def test_a_url_is_for_exactly_one_request(ask, folder, objects):
    upload, url = await one_url(ask)
    for what, changed in changed_queries(url).items():
        assert changed != url, what
        for method in ("PUT", "GET", "HEAD", "DELETE", "POST"):
            answer = await exact(folder.app, method, changed, CUT[0])
            assert answer.status in {403, 404, 405}, (what, method, answer)
    for method in ("GET", "HEAD", "DELETE", "POST"):
        assert (await exact(folder.app, method, url, CUT[0])).status in {403, 405}
    assert (await ask.get(f"{OWN}/uploads/{upload['id']}/parts")).json()["parts"] == []
    assert (await exact(folder.app, "PUT", url, CUT[0])).status == 200


async def test_a_read_is_no_permission_to_write(ask, objects):
    (objects / "x").write_bytes(DATA)
    request = (await ask.post(f"{OWN}/reads", {"key": "x"})).json()["request"]
    url = local(request["url"])
    assert (await ask.put(url, b"planted")).status_code == 403
    assert (await ask("DELETE", url)).status_code == 405
    assert (await ask.get(url.replace("objects/x", "objects/y"))).status_code == 403
    put = (await ask.post(f"{OWN}/puts", {"key": "x", "size": 0})).json()
    assert (await ask.get(local(put["url"]))).status_code == 403
    assert files_below(objects) == {"x": DATA}


async def test_a_url_of_another_coordinator_is_worth_nothing(ask, folder):
    path = f"{OWN}/data/objects/x"
    for key in (b"", b"k", b"k" * 31, b"K" * 32):
        query = Permits(key).sign("PUT", path, expires=time.time() + 60, length=1)
        assert (await ask.put(f"{path}?{query}", b"1")).status_code == 403
    query = Permits(b"k" * 32).sign("PUT", path, expires=time.time() + 60, length=1)
    assert (await ask.put(f"{path}?{query}", b"1")).status_code == 200


async def test_a_signed_key_is_checked_all_the_same(ask, folder):
    """Whoever shares the key might sign anything; the root is not left for that."""
    path = f"{OWN}/data/objects/%2e%2e/x"
    query = folder.coordinator.permits.sign("PUT", path, expires=time.time() + 60, length=1)
    assert (await exact(folder.app, "PUT", f"{path}?{query}", b"1")).status == 400


def test_claims_cannot_move_from_one_field_to_another():
    permits = Permits(b"k" * 32)
    query = permits.sign("PUT", "/a", expires=100, length=5)
    permits.check("PUT", "/a", query, now=50, length=5)
    for method, path in (("PUT", "/a\n"), ("PUT\n/a", ""), ("GET", "/a"), ("PUT", "/b")):
        with pytest.raises(AccessError):
            permits.check(method, path, query, now=50, length=5)
    for length in (None, 4, 50):
        with pytest.raises(AccessError):
            permits.check("PUT", "/a", query, now=50, length=length)
    permits.check("PUT", "/a", query, now=100, length=5)
    with pytest.raises(ExpiredError):
        permits.check("PUT", "/a", query, now=100.1, length=5)


async def test_an_old_url_says_that_it_is_old(ask, folder, monkeypatch):
    _, url = await one_url(ask)
    path = f"{OWN}/data/objects/x"
    read = f"{path}?{folder.coordinator.permits.sign('GET', path, expires=time.time() - 1)}"
    answer = await ask.get(read)
    assert (answer.status_code, answer.json()["code"]) == (403, "expired")
    later = time.time() + 901
    monkeypatch.setattr(data_api.time, "time", lambda: later)
    answer = await ask.put(url, CUT[0])
    assert (answer.status_code, answer.json()["code"]) == (403, "expired")
    assert answer.headers["content-type"] == "application/problem+json"
    # One that was never good is not called old.
    answer = await ask.put(url.replace("/parts/1", "/parts/2"), CUT[0])
    assert (answer.status_code, answer.json()["code"]) == (403, "access")


# --- our client signs again


class Through:
    """A mover into the application; the first so many part requests find their URL expired."""

    def __init__(self, running: Inside, expired: int) -> None:
        self._running = running
        self.expired = expired
        self.signed = 0

    async def exchange(self, request, *, source=None, sink=None, tally=None) -> Response:
        body = request.body
        if source is not None:
            assert isinstance(source, BytesSource)
            body = bytes(source._data)
            tally.restart()
            tally.update(body)
        target = local(request.url).removesuffix("?")
        if target.endswith("/urls"):
            self.signed += 1
        now = time.time()
        if "/data/" in target and self.expired:
            self.expired -= 1
            now += 10_000
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(data_api.time, "time", lambda: now)
            answer = await exact(
                self._running.app, request.method, target, body, dict(request.headers)
            )
        return Response(answer.status, answer.headers, answer.body)


@pytest.mark.parametrize("expired", [1, 3])
async def test_our_client_signs_again_at_no_cost(folder, objects, expired):
    mover = Through(folder, expired)
    server = Server("http://127.0.0.1:5500", {}, Tls(), Tls(), mover, 10.0)
    limits = WireLimits(min_size=1, max_size=100, max_count=10, max_object=100, granularity=1)
    store = CoordinatedStore("transfer+http://x", server, Capabilities(limits=limits, max_put=100))
    upload = await store.parts.create("team/x", Intent(10, 4))
    retries = []
    # With no budget at all: nothing else than an expired URL would be tried again.
    attempts = Attempts(lambda lane: RetryPolicy(attempts=1, budget=0, reserve=0, patience=0))

    async def send(number: int, data: bytes):
        start = (number - 1) * 4
        part = Part(number, Span(start, start + len(data)))

        async def attempt():
            return await store.parts.send(upload, part, BytesSource(data), Tally(Algorithm.CRC32C))

        return await attempts.run(Lane("x"), attempt, lambda *said: retries.append(said))

    receipts = [await send(number, data) for number, data in enumerate(CUT, 1)]
    assert [type(error) for _, _, error in retries] == [ExpiredError] * expired
    assert [pause for _, pause, _ in retries] == [0.0] * expired
    assert mover.signed == 1 + expired
    await store.parts.complete(upload, receipts, Expected(10))
    assert files_below(objects) == {"team/x": DATA}


async def test_our_client_does_not_sign_again_for_ever(folder):
    mover = Through(folder, 10**6)
    server = Server("http://127.0.0.1:5500", {}, Tls(), Tls(), mover, 10.0)
    store = CoordinatedStore("transfer+http://x", server, Capabilities(limits=None, max_put=100))
    attempts = Attempts(lambda lane: RetryPolicy(resigns=3))

    async def attempt():
        return await store.put("x", BytesSource(b"1"), Intent(1), Tally())

    with pytest.raises(ExpiredError) as caught:
        await attempts.run(Lane("x"), attempt)
    assert caught.value.attempts == 4


# --- what arrives is whole, or it does not count


async def test_a_part_that_is_sent_twice_counts_once(ask, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    (request,) = await signed(ask, upload, 1)
    for data in (b"XXXX", CUT[0]):
        assert (await ask.put(local(request["url"]), data)).status_code == 200
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


async def test_a_part_that_was_replaced_since_is_not_the_one_reported(ask, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    await sent(ask, upload, 1, b"XXXX")
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert (answer.status_code, answer.json()["code"]) == (409, "integrity")
    assert "team/x" not in files_below(objects)


@pytest.mark.parametrize("end", ["complete", "abort"])
async def test_a_part_after_the_end_changes_nothing(ask, objects, end):
    upload = await opened(ask)
    urls = [local(request["url"]) for request in await signed(ask, upload, 1, 2, 3)]
    receipts = await all_sent(ask, upload)
    more = {"size": 10, "receipts": receipts} if end == "complete" else {}
    assert (await about(ask, upload, end, **more)).status_code == 200
    before = files_below(objects)
    for url in urls:
        answer = await ask.put(url, b"XXXX" if "parts/3" not in url else b"XX")
        assert (answer.status_code, answer.json()["code"]) == (404, "upload_gone")
    assert files_below(objects) == before


@pytest.mark.parametrize("body", [b"", b"123", b"12345", b"1" * 100_000])
async def test_a_body_of_another_length_is_refused(ask, objects, body):
    upload, url = await one_url(ask)
    answer = await ask.put(url, body)
    assert answer.status_code == 403
    assert (await ask.get(f"{OWN}/uploads/{upload['id']}/parts")).json()["parts"] == []


async def test_a_body_without_a_length_is_refused(ask):
    async def pieces():
        yield CUT[0]

    _, url = await one_url(ask)
    assert (await ask.put(url, pieces())).status_code == 403


async def test_a_part_that_breaks_off_does_not_count(ask, folder, objects):
    upload, url = await one_url(ask)
    for got in (b"", b"0", b"012"):
        headers = {"content-length": "4"}
        answer = await exact(folder.app, "PUT", url, got, headers, breaks_off=True)
        assert answer.status == 503
        # Or a body that ends well, but too early.
        answer = await exact(folder.app, "PUT", url, got, headers)
        assert answer.status == 503
    assert (await ask.get(f"{OWN}/uploads/{upload['id']}/parts")).json()["parts"] == []


async def test_a_part_whose_replacement_breaks_off_does_not_count(ask, folder, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    (request,) = await signed(ask, upload, 1)
    headers = {"content-length": "4"}
    await exact(folder.app, "PUT", local(request["url"]), b"XX", headers, breaks_off=True)
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 409
    assert "team/x" not in files_below(objects)
    receipts[0] = await sent(ask, upload, 1, CUT[0])
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


# --- one attempt at a time


class Body:
    """A body that comes piece by piece, when the test says so."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked = anyio.Event()

    async def pieces(self):
        self.asked.set()
        while (piece := await self._pieces.get()) is not None:
            yield piece

    async def send(self, *pieces: bytes | None) -> None:
        """Let pieces arrive, and whatever they set off happen."""
        for piece in pieces:
            self._pieces.put_nowait(piece)
        await anyio.sleep(0.05)


@pytest.fixture
def start(ask):
    """Begin to send a part in the background; the body is the test's to send."""

    async def begin(group, url: str, size: int) -> tuple[Body, list[Any]]:
        body, answers = Body(), []

        async def run():
            headers = {"content-length": str(size)}
            answers.append(await ask.put(url, body.pieces(), headers=headers))

        group.start_soon(run)
        with anyio.fail_after(5):
            await body.asked.wait()
        return body, answers

    return begin


async def test_a_later_attempt_of_a_part_ends_the_earlier_one(ask, objects, start):
    """What was on its way for long must not be written over what has arrived since."""
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    (request,) = await signed(ask, upload, 1)
    async with anyio.create_task_group() as group:
        late, answers = await start(group, local(request["url"]), 4)
        await late.send(b"XX")
        receipts[0] = await sent(ask, upload, 1, CUT[0])
        await late.send(b"YY", None)
    assert answers[0].status_code == 503
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


@pytest.mark.parametrize("end", ["complete", "abort"])
async def test_the_end_waits_for_nobody_who_is_late(ask, folder, objects, start, end):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    (request,) = await signed(ask, upload, 2)
    async with anyio.create_task_group() as group:
        late, answers = await start(group, local(request["url"]), 4)
        await late.send(b"")
        more = {"size": 10, "receipts": receipts} if end == "complete" else {}
        assert (await about(ask, upload, end, **more)).status_code == 200
        before = files_below(objects)
        await late.send(b"XXXX", None)
    assert answers[0].status_code in {404, 503}
    assert files_below(objects) == before == ({"team/x": DATA} if end == "complete" else {})
    assert folder.coordinator.uploads.arrivals._attempts == {}


async def test_parts_of_one_upload_come_at_the_same_time(ask, objects, start):
    upload = await opened(ask)
    urls = [local(request["url"]) for request in await signed(ask, upload, 1, 2, 3)]
    async with anyio.create_task_group() as group:
        bodies = [
            (await start(group, url, len(cut)))[0] for url, cut in zip(urls, CUT, strict=True)
        ]
        for half in (slice(0, 1), slice(1, None)):
            for body, cut in zip(bodies, CUT, strict=True):
                await body.send(cut[half])
        for body in bodies:
            await body.send(None)
    listed = (await ask.get(f"{OWN}/uploads/{upload['id']}/parts")).json()["parts"]
    assert [part["checksum"] for part in listed] == [crc(cut) for cut in CUT]
    answer = await about(ask, upload, "complete", size=10, receipts=listed)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


async def test_after_a_refused_complete_parts_are_taken_again(ask, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    refused = await about(ask, upload, "complete", size=10, checksum=crc(b""), receipts=receipts)
    assert refused.status_code == 409
    receipts[1] = await sent(ask, upload, 2, CUT[1])
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 200


# --- clients that go away


SIZE = 4 * 1024 * 1024


@dataclass
class Wire:
    """A server's address, and one upload of one part to it."""

    client: httpx.AsyncClient
    address: str
    upload: dict[str, Any]

    @property
    def url(self) -> str:
        return f"{OWN}/uploads/{self.upload['id']}"

    async def head(self) -> bytes:
        """Return the head of a request that sends the part."""
        asked = await self.client.post(f"{self.url}/urls", json={"epoch": 1, "numbers": [1]})
        return self.put(local(asked.json()["parts"][0]["request"]["url"]))

    def put(self, target: str) -> bytes:
        head = f"PUT {target} HTTP/1.1\r\nHost: {self.address}\r\nContent-Length: {SIZE}\r\n\r\n"
        return head.encode()

    async def send(self, *pieces: bytes, closing: bool = False) -> bytes:
        """Send bytes over a connection of their own, and return what comes back."""
        host, _, port = self.address.partition(":")
        answer = b""
        async with await anyio.connect_tcp(host, int(port)) as connection:
            for piece in pieces:
                await connection.send(piece)
            if not closing:
                with anyio.move_on_after(5), suppress(anyio.EndOfStream):
                    while b"\r\n\r\n" not in answer:
                        answer += await connection.receive()
        return answer

    async def listed(self) -> list[dict[str, Any]]:
        return (await self.client.get(f"{self.url}/parts")).json()["parts"]


@pytest.fixture
async def wire(folder_coordinator):
    address, _ = folder_coordinator
    async with httpx.AsyncClient(base_url=f"http://{address}") as client:
        message = new_upload(f"gone/{secrets.token_hex(4)}", SIZE, SIZE)
        upload = (await client.post(f"{OWN}/uploads", json=message)).json()
        yield Wire(client, address, upload)
        await client.post(f"{OWN}/uploads/{upload['id']}/abort", json={"epoch": 1})


async def until(condition) -> None:
    """Wait until a condition holds, for as long as any machine may take."""
    with anyio.fail_after(10):
        while not await condition():  # noqa: ASYNC110 - another process makes it true
            await anyio.sleep(0.02)


@pytest.mark.servers
async def test_a_part_of_a_client_that_goes_away_does_not_count(wire):
    await wire.send(await wire.head(), bytes(SIZE - 1), closing=True)
    assert await wire.listed() == []
    assert (await wire.send(await wire.head(), bytes(SIZE))).startswith(b"HTTP/1.1 200")
    (receipt,) = await wire.listed()
    assert receipt["checksum"] == crc(bytes(SIZE))


@pytest.mark.servers
async def test_an_object_of_a_client_that_goes_away_is_none(wire, folder_coordinator):
    _, root = folder_coordinator
    head = wire.put(f"{MLFLOW}/artifacts/gone/object")
    await wire.send(head, bytes(SIZE - 1), closing=True)

    async def cleaned_up() -> bool:
        # But for the upload of the fixture.
        return len(list(root.glob("gone/.transfer-*"))) == 1

    await until(cleaned_up)
    assert (await wire.client.get(f"{OWN}/objects/gone/object")).status_code == 404


@pytest.mark.servers
async def test_more_than_was_announced_is_no_part_of_the_part(wire):
    answer = await wire.send(await wire.head(), bytes(SIZE) + b"and more\r\n\r\n")
    # The rest is no request; the server may say so before it has answered the first one.
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    for receipt in await wire.listed():
        assert receipt["checksum"] == crc(bytes(SIZE))


@pytest.mark.servers
async def test_a_reader_that_goes_away_stops_the_reading(wire, folder_coordinator):
    _, root = folder_coordinator
    with (root / "large").open("wb") as file:
        file.truncate(256 * 1024 * 1024)

    async def relayed() -> int:
        return (await wire.client.get(f"{OWN}/statistics")).json()["relayed_out"]

    before = await relayed()
    head = f"GET {MLFLOW}/artifacts/large HTTP/1.1\r\nHost: {wire.address}\r\n\r\n"
    host, _, port = wire.address.partition(":")
    async with await anyio.connect_tcp(host, int(port)) as connection:
        await connection.send(head.encode())
        assert (await connection.receive(100)).startswith(b"HTTP/1.1 200")

    async def stopped() -> bool:
        return await relayed() > before

    await until(stopped)
    assert await relayed() - before < 128 * 1024 * 1024
