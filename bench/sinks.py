"""The server of a measurement: our sink, or nginx where whole objects are enough."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.programs import program
from bench.servers import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

BUCKET = "bench"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files: of the server, its key, and the authority that clients trust."""

    chain: Path
    key: Path
    authority: Path


class Local(http.client.HTTPConnection):
    """HTTP over a Unix socket: reaches a server in another network namespace."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Sink:
    """A running sink; `http` and `https` are its addresses."""

    def __init__(self, own: Path, address: str, plain: int, secure: int, pid: int) -> None:
        self._own = own
        self._pid = pid
        self.http = f"http://{address}:{plain}"
        self.https = f"https://{address}:{secure}"

    def endpoint(self, *, tls: bool) -> str:
        return self.https if tls else self.http

    def ask(self, method: str, path: str, body: str = "") -> bytes:
        """Make one call over the socket; what is no success is an error of the benchmark."""
        connection = Local(self._own)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            msg = f"the sink answered {answer.status} to {method} {path}: {data[:300]!r}"
            raise RuntimeError(msg)
        return data

    def reset(self) -> None:
        """Forget what was uploaded, and count from nothing."""
        self.ask("POST", "/-/reset")

    def register(self, files: Mapping[str, tuple[Path, str]]) -> None:
        """Offer files for download: key to path and base64 CRC-32C."""
        lines = [f"{BUCKET}/{key}\t{path}\t{crc}\n" for key, (path, crc) in files.items()]
        self.ask("POST", "/-/register", "".join(lines))

    def counts(self) -> dict[str, int]:
        """Return requests, bytes and connections since the last reset."""
        found: dict[str, int] = json.loads(self.ask("GET", "/-/counts"))
        return found

    def sizes(self) -> dict[str, int]:
        """Return what was uploaded: key to size; RuntimeError if an upload was left open."""
        found = {}
        for line in self.ask("GET", "/-/sizes").decode().splitlines():
            size, _, key = line.partition("\t")
            if size == "open":
                raise RuntimeError(f"the upload of {key} was left open")
            found[key.removeprefix(BUCKET + "/")] = int(size)
        return found

    def cpu(self) -> float:
        """Return the seconds of processor time that the server has used so far."""
        return cpu_of(self._pid)

    def read(self, keys: Sequence[str]) -> Iterator[http.client.HTTPResponse]:
        """Yield the answer for each key, over one connection; read each before the next."""
        connection = Local(self._own)
        for key in keys:
            connection.request("GET", f"/{BUCKET}/{key}")
            yield connection.getresponse()
        connection.close()


def cpu_of(pid: int) -> float:
    """Return user and system seconds of a process, from /proc (proc(5), fields 14 and 15)."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def sink(
    folder: Path,
    certificate: Certificate,
    *,
    keep: Path | None = None,
    address: str = "127.0.0.1",
    prefix: Sequence[str] = (),
) -> Iterator[Sink]:
    """Run a sink while the block lasts; with `keep`, bodies are kept below that folder."""
    plain, secure, own = free_port(), free_port(), folder / f"sink-{time.monotonic_ns()}"
    command = [*prefix, str(program("sink")), "-a", address, "-p", str(plain), "-t", str(secure)]
    command += ["-c", str(certificate.chain), "-k", str(certificate.key), "-u", str(own)]
    command += ["-s", str(keep)] if keep else []
    log = folder / "sink.log"
    with running(command, log, os.environ) as process:
        _wait_for(own, log)
        yield Sink(own, address, plain, secure, process.pid)


def _wait_for(own: Path, log: Path, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        probe = Local(own)
        try:
            probe.connect()
        except OSError:
            time.sleep(0.02)
        else:
            return
        finally:
            probe.close()
    raise RuntimeError(f"the sink has not started: {log.read_text()}")


def make_certificate(folder: Path, *addresses: str) -> Certificate:
    """Make an authority and a server certificate for some addresses, with the openssl program."""
    names = ",".join(["DNS:localhost", *(f"IP:{address}" for address in addresses)])
    made = Certificate(folder / "server.pem", folder / "server.key", folder / "authority.pem")
    key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    authority_key = folder / "authority.key"
    request: list[str | Path] = ["req", "-x509", *key, "-days", "7"]
    named = ["-subj", "/CN=transfer benchmark authority"]
    # From 3.13 on, Python wants to be told that an authority may sign.
    named += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _openssl([*request, "-keyout", authority_key, "-out", made.authority, *named])
    request += ["-CA", made.authority, "-CAkey", authority_key, "-subj", "/CN=localhost"]
    request += ["-addext", f"subjectAltName={names}"]
    request += ["-addext", "basicConstraints=critical,CA:FALSE"]
    _openssl([*request, "-keyout", made.key, "-out", made.chain])
    return made


def _openssl(arguments: Sequence[str | Path]) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
