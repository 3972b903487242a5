"""SFTP and FTP servers that refuse, fill up, go away in the middle: real ones, on loopback."""

from __future__ import annotations

import hashlib
import os
import socket
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import quote

import anyio
import asyncssh
import pytest

from bench.servers import free_port
from tests.conformance.suite import BreakingSource, get, keys, put
from tests.faults.harness import ChaosProxy
from tests.faults.harness.network import REQUEST
from tests.support.disks import small_disk
from tests.support.file_servers import (
    FTP_PASSWORD,
    FTP_USER,
    RCLONE_PASSWORD,
    RCLONE_USER,
    ftp_server,
    ftps_server,
    make_home,
    openssh,
    pyftpdlib,
    rclone_sftp,
    rclone_ssh,
    sshd,
    vsftpd,
)
from transfer.checksums import Algorithm
from transfer.engine import Engine
from transfer.errors import (
    AccessError,
    BadKeyError,
    ConnectionLostError,
    CredentialsError,
    DamagedInTransitError,
    DiskFullError,
    ExistsError,
    HostKeyError,
    ProtocolError,
    SourceChangedError,
    StoreError,
    TemporaryError,
    TlsError,
    UnavailableError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.events import Notice, Resumed
from transfer.model import Expected, Intent, Part, Receipt, Span
from transfer.registry import locate, open_folder
from transfer.settings import Settings
from transfer.sources import BytesSource
from transfer.store import Context
from transfer.tally import Tally

pytestmark = pytest.mark.servers

__all__ = ["ftp_server", "ftps_server", "rclone_ssh", "sshd"]

MIB = 1 << 20
SETTINGS = {
    "TRANSFER_ATTEMPTS": "2",
    "TRANSFER_OUTAGE_PATIENCE": "5",
    "TRANSFER_CONNECT_TIMEOUT": "5",
}


@pytest.fixture
def at_home(monkeypatch):
    """Be somebody with this home, and no agent."""

    def move_in(home, **environ):
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    return move_in


@asynccontextmanager
async def opened(url, *, confined=False, notices=None, **environ):
    settings = Settings.from_env(SETTINGS | environ)
    notify = (notices if notices is not None else []).append
    folder, _ = open_folder(locate(url), Context(settings, None, confined, notify))
    async with folder as store:
        yield store


def trust_also(server, port):
    """Make the key of a server known for another port too."""
    known = server.home / ".ssh" / "known_hosts"
    line = known.read_text().splitlines()[0]
    known.write_text(f"{line}\n{line.replace(f']:{server.port} ', f']:{port} ')}\n")


def assert_one_line(error, *secrets):
    text = str(error)
    assert "\n" not in text
    for secret in secrets:
        assert secret not in text
        assert quote(secret, safe="") not in text


# --- who is let in


async def test_an_unknown_host_key_is_refused_with_a_way_out(sshd, at_home, tmp_path):
    at_home(tmp_path)
    async with opened(sshd.url) as store:
        with pytest.raises(HostKeyError, match=r"not known.*ssh-keyscan -p") as caught:
            await store.stat("a")
    assert_one_line(caught.value)


async def test_a_host_key_that_has_changed_is_another_error(sshd, at_home, tmp_path):
    at_home(tmp_path)
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {other}")
    async with opened(sshd.url) as store:
        with pytest.raises(HostKeyError, match=r"not the one that is known.*ssh-keygen -R"):
            await store.stat("a")


async def test_ssh_configuration_of_the_user_is_honoured(sshd, at_home, tmp_path):
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "config").write_text(
        f"Host models\n HostName 127.0.0.1\n Port {sshd.port}\n"
        f" User {sshd.url.partition('//')[2].partition('@')[0]}\n"
        f" IdentityFile {sshd.home}/.ssh/id_ed25519\n"
        f" UserKnownHostsFile {sshd.home}/.ssh/known_hosts\n"
    )
    at_home(home)
    async with opened(f"sftp://models{sshd.folder}") as store:
        await put(store, "by-alias", b"x")
    assert (sshd.folder / "by-alias").read_bytes() == b"x"


