"""Starting the programs that a demonstration or a measurement needs, and stopping them."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BIN = Path(sys.executable).parent
ACCESS_KEY = "DEMOKEY"
SECRET_KEY = "DEMOSECRETKEY"  # noqa: S105 - for a server that lives as long as the demonstration


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], log: Path, env: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server while the block lasts; its output goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=dict(env))
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(url: str, log: Path, seconds: float = 30) -> None:
    """Wait until a server answers, whatever it says; SystemExit with its log if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own address
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"no answer from {url} in {seconds:.0f} s; its log says:\n{log.read_text()}")


@contextmanager
def coordinator(destination: str, folder: Path, env: Mapping[str, str]) -> Iterator[str]:
    """Run `transfer serve`; yields host:port."""
    address = f"127.0.0.1:{free_port()}"
    log = folder / "coordinator.log"
    command = [
        str(BIN / "transfer"),
        "serve",
        "--artifacts-destination",
        destination,
        "--port",
        address.rpartition(":")[2],
        "--backend-store-uri",
        f"sqlite:///{folder / 'sessions.db'}",
    ]
    with running(command, log, env):
        wait_for(f"http://{address}/health", log)
        yield address


@contextmanager
def s3_server(
    folder: Path, env: Mapping[str, str], *, options: Sequence[str] = ("--etag-hash", "")
) -> Iterator[str]:
    """Run `rclone serve s3` on a folder whose sub-folders are buckets; yields its URL.

    The buffer flags are needed: with its defaults, a part far ahead of the lowest
    missing one waits for that for ever. By its defaults, it hashes objects for their ETags.
    """
    url = f"http://127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.parent / "rclone.conf"
    config.touch()
    log = folder.parent / "s3.log"
    command = [
        str(BIN / "rclone"),
        f"--config={config}",
        "serve",
        "s3",
        "--addr",
        url.removeprefix("http://"),
        "--auth-key",
        f"{ACCESS_KEY},{SECRET_KEY}",
        *options,
        "--multipart-streaming-buffer-limit",
        "0",
        "--multipart-streaming-buffer-total",
        "0",
        str(folder),
    ]
    with running(command, log, env):
        wait_for(url, log)
        yield url
