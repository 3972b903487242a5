"""What the store for web servers must do beyond the contract, on real servers."""

from __future__ import annotations

import secrets
import shutil
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import pytest
import trustme

from tests.conformance.suite import BreakingSource, content, get, keys, put
from tests.support.web import PASSWORD, webdav_server
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DamagedInTransitError,
    ExistsError,
    IntegrityError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    TlsError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)
from transfer.model import Intent, Span
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_root
from transfer.settings import Settings
from transfer.store import Context
from transfer.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.store import Mover, Request, Response

pytestmark = pytest.mark.servers


class TamperingMover:
    """Does what it is asked, on the real server, and tells something else of the answer."""

    def __init__(self, mover: Mover, tamper: Callable[[Request, Response], Response]) -> None:
        self._mover = mover
        self._tamper = tamper

    async def exchange(self, request, **more):
        answer = await self._mover.exchange(request, **more)
        return await anyio.to_thread.run_sync(self._tamper, request, answer)


@asynccontextmanager
async def opened(url: str, tamper=lambda request, answer: answer, **environ: str):
    settings = Settings.from_env(environ)
    async with open_mover(settings) as mover:
        context = Context(settings, TamperingMover(mover, tamper))
        async with open_root(locate(url), context) as store:
            yield store


@pytest.fixture
def room():
    return f"room-{secrets.token_hex(6)}/"


@pytest.fixture(params=["rclone", "nginx"])
def dav(request):
    """A WebDAV server, and the prefix below which it is one."""
    if request.param == "rclone":
        server = request.getfixturevalue("webdav")
        return server, server.with_login(), ""
    server = request.getfixturevalue("nginx")
    return server, server.url, "dav/"