async def test_no_key_that_fits_is_told(sshd, at_home, tmp_path):
    (tmp_path / ".ssh").mkdir()
    known = (sshd.home / ".ssh" / "known_hosts").read_text()
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    at_home(tmp_path)
    async with opened(sshd.url) as store:
        with pytest.raises(CredentialsError, match="no key fits"):
            await store.stat("a")


@pytest.mark.parametrize("password", ["wr0ng&secret", RCLONE_PASSWORD])
async def test_sftp_password_in_the_url_works_and_is_never_shown(
    rclone_ssh, at_home, tmp_path, password
):
    (tmp_path / ".ssh").mkdir()
    known = (rclone_ssh.home / ".ssh" / "known_hosts").read_text()
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    at_home(tmp_path)
    notices = []
    account = f"{RCLONE_USER}:{quote(password, safe='')}"
    url = f"sftp://{account}@127.0.0.1:{rclone_ssh.port}/"
    async with opened(url, notices=notices) as store:
        if password == RCLONE_PASSWORD:
            await put(store, "with-password", b"x")
        else:
            with pytest.raises(CredentialsError, match="password is wrong") as caught:
                await store.stat("a")
            assert_one_line(caught.value, password)
        assert_one_line(store.url, password)
        assert_one_line(repr(store.authority), password)
    [notice] = notices
    assert "TRANSFER_STORE_PASSWORD" in notice
    assert_one_line(notice, password)


async def test_password_comes_from_the_settings_too(rclone_ssh, ftp_server, at_home, tmp_path):
    (tmp_path / ".ssh").mkdir()
    known = (rclone_ssh.home / ".ssh" / "known_hosts").read_text()
    (tmp_path / ".ssh" / "known_hosts").write_text(known)
    at_home(tmp_path)
    for url in (rclone_ssh.url, f"ftp://{FTP_USER}@127.0.0.1:{ftp_server.port}/"):
        notices = []
        given = {"TRANSFER_STORE_PASSWORD": FTP_PASSWORD}
        async with opened(url, notices=notices, **given) as store:
            await put(store, "by-setting", b"x")
        assert notices == []


async def test_wrong_ftp_password_is_told_and_never_shown(ftp_server):
    url = f"ftp://{FTP_USER}:wr0ngsecret@127.0.0.1:{ftp_server.port}/"
    with pytest.raises(CredentialsError) as caught:
        async with opened(url):
            pass
    assert_one_line(caught.value, "wr0ngsecret")


async def test_a_password_reaches_no_event_of_a_run(ftp_server, tmp_path):
    source = tmp_path / "a.bin"
    source.write_bytes(b"abc")
    events = []
    async with Engine(Settings.from_env(SETTINGS)) as engine:
        await engine.run(str(source), ftp_server.url + "events/a.bin", on_event=events.append)
    assert any(isinstance(event, Notice) for event in events)
    for event in events:
        assert_one_line(event, FTP_PASSWORD)


async def test_a_certificate_that_nobody_vouches_for_is_refused(ftps_server, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(TlsError, match="SSL_CERT_FILE"):
        async with opened(ftps_server.url):
            pass


async def test_ftps_is_never_spoken_in_plain_text(ftp_server):
    with pytest.raises(TlsError, match="offers no TLS") as caught:
        async with opened(ftp_server.url.replace("ftp:", "ftps:")):
            pass
    assert_one_line(caught.value, FTP_PASSWORD)


# --- servers that are not there, or refuse


@pytest.mark.parametrize("scheme", ["sftp", "ftp", "ftps"])
@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", "refused|Connect call failed"), ("no.such.host.invalid", "")]
)
async def test_a_host_that_is_not_there(scheme, host, why, at_home, tmp_path):
    at_home(tmp_path)
    with pytest.raises(ConnectionLostError, match=why or "resolve|not known|resolution") as caught:
        async with opened(f"{scheme}://u@{host}:{free_port()}/x") as store:
            await store.stat("a")
    assert_one_line(caught.value)


