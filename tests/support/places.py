"""Every store as a place that the command can be sent to: a folder of its own on a real server.

A test asks for a place by its name, and gets what a user would have: a URL, and the
variables that let him in. What a server cannot hold is said here, once.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import pytest

from bench.servers import SECRET_KEY, coordinator
from tests.faults.harness import BUCKET as STRICT_BUCKET
from tests.faults.harness import StrictGcs, in_thread
from tests.support.azurite import KEY, WRONG_KEY
from tests.support.file_servers import FTP_PASSWORD, FTP_USER
from tests.support.servers import BUCKET, clean_environment
from tests.support.web import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A folder of a store: `url` has no slash behind it.

    `folder` is where the server keeps its files, if it keeps files. `takes` tells
    which names the server can hold; `lists` is false where it cannot tell what it has.
    """

    url: str
    environ: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    takes: Callable[[str], bool] = lambda name: True
    lists: bool = True
    literal: bool = True

    def at(self, name: str) -> str:
        """Return the URL of a name; some schemes are percent-encoded, others are not."""
        return f"{self.url}/{name if self.literal else quote(name)}"

    def left(self) -> list[str]:
        """Return the unfinished files that are still there."""
        return [str(path) for path in self.folder.rglob(".transfer-*")] if self.folder else []

    def empty(self) -> None:
        """Remove the files that are there, where the server keeps them as such.

        The folders stay: a server may be in one of them.
        """
        rooms = self.folder.rglob(self.url.rpartition("/")[2]) if self.folder else ()
        for path in [path for room in rooms for path in room.rglob("*") if path.is_file()]:
            path.unlink()


def _room() -> str:
    return f"room-{secrets.token_hex(6)}"


def _folder(get: Callable[[str], Any]) -> Place:
    folder = get("tmp_path_factory").mktemp("place")
    return Place(str(folder / _room()), folder=folder)


def _bucket(server: Any) -> Place:
    return Place(f"s3://{BUCKET}/{_room()}", server.environ, server.folder)


def _gcs_emulator(address: str) -> Place:
    environ = {"STORAGE_EMULATOR_HOST": address}
    return Place(f"gs://{BUCKET}/{_room()}", environ, takes=_has_no_line_break)


def _gcs_strict(get: Callable[[str], Any]) -> Place:
    server, folder = get("gcs_strict")
    environ = server.environ_with(server.service_account(), folder)
    return Place(f"gs://{STRICT_BUCKET}/{_room()}", environ, takes=_has_no_line_break)


def _azure(server: Any) -> Place:
    return Place(f"{server.url}/{_room()}", server.environ, takes=_azurite_takes)


def _ssh(server: Any) -> Place:
    return Place(
        f"{server.url.rstrip('/')}/{_room()}", server.environ, server.folder, literal=False
    )


def _ftp(server: Any) -> Place:
    scheme, _, rest = server.url.rstrip("/").partition("://")
    login, at, place = rest.rpartition("@")
    user = f"{FTP_USER}@" if at else ""
    environ = {"TRANSFER_STORE_PASSWORD": FTP_PASSWORD} if login else {}
    if server.ca is not None:
        environ["SSL_CERT_FILE"] = str(server.ca)
    url = f"{scheme}://{user}{place}/{_room()}"
    return Place(url, environ, server.folder, _has_no_line_break, literal=False)


def _webdav(server: Any) -> Place:
    environ = {"TRANSFER_STORE_PASSWORD": PASSWORD}
    return Place(f"{server.with_login(USER)}/{_room()}", environ, server.folder, literal=False)


def _nginx_dav(server: Any) -> Place:
    # Its listings leave names out that begin with a dot.
    return Place(
        f"{server.url}/dav/{_room()}",
        folder=server.folder,
        takes=lambda name: not re.search(r"(^|/)\.", name),
        literal=False,
    )


def _nginx_plain(server: Any) -> Place:
    return Place(f"{server.url}/plain/{_room()}", folder=server.folder, lists=False, literal=False)


def _hdfs(server: Any) -> Place:
    return Place(f"{server.url}/{_room()}", takes=lambda name: ":" not in name, literal=False)


def _mlflow(address: str) -> Place:
    return Place(
        f"mlflow-artifacts://{address}/{_room()}",
        takes=lambda name: (
            unquote(name) == name and not re.search(r"[#\x00-\x1f\x7f]|[?;](/|$)", name)
        ),
        literal=False,
    )


