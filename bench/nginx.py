"""nginx as the server of downloads: whole objects from a program that nobody here wrote.

It knows nothing of S3 beyond HEAD and GET with a range, which is all that a
download of one object needs; it has no listings and no multipart uploads.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.servers import free_port, running
from bench.sinks import BUCKET, cpu_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.sinks import Certificate

_CONFIGURATION = """
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/nginx.tmp;
    proxy_temp_path {folder}/nginx.tmp;
    fastcgi_temp_path {folder}/nginx.tmp;
    uwsgi_temp_path {folder}/nginx.tmp;
    scgi_temp_path {folder}/nginx.tmp;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{secure} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;
        location /-/counts {{ stub_status; }}
        location /{bucket}/data/ {{ alias {folder}/source/; }}
    }}
}}
"""


def missing() -> str | None:
    """Return why nginx cannot be used, None if it can."""
    if shutil.which("nginx", path=_path()) is None:
        return "nginx is not installed: make bench-peers installs it"
    return None


class Nginx:
    """A running nginx, asked as a sink is; what it cannot know is nothing."""

    def __init__(self, plain: int, secure: int, pid: int) -> None:
        self._pid = pid
        self.http = f"http://127.0.0.1:{plain}"
        self.https = f"https://127.0.0.1:{secure}"

    def endpoint(self, *, tls: bool) -> str:
        return self.https if tls else self.http

    def reset(self) -> None:
        """Nothing is uploaded to it, and its counters only rise."""

    def register(self, files: Mapping[str, tuple[Path, str]]) -> None:
        """It serves the folder that they are in."""
        del files

    def counts(self) -> dict[str, int]:
        """Return what `stub_status` counts, without this question."""
        with urllib.request.urlopen(f"{self.http}/-/counts") as answer:  # noqa: S310 - our own
            found = re.findall(r"\d+", answer.read().decode())
        asked = {"requests": int(found[3]) - 1, "connections": int(found[1])}
        return dict.fromkeys(("md5", "sha256", "checksum", "trailer"), 0) | asked

    def sizes(self) -> dict[str, int]:
        return {}

    def cpu(self) -> float:
        """Return the processor seconds of master and workers."""
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        return sum(cpu_of(int(pid)) for pid in [self._pid, *children])


@contextmanager
def nginx(folder: Path, certificate: Certificate) -> Iterator[Nginx]:
    """Run nginx on the source folder while the block lasts."""
    plain, secure = free_port(), free_port()
    text = _CONFIGURATION.format(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        plain=plain,
        secure=secure,
        chain=certificate.chain,
        key=certificate.key,
        bucket=BUCKET,
    )
    path = folder / "nginx.conf"
    path.write_text(text)
    program = shutil.which("nginx", path=_path()) or "nginx"
    errors = str(folder / "nginx.error.log")
    command = [program, "-e", errors, "-c", str(path), "-g", "daemon off;"]
    with running(command, folder / "nginx.log", os.environ) as process:
        _wait_for(plain, folder)
        yield Nginx(plain, secure, process.pid)


def _path() -> str:
    """Debian keeps it where only root's path looks."""
    return os.environ.get("PATH", os.defpath) + os.pathsep + "/usr/sbin"


def _wait_for(port: int, folder: Path) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/-/counts").close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"nginx has not started: {(folder / 'nginx.error.log').read_text()}")