@pytest.mark.parametrize("scheme", ["ftp", "ftps"])
async def test_a_port_of_ssh_speaks_no_ftp(sshd, scheme):
    with anyio.fail_after(4), pytest.raises(ProtocolError, match=r"'SSH-2.0-OpenSSH.*sftp://"):
        async with opened(f"{scheme}://u@127.0.0.1:{sshd.port}/x"):
            pass


async def test_a_server_that_does_not_greet_is_given_up_and_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ftp://u@127.0.0.1:{silent.getsockname()[1]}/x"
        with anyio.fail_after(4), pytest.raises(ConnectionLostError, match="no greeting") as caught:
            async with opened(url, TRANSFER_CONNECT_TIMEOUT="1"):
                pass
    assert caught.value.retryable
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (b"J\0\0\0\n5.7.33\0\x07", ProtocolError),
        (b"hi", ProtocolError),
        (b"", ConnectionLostError),
        (b"421-Too many\r\n420 not the end\r\n421 users\r\n", UnavailableError),
        (b"120 wait\r\n530 no\r\n", CredentialsError),
    ],
)
async def test_greetings_that_let_nobody_in(greeting, error):
    """A fake: no server can be told to greet with these."""

    async def greet(stream):
        async with stream:
            await stream.send(greeting)

    async with listening(greet) as port:
        with anyio.fail_after(4), pytest.raises(error) as caught:
            async with opened(f"ftp://u@127.0.0.1:{port}/x"):
                pass
    assert_one_line(caught.value)


async def test_a_long_and_late_welcome_is_one(ftp_server):
    """A fake before a real server: its own greeting comes after a delay and many lines."""

    async def serve(stream):
        async with stream, await anyio.connect_tcp("127.0.0.1", ftp_server.port) as behind:
            await behind.receive()
            for piece in (b"120 soon\r\n2", b"20-Welcome,\r\n22", b"0-to\r\n all\r\n220 \r\n"):
                await stream.send(piece)
                await anyio.sleep(0.05)
            async with anyio.create_task_group() as group:
                group.start_soon(_pump, stream, behind)
                group.start_soon(_pump, behind, stream)

    async with listening(serve) as port:
        url = ftp_server.url.replace(f":{ftp_server.port}/", f":{port}/")
        await _put_one(url, "welcome")
    assert (ftp_server.folder / "welcome").read_bytes() == b"x"