def _passes(takes: Callable[[str], bool]) -> Callable[[str], bool]:
    """Leave out what a coordinator refuses: names that somebody could read as other paths."""

    def passes(name: str) -> bool:
        read = unquote(name)
        odd = re.search(r"[\\\x00-\x1f\x7f]", read) or {"", ".", ".."} & set(read.split("/"))
        return takes(name) and not odd

    return passes


def _azurite_takes(name: str) -> bool:
    """It takes a backslash for a slash, and cannot list what XML cannot hold."""
    return not re.search(r"[\\\x00-\x08\x0b-\x1f]", name)


def _has_no_line_break(name: str) -> bool:
    return not re.search(r"[\r\n]", name)


_MAKERS: dict[str, tuple[str, Callable[[Any], Place]]] = {
    "s3-rclone": ("rclone", _bucket),
    "s3-ceph": ("ceph", _bucket),
    "gs-emulator": ("gcs_emulator", _gcs_emulator),
    "azurite": ("azurite", _azure),
    "sftp-openssh": ("sshd", _ssh),
    "sftp-rclone": ("rclone_ssh", _ssh),
    "ftp-pyftpdlib": ("ftp_server", _ftp),
    "ftps-pyftpdlib": ("ftps_server", _ftp),
    "ftp-vsftpd": ("vsftpd_server", _ftp),
    "webdav-rclone": ("webdav", _webdav),
    "webdav-nginx": ("nginx", _nginx_dav),
    "http-nginx": ("nginx", _nginx_plain),
    "hdfs": ("hdfs", _hdfs),
    "mlflow": ("mlflow_server", _mlflow),
}


_PASSWORDS = {FTP_PASSWORD, PASSWORD}
_SECRETS = {SECRET_KEY, KEY, WRONG_KEY, "PRIVATE KEY", "AccountKey=", *_PASSWORDS}
_SECRETS |= {quote(password, safe=safe) for password in _PASSWORDS for safe in ("", "/", "/ ")}


def _slow_unless(quick: bool) -> tuple[pytest.MarkDecorator, ...]:
    return () if quick else (pytest.mark.slow,)


_MARKS = {"s3-ceph": pytest.mark.slow, "hdfs": pytest.mark.slow, "mlflow": pytest.mark.mlflow}
NAMES = ["folder", *_MAKERS, "gs-strict"]
PLACES = [pytest.param(name, marks=_MARKS.get(name, ())) for name in NAMES]
# By presigned URLs, by parts that are relayed, and in single PUTs: one of each is quick.
_EACH_WAY = {"folder", "s3-rclone", "sftp-rclone", "ftp-pyftpdlib"}
WAYS = [pytest.param(name, "direct", marks=_MARKS.get(name, ())) for name in NAMES] + [
    pytest.param(name, "coordinated", marks=_MARKS.get(name, _slow_unless(name in _EACH_WAY)))
    for name in NAMES
]


def secrets_in(text: str) -> list[str]:
    """Return what of all that is secret about these servers stands in a text."""
    return [secret for secret in _SECRETS if secret in text]


def make_place(name: str, get: Callable[[str], Any]) -> Place:
    """Return a new place; `get` is how a test asks for the fixtures of the servers."""
    if name == "folder":
        return _folder(get)
    if name == "gs-strict":
        return _gcs_strict(get)
    fixture, make = _MAKERS[name]
    return make(get(fixture))


def of_server(name: str, server: Any) -> Place:
    """Return a new place of another server than that of the fixture."""
    return _MAKERS[name][1](server)


@contextmanager
def behind_coordinator(place: Place, folder: Path) -> Iterator[Place]:
    """Run `transfer serve` on a place: the same place, for somebody without credentials."""
    with coordinator(place.url, folder, clean_environment(place.environ)) as address:
        url = f"transfer+http://{address}/{_room()}"
        yield replace(place, url=url, environ={}, takes=_passes(place.takes), literal=False)
    log = (folder / "coordinator.log").read_text()
    assert "Traceback" not in log, log
    assert not secrets_in(log)


@pytest.fixture(scope="session")
def gcs_strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StrictGcs, Path]]:
    """Our own strict server, with a service account's key: the one that takes signed parts."""
    with in_thread(StrictGcs()) as server:
        yield server, tmp_path_factory.mktemp("gcs-strict")