def send_half(url: str, authorization: str) -> None:
    """Begin a PUT by hand, and hang up in the middle."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        head = (
            f"PUT {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n{authorization}\r\n"
        )
        connection.sendall(head.encode() + bytes(100_000))


def wait_until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.05)
    return False


async def test_what_this_server_shows_of_a_broken_put_is_hidden_by_a_temporary_name(webdav, room):
    authorization = "Authorization: Basic YW5uOnBAc3M6d8O2cmQv\r\n"
    await anyio.to_thread.run_sync(send_half, f"{webdav.url}/{room[:-1]}-torn", authorization)
    torn = webdav.folder / f"{room[:-1]}-torn"
    assert await anyio.to_thread.run_sync(wait_until, torn.exists)
    assert torn.stat().st_size < 200_000

    async with opened(webdav.with_login()) as store:
        with pytest.raises(TransferError):
            await store.put(room + "a", BreakingSource(400_000), Intent(400_000), Tally())
        assert await keys(store, room) == []
        with pytest.raises(NotFoundError):
            await store.stat(room + "a")


async def test_nothing_is_left_of_a_put_that_broke(dav, room):
    server, url, prefix = dav
    room = prefix + room
    async with opened(url) as store:
        await put(store, room + "a", b"old")
        with pytest.raises(TransferError):
            await store.put(room + "a", BreakingSource(400_000), Intent(400_000), Tally())
    left = {name for name in server.files() if name.startswith(room)}
    assert left == {room + "a"}


async def test_a_folder_is_never_replaced_and_never_deleted(dav, room):
    _, url, prefix = dav
    room = prefix + room
    async with opened(url) as store:
        await put(store, room + "dir/inside", b"precious")
        with pytest.raises(RejectedError, match="is a folder"):
            await put(store, room + "dir", b"x")
        await store.delete(room + "dir")
        with pytest.raises(NotFoundError):
            await store.stat(room + "dir")
        assert await keys(store, room) == [room + "dir/inside"]
        assert await get(store, room + "dir/inside") == b"precious"


async def test_a_folder_that_was_removed_is_made_again_by_the_next_attempt(dav, room):
    server, url, prefix = dav
    room = prefix + room
    async with opened(url) as store:
        await put(store, room + "dir/a", b"1")
        await anyio.to_thread.run_sync(shutil.rmtree, server.folder / room)
        try:
            await put(store, room + "dir/b", b"2")
        except UnavailableError:
            await put(store, room + "dir/b", b"2")
        assert await get(store, room + "dir/b") == b"2"


@pytest.mark.parametrize("no_clobber", [True, False])
async def test_a_rename_whose_answer_was_lost_is_looked_at(dav, room, no_clobber):
    _, url, prefix = dav
    lost = []

    def tamper(request, answer):
        if request.method == "MOVE" and not lost:
            lost.append(answer.status)
            raise ConnectionLostError("the answer was lost, as it was told to be")
        return answer

    async with opened(url, tamper) as store:
        await put(store, prefix + room + "a", b"here", no_clobber=no_clobber)
        assert lost in ([201], [204])
        assert await get(store, prefix + room + "a") == b"here"


async def test_a_rename_that_was_not_done_is_asked_for_again(dav, room):
    _, url, prefix = dav
    moves = []

    class Refusing(TamperingMover):
        async def exchange(self, request, **more):
            if request.method == "MOVE" and not moves:
                moves.append(request)
                raise ConnectionLostError("the request was lost, as it was told to be")
            return await super().exchange(request, **more)

    settings = Settings()
    async with open_mover(settings) as mover:
        context = Context(settings, Refusing(mover, lambda _, answer: answer))
        async with open_root(locate(url), context) as store:
            await put(store, prefix + room + "a", b"here")
            assert await get(store, prefix + room + "a") == b"here"
    assert moves


async def test_what_the_server_has_is_compared_before_it_gets_its_name(nginx, room):
    """No server here stores less than it says yes to: the file is cut behind its back."""

    def tamper(request, answer):
        if request.method == "PUT":
            for name in nginx.files():
                if name.startswith(room):
                    (nginx.folder / name).write_bytes(b"cut")
        return answer

    room = f"dav/{room}"
    async with opened(nginx.url, tamper) as store:
        with pytest.raises(DamagedInTransitError, match="5 bytes were sent, the server has 3"):
            await put(store, room + "a", b"whole")
        assert await keys(store, room) == []


async def test_without_webdav_what_the_server_has_is_compared_afterwards(nginx, room):
    def tamper(request, answer):
        if request.method == "PUT":
            (nginx.folder / "plain" / room / "a").write_bytes(b"cut")
        return answer

    async with opened(nginx.url, tamper) as store:
        with pytest.raises(DamagedInTransitError, match="may show what arrived"):
            await put(store, f"plain/{room}a", b"whole")


async def test_without_webdav_an_overwrite_is_refused_before_a_byte_is_sent(nginx, room):
    sent = []

    def tamper(request, answer):
        sent.append((request.method, request.headers.get("If-None-Match")))
        return answer

    async with opened(nginx.url, tamper) as store:
        await put(store, f"plain/{room}a", b"old", no_clobber=True)
        assert ("PUT", "*") in sent
        sent.clear()
        with pytest.raises(ExistsError):
            await put(store, f"plain/{room}a", b"new", no_clobber=True)
        assert not [method for method, _ in sent if method == "PUT"]


async def test_plain_http_cannot_be_listed_and_says_so(nginx):
    async with opened(nginx.url) as store:
        with pytest.raises(UnsupportedError, match="plain HTTP has no listings") as caught:
            await store.scan("plain/")
        assert "WebDAV" in caught.value.hint
        with pytest.raises(UnsupportedError) as caught:
            await store.scan("plain/api/2.0/mlflow-artifacts/artifacts/1/run/")
        host = nginx.url.removeprefix("http://")
        assert f"write mlflow-artifacts://{host}/1/run/" in caught.value.hint


async def test_ranges_are_read_in_parallel_only_where_the_server_has_them(nginx):
    data = content(5000)
    for name in ("no-ranges", "plain"):
        (nginx.folder / name / "a").write_bytes(data)
    async with opened(nginx.url) as store:
        assert not store.traits.concurrent_reads
        await store.stat("plain/a")
        assert store.traits.concurrent_reads
        await store.stat("no-ranges/a")
        assert not store.traits.concurrent_reads
        assert await get(store, "no-ranges/a") == data
        with pytest.raises(ProtocolError, match="asked for bytes 10-20, the server answered 200"):
            await get(store, "no-ranges/a", Span(10, 20))


async def test_a_redirect_is_not_followed_and_says_where_it_leads(nginx):
    async with opened(nginx.with_login("ann:s3cret")) as store:
        with pytest.raises(ProtocolError, match=r"redirects to http://other\.example/secret") as it:
            await put(store, "elsewhere/a", b"x")
        with pytest.raises(ProtocolError):
            await store.stat("elsewhere/a")
    assert "abc" not in str(it.value)
    assert "s3cret" not in str(it.value)


@pytest.mark.parametrize("login", ["ann:wr0ng", "bob:wr0ng"])
async def test_a_wrong_password_is_no_secret_for_the_log(webdav, nginx, login):
    for url, key in ((webdav.with_login(login), "a"), (nginx.with_login(login), "private/a")):
        async with opened(url) as store:
            for act in (store.stat(key), put(store, key, b"x"), store.scan("private/")):
                with pytest.raises(CredentialsError) as caught:
                    await act
                assert "wr0ng" not in str(caught.value)
                assert "user and password" in caught.value.hint


async def test_the_right_password_opens_it(nginx, room):
    async with opened(nginx.with_login()) as store:
        await put(store, f"private/{room}a", b"x")
        assert PASSWORD not in store.url
        assert "p%40" not in store.url
        assert await keys(store, f"private/{room}") == [f"private/{room}a"]


async def test_refusals_are_told_apart(nginx):
    (nginx.folder / "read-only" / "a").write_bytes(b"x")
    async with opened(nginx.url) as store:
        with pytest.raises(AccessError):
            await put(store, "read-only/b", b"x")
        with pytest.raises(AccessError):
            await store.delete("read-only/a")
        with pytest.raises(RejectedError, match="413"):
            await put(store, "small/a", bytes(2000))
        with pytest.raises(UnsupportedError):
            await put(store, "a", b"x")


async def test_an_object_that_was_listed_and_replaced_is_not_read(dav, room):
    _, url, prefix = dav
    async with opened(url) as store:
        await put(store, prefix + room + "a", b"1")
        info = await store.stat(prefix + room + "a")
        await anyio.sleep(1.1)
        await put(store, prefix + room + "a", b"2")
        with pytest.raises(IntegrityError):
            async with store.open(prefix + room + "a", info) as it:
                await it.source(Span(0, 1)).pour(_Nowhere(), Tally())


class _Nowhere:
    extent = None

    async def write(self, offset, data):
        pass


async def test_a_certificate_is_verified_and_its_authority_can_be_named(tmp_path, room):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, bundle = tmp_path / "cert.pem", tmp_path / "ca.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(bundle)
    with webdav_server(tmp_path / "server", tls=certificate) as server:
        async with opened(server.with_login(), TRANSFER_HTTP_CA_BUNDLE=str(bundle)) as store:
            await put(store, room + "a", b"x")
            assert await get(store, room + "a") == b"x"
        async with opened(server.with_login(), TRANSFER_HTTP_INSECURE_TLS="true") as store:
            assert await keys(store, room) == [room + "a"]
        async with opened(server.with_login()) as store:
            with pytest.raises(TlsError):
                await store.stat(room + "a")
        webdavs = server.with_login().replace("https", "webdavs")
        async with opened(webdavs, TRANSFER_HTTP_CA_BUNDLE=str(bundle)) as store:
            assert await get(store, room + "a") == b"x"