@asynccontextmanager
async def listening(serve):
    """Serve what connects to a port of this machine, which is given."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as group,
    ):
        group.start_soon(listener.serve, serve)
        yield listener.extra(anyio.abc.SocketAttribute.local_port)
        group.cancel_scope.cancel()


async def _put_one(url, key):
    async with opened(url) as store:
        await put(store, key, b"x")


async def _pump(here, there):
    async for data in here:
        await there.send(data)
    await there.send_eof()


async def test_a_read_only_sftp_server_denies(at_home, tmp_path):
    with openssh(tmp_path, flags="-R") as server:
        at_home(server.home)
        async with opened(server.url) as store:
            with pytest.raises(AccessError, match="permission denied"):
                await put(store, "a", b"x")
            with pytest.raises(AccessError):
                await store.parts.create("a", Intent(10, 5))
        assert list(server.folder.iterdir()) == []


async def test_a_read_only_rclone_denies_in_its_own_words(at_home, tmp_path):
    with rclone_sftp(tmp_path, flags=["--read-only"]) as server:
        at_home(server.home)
        (server.folder / "a").write_bytes(b"x")
        async with opened(server.url) as store:
            with pytest.raises(AccessError, match=r"Read only.*check the permissions") as caught:
                await put(store, "b", b"x")
            assert_one_line(caught.value)
            with pytest.raises(AccessError):
                await store.parts.create("b", Intent(10, 5))
            with pytest.raises(AccessError):
                await store.delete("a")


async def test_a_server_that_takes_no_parts_gets_files_in_one_stream(at_home, tmp_path):
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(20 * MIB))
    events = []
    with rclone_sftp(tmp_path, flags=[]) as server:
        at_home(server.home)
        async with Engine(Settings(upload_part_size=MIB, state_dir=str(tmp_path))) as engine:
            for name in ("a", "b"):
                await engine.push(str(source), f"{server.url}{name}", on_event=events.append)
        written = list(server.folder.iterdir())
    [notice] = [event.message for event in events if isinstance(event, Notice)]
    assert "'permission denied'" in notice
    assert "--vfs-cache-mode=writes" in notice
    assert sorted(path.name for path in written) == ["a", "b"]
    assert {sha256(path) for path in written} == {sha256(source)}


class LimitedSftp(asyncssh.SFTPServer):
    """A fake: its files are at most 1 MiB long, which SFTP has no code for."""

    def fsetstat(self, file_obj, attrs):
        if attrs.size is not None and attrs.size > MIB:
            raise asyncssh.SFTPFailure("File too large")
        return super().fsetstat(file_obj, attrs)


async def test_a_file_that_is_too_long_for_a_server_is_no_reason_to_do_without_parts(
    at_home, tmp_path
):
    port = free_port()
    hostkey = make_home(tmp_path, port)
    at_home(tmp_path)
    acceptor = await asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[str(hostkey)],
        authorized_client_keys=str(tmp_path / ".ssh" / "id_ed25519.pub"),
        sftp_factory=LimitedSftp,
    )
    notices = []
    async with acceptor, opened(f"sftp://u@127.0.0.1:{port}{tmp_path}", notices=notices) as store:
        with pytest.raises(StoreError, match="File too large") as caught:
            await store.parts.create("a", Intent(2 * MIB, MIB))
        assert not isinstance(caught.value, UnsupportedError)
        await store.parts.abort(await store.parts.create("a", Intent(MIB, MIB // 2)))
    assert notices == []
    assert not list(tmp_path.glob(".transfer-*"))


async def test_an_ftp_account_that_may_only_read_is_denied(ftp_server):
    async with opened(f"ftp://127.0.0.1:{ftp_server.port}/") as store:
        with pytest.raises(AccessError):
            await put(store, "denied", b"x")


async def test_a_full_disk_behind_sftp(at_home, tmp_path):
    (tmp_path / "served").mkdir()
    with small_disk(tmp_path / "served", "4m"), openssh(tmp_path) as server:
        at_home(server.home)
        async with opened(server.url) as store:
            with pytest.raises(DiskFullError, match=r"needs 8.*MiB"):
                await store.parts.create("a", Intent(8 * MIB, MIB))
            with pytest.raises(DiskFullError, match="no space") as caught:
                await put(store, "a", bytes(8 * MIB))
            assert_one_line(caught.value)
        assert list(server.folder.iterdir()) == []


async def test_a_full_disk_behind_ftp(tmp_path):
    (tmp_path / "served").mkdir()
    with small_disk(tmp_path / "served", "4m"), vsftpd(tmp_path) as server:
        async with opened(server.url) as store:
            with pytest.raises(DiskFullError) as caught:
                await put(store, "a", bytes(8 * MIB))
            assert_one_line(caught.value)
        assert list(server.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("size", "room"),
    [(8 * MIB, 4 * MIB), (MIB + 4096, MIB)],
    ids=["while it is sent", "when it is closed"],
)
async def test_a_full_disk_that_an_ftp_server_says_nothing_of(tmp_path, size, room):
    (tmp_path / "served").mkdir()
    with small_disk(tmp_path / "served", str(room)), pyftpdlib(tmp_path) as server:
        async with opened(server.url, MLFLOW_HTTP_REQUEST_TIMEOUT="5") as store:
            with pytest.raises(ConnectionLostError) as caught:
                await put(store, "a", bytes(size))
            assert_one_line(caught.value, FTP_PASSWORD)
            await put(store, "b", b"small enough")
        assert [path.name for path in server.folder.iterdir()] == ["b"]


async def test_a_folder_is_never_replaced_by_a_file(sshd, ftp_server, at_home):
    at_home(sshd.home)
    for url in (sshd.url, ftp_server.url):
        async with opened(url) as store:
            await put(store, "occupied/a", b"x")
            with pytest.raises(StoreError, match="folder"):
                await put(store, "occupied", b"y")
            with pytest.raises(StoreError):
                await put(store, "occupied/a/b", b"y")
            assert await keys(store, "occupied/") == ["occupied/a"]


# --- keys that others choose


async def test_a_confined_store_follows_no_link(sshd, at_home, tmp_path):
    (tmp_path / "secret").write_text("secret")
    at_home(sshd.home)
    room = sshd.folder / "confined"
    room.mkdir()
    (room / "way-out").symlink_to(tmp_path)
    (room / "file-out").symlink_to(tmp_path / "secret")
    async with opened(f"{sshd.url}/confined", confined=True) as store:
        for key in ("way-out/secret", "file-out", "../x", "a/../../x", "a//b", ""):
            with pytest.raises(BadKeyError):
                await store.stat(key)
            with pytest.raises(BadKeyError):
                await put(store, key, b"x")
        assert await keys(store, "") == []
        with pytest.raises(BadKeyError):
            await store.scan("way-out/")
    async with opened(f"{sshd.url}/confined") as store:
        assert await keys(store, "") == ["file-out", "way-out/secret"]


async def test_a_link_to_a_folder_above_has_no_end_and_says_so(sshd, at_home):
    at_home(sshd.home)
    room = sshd.folder / "loop"
    (room / "inner").mkdir(parents=True)
    (room / "inner" / "back").symlink_to(room)
    async with opened(sshd.url) as store:
        with pytest.raises(StoreError, match="no end"):
            await keys(store, "loop/")


async def test_names_of_unfinished_files_are_neither_listed_nor_taken(sshd, ftp_server, at_home):
    at_home(sshd.home)
    name = f".transfer-{'0' * 32}.partial"
    for server in (sshd, ftp_server):
        (server.folder / "hidden").mkdir()
        (server.folder / "hidden" / name).write_text("x")
        async with opened(server.url) as store:
            assert await keys(store, "hidden/") == []
            with pytest.raises(BadKeyError):
                await store.stat(f"hidden/{name}")


async def test_ftp_cannot_write_a_name_with_a_line_in_it(ftp_server):
    async with opened(ftp_server.url) as store:
        with pytest.raises(BadKeyError):
            await put(store, "a\r\nDELE b", b"x")


# --- in the middle


async def test_no_clobber_holds_at_the_end_too(sshd, rclone_ssh, at_home):
    """Somebody else is faster between the first look and the last step."""
    for server in (sshd, rclone_ssh):
        at_home(server.home)
        async with opened(server.url) as store:
            intent = Intent(3, 3, no_clobber=True)
            upload = await store.parts.create("race", intent)
            part, tally = Part(1, Span(0, 3)), Tally()
            receipt = await store.parts.send(upload, part, BytesSource(b"new"), tally)
            await put(store, "race", b"old")
            with pytest.raises(ExistsError):
                await store.parts.complete(upload, [receipt], Expected(3, no_clobber=True))
            assert await get(store, "race") == b"old"
            await store.parts.abort(upload)
            assert await keys(store, "race/") == []


async def test_another_process_goes_on_with_an_upload(sshd, rclone_ssh, at_home):
    for server in (sshd, rclone_ssh):
        at_home(server.home)
        data = os.urandom(3000)
        async with opened(server.url) as store:
            upload = await store.parts.create("handed-over", Intent(3000, 1000))
            for number in (1, 2):
                await _send(store, upload, number, data)
        async with opened(server.url) as store:
            found = await store.parts.sent(upload, reread=True)
            assert [receipt.number for receipt in found] == [1, 2]
            last = await _send(store, upload, 3, data)
            await store.parts.complete(upload, [*found, last], Expected(3000))
            assert await get(store, "handed-over") == data
        assert not list(server.folder.glob(".transfer-*"))


async def test_a_part_that_is_not_any_more_what_was_noted_is_left_out(sshd, at_home):
    at_home(sshd.home)
    data = os.urandom(3000)
    async with opened(sshd.url) as store:
        upload = await store.parts.create("rotten", Intent(3000, 1000))
        for number in (1, 2, 3):
            await _send(store, upload, number, data)
        [temporary] = sshd.folder.glob(".transfer-*.partial")
        with temporary.open("r+b") as file:
            file.seek(1500)
            file.write(bytes(1))
            file.write(bytes(3))
        assert [r.number for r in await store.parts.sent(upload)] == [1, 2, 3]
        assert [r.number for r in await store.parts.sent(upload, reread=True)] == [1, 3]
        await store.parts.abort(upload)


async def test_a_part_that_breaks_while_it_is_sent_again_is_not_there(sshd, at_home):
    at_home(sshd.home)
    async with opened(sshd.url) as store:
        upload = await store.parts.create("doubt", Intent(2000, 1000))
        await _send(store, upload, 1, os.urandom(2000))
    async with opened(sshd.url) as store:
        with pytest.raises(SourceChangedError):
            await store.parts.send(upload, Part(1, Span(0, 1000)), BreakingSource(1000), Tally())
        assert await store.parts.sent(upload) == []
        await store.parts.abort(upload)
        with pytest.raises(UploadGoneError):
            await store.parts.sent(upload)


@pytest.mark.parametrize("cut_at", [0.2, 0.8])
async def test_sftp_connections_that_break_cost_no_byte_twice_noted(
    sshd, at_home, tmp_path, cut_at
):
    """All connections are reset in the middle, twice: the run goes on by itself."""
    source, size = tmp_path / "source.bin", 24 * MIB
    source.write_bytes(os.urandom(size))
    async with ChaosProxy(sshd.port) as proxy:
        trust_also(sshd, proxy.port)
        at_home(sshd.home)
        url = sshd.url.replace(f":{sshd.port}/", f":{proxy.port}/") + f"/cut-{cut_at}.bin"
        settings = Settings(upload_part_size=MIB, download_part_size=MIB, attempts=20)
        cutter = Cutter(proxy, size * cut_at)
        async with Engine(settings) as engine:
            async with anyio.create_task_group() as group:
                group.start_soon(cutter.watch)
                report = await engine.push(str(source), url)
                group.cancel_scope.cancel()
            assert cutter.cuts == 1
            assert report.retries > 0
            copy = tmp_path / "copy.bin"
            await engine.pull(url, str(copy))
    assert sha256(copy) == sha256(source)
    assert not list(sshd.folder.glob(".transfer-*"))


async def test_a_run_that_fails_for_good_is_gone_on_with(sshd, at_home, tmp_path):
    source, size = tmp_path / "source.bin", 16 * MIB
    source.write_bytes(os.urandom(size))
    state = str(tmp_path / "state")
    async with ChaosProxy(sshd.port) as proxy:
        trust_also(sshd, proxy.port)
        at_home(sshd.home)
        url = sshd.url.replace(f":{sshd.port}/", f":{proxy.port}/") + "/resumed.bin"
        settings = Settings(
            upload_part_size=MIB,
            attempts=2,
            outage_patience=0.5,
            concurrency=2,
            state_dir=state,
        )
        async with Engine(settings) as engine:
            cutter = Cutter(proxy, size / 2, for_good=True)
            async with anyio.create_task_group() as group:
                group.start_soon(cutter.watch)
                report = await engine.run(str(source), url)
                group.cancel_scope.cancel()
        [failure] = report.failed
        assert isinstance(failure.error, ConnectionLostError)
        assert_one_line(failure.error)
        assert not (sshd.folder / "resumed.bin").exists()
        assert report.kept == 1
        await proxy.up()
        resumed = []
        async with Engine(settings) as engine:
            await engine.push(str(source), url, on_event=resumed.append)
    [event] = [event for event in resumed if isinstance(event, Resumed)]
    assert event.parts >= 1
    assert sha256(sshd.folder / "resumed.bin") == sha256(source)
    assert not list(sshd.folder.glob(".transfer-*"))


async def test_an_ftp_server_that_is_killed_in_the_middle_leaves_nothing_to_see(tmp_path):
    port = free_port()
    with ExitStack() as stack:
        server = stack.enter_context(pyftpdlib(tmp_path, port=port))

        class Killing:
            """Half of the bytes, then the server is stopped, then the other half."""

            extent = origin = None
            size = 8 * MIB

            async def pour(self, sink, tally):
                await sink.write(0, bytes(self.size // 2))
                await anyio.to_thread.run_sync(stack.close)
                await sink.write(self.size // 2, bytes(self.size // 2))

        async with opened(server.url) as store:
            with pytest.raises(TemporaryError, match="may be left of it") as caught:
                await store.put("killed.bin", Killing(), Intent(Killing.size), Tally())
            assert_one_line(caught.value, FTP_PASSWORD)
    assert [path for path in server.folder.iterdir() if not path.name.startswith(".")] == []
    with pyftpdlib(tmp_path, port=port) as server:
        async with opened(server.url) as store:
            assert await keys(store, "") == []
            await put(store, "killed.bin", b"again")


async def test_a_cancelled_ftp_transfer_leaves_no_connection_that_answers_late(ftp_server):
    async with opened(ftp_server.url) as store:
        await put(store, "steady", b"steady")
        for _ in range(12):
            source = BreakingSource(400_000, hang=True)
            async with anyio.create_task_group() as group:
                intent = Intent(400_000)
                group.start_soon(store.put, "cancelled", source, intent, Tally())
                with anyio.fail_after(10):
                    await source.begun.wait()
                group.cancel_scope.cancel()
            assert await get(store, "steady") == b"steady"
        assert "cancelled" not in await keys(store, "")
    assert not list(ftp_server.folder.glob(".transfer-*"))


async def test_an_ftp_connection_that_died_in_the_pool_is_replaced(ftp_server):
    async with ChaosProxy(ftp_server.port) as proxy:
        url = ftp_server.url.replace(f":{ftp_server.port}/", f":{proxy.port}/")
        async with opened(url) as store:
            await store.scan("", folders=True)
            await proxy.cut()
            await anyio.sleep(0.05)
            await store.scan("", folders=True)
            assert len([one for one in proxy.connections if not one.ended]) >= 1


async def test_ftp_ranges_that_a_server_only_promises_are_found_out(tmp_path):
    with pyftpdlib(tmp_path, ["--lies-about-rest"]) as server:
        data = os.urandom(100_000)
        async with opened(server.url) as store:
            assert store.traits.concurrent_reads
            await put(store, "a", data)
            assert await get(store, "a", Span(50_000, 60_000)) == data[50_000:60_000]
            assert await get(store, "a", Span(90_000, 100_000)) == data[90_000:]
            assert not store.traits.concurrent_reads


async def test_content_that_an_ftp_server_has_damaged_is_noticed(tmp_path):
    with pyftpdlib(tmp_path, ["--hash", "--damages"]) as server:
        async with opened(server.url) as store:
            with pytest.raises(DamagedInTransitError):
                await put(store, "a", b"0123456789")
            assert await keys(store, "") == []
        assert list(server.folder.iterdir()) == []


class Cutter:
    """Resets all connections of a proxy once so many bytes have passed it on their way up."""

    def __init__(self, proxy, at, *, for_good=False):
        self._proxy = proxy
        self._at = at
        self._for_good = for_good
        self.cuts = 0

    async def watch(self):
        await self._proxy.until(self._is_due, seconds=60)
        self.cuts += 1
        await (self._proxy.down() if self._for_good else self._proxy.cut())

    def _is_due(self, proxy):
        return sum(connection.passed[REQUEST] for connection in proxy.connections) >= self._at


async def _send(store, upload, number, data) -> Receipt:
    span = Span((number - 1) * 1000, number * 1000)
    tally = Tally(Algorithm.CRC32C)
    source = BytesSource(data[span.start : span.stop])
    return await store.parts.send(upload, Part(number, span), source, tally)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
