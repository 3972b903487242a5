"""The programs that are compared, each with the same connections and part size.

A peer is a value: how it is found, what is typed, what it is called in the
tables. What a peer cannot do it says here, and its row is left out by name
rather than measured as something else. Which checksums it sends is not claimed
here but seen by the sink.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bench.sinks import BUCKET
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.cases import Load

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parent.parent
CLIENTS = Path(__file__).parent / "clients"
KEYS = {"AWS_ACCESS_KEY_ID": "BENCHKEY", "AWS_SECRET_ACCESS_KEY": "BENCHSECRETKEY"}


@dataclass(frozen=True, slots=True)
class Task:
    """One transfer as a client is told of it; `local` ends with a slash for many files.

    `folder` is the client's own, for configuration; `upload_id` and `cut` are there
    for curl alone, which can neither open an upload nor send a piece of a file.
    """

    load: Load
    upload: bool
    endpoint: str
    local: str
    key: str
    folder: Path
    authority: Path
    names: tuple[str, ...] = ()
    cut: tuple[Path, ...] = ()
    upload_id: str = ""

    @property
    def remote(self) -> str:
        return f"s3://{BUCKET}/{self.key}"

    def ends(self, local: str, remote: str) -> list[str]:
        """Return the two ends in the order of the direction."""
        return [local, remote] if self.upload else [remote, local]


Command: TypeAlias = "Callable[[Task], list[str]]"


@dataclass(frozen=True, slots=True)
class Peer:
    """One row: `needs` finds the program or None; `cannot` gives a reason, where there is one."""

    name: str
    needs: Callable[[], str | None]
    install: str
    command: Command
    version: Callable[[], str]
    env: Mapping[str, str] = field(default_factory=dict)
    cannot: Callable[[Load, bool], str | None] = lambda _load, _upload: None


def environment(peer: Peer, task: Task) -> dict[str, str]:
    """Return what a client sees of the world: nobody's settings, and our authority."""
    authority = str(task.authority)
    trust = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(task.folder),
        "LANG": "C.UTF-8",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(task.folder / "aws.ini"),
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        **KEYS,
        **dict.fromkeys(trust, authority),
        **peer.env,
    }


# ---- ours


def _transfer(task: Task) -> list[str]:
    command = [str(BIN / "transfer"), "push" if task.upload else "pull", "--quiet"]
    if not task.load.by_defaults:
        command += ["-c", str(task.load.connections), "-p", str(task.load.part_size)]
    return [*command, "--endpoint-url", task.endpoint, *task.ends(task.local, task.remote)]


# ---- programs


def _s5cmd(task: Task) -> list[str]:
    many = task.load.many
    command = [_found("s5cmd"), "--log", "error", "--endpoint-url", task.endpoint]
    if task.load.by_defaults:
        command += ["cp"]
    else:
        command += ["--numworkers", str(task.load.connections), "cp"]
        command += ["--concurrency", "1" if many else str(task.load.connections)]
        command += ["--part-size", str(task.load.part_size // MIB)]
    remote = task.remote + ("*" if many and not task.upload else "")
    return [*command, *task.ends(task.local, remote)]


def _aws(task: Task, client: str) -> list[str]:
    lines = [
        "[default]",
        "s3 =",
        "  addressing_style = path",
        f"  preferred_transfer_client = {client}",
    ]
    if not task.load.by_defaults:
        lines += [
            f"  max_concurrent_requests = {task.load.connections}",
            f"  multipart_threshold = {task.load.part_size}",
            f"  multipart_chunksize = {task.load.part_size}",
        ]
        # CRT opens a connection for each 0.4 Gbit/s that it is told to reach.
        lines += [f"  target_bandwidth = {task.load.connections * 50}MB/s"] * (client == "crt")
    (task.folder / "aws.ini").write_text("\n".join(lines) + "\n")
    command = [aws_v2() or "aws", "s3", "cp", "--only-show-errors", "--endpoint-url", task.endpoint]
    return [*command, *["--recursive"] * task.load.many, *task.ends(task.local, task.remote)]


def _aws_classic(task: Task) -> list[str]:
    """Its own engine, which has been called so since 2.15."""
    found = re.match(r"aws-cli/2\.(\d+)", _aws_version())
    return _aws(task, "classic" if found and int(found[1]) >= 15 else "default")


def _aws_crt(task: Task) -> list[str]:
    return _aws(task, "crt")


def _rclone(task: Task) -> list[str]:
    remote = f":s3,provider=Other,env_auth=true,endpoint='{task.endpoint}':{BUCKET}/{task.key}"
    command = [_found("rclone"), "copy" if task.load.many else "copyto", f"--config={os.devnull}"]
    command += ["--s3-no-check-bucket", "--ca-cert", str(task.authority)]
    command += [] if task.load.by_defaults else _rclone_flags(task.load)
    return [*command, *task.ends(task.local, remote)]


def _rclone_flags(load: Load) -> list[str]:
    connections, part = str(load.connections), f"{load.part_size}B"
    parts = "1" if load.many else connections
    flags = ["--transfers", connections, "--checkers", connections]
    flags += ["--s3-upload-concurrency", parts, "--s3-chunk-size", part]
    flags += ["--s3-upload-cutoff", part, "--multi-thread-streams", parts]
    return [*flags, "--multi-thread-cutoff", part, "--multi-thread-chunk-size", part]


def _rclone_unchecked(task: Task) -> list[str]:
    return [*_rclone(task), "--s3-disable-checksum", "--ignore-checksum"]


def _curl(task: Task) -> list[str]:
    """Write curl's list of URLs: parts that were cut before, ranges into files of their own."""
    config = task.folder / "curl.txt"
    config.write_text("".join(_curl_lines(task)))
    command = ["curl", "--fail", "--silent", "--show-error", "--http1.1"]
    command += ["--parallel", "--parallel-immediate", "--parallel-max", str(task.load.connections)]
    return [*command, "--config", str(config)]


def _curl_lines(task: Task) -> list[str]:
    base = f"{task.endpoint}/{BUCKET}/{task.key}"
    lines = [f'cacert = "{task.authority}"\n']
    if task.load.many:
        verb, other = ("upload-file", "/dev/null") if task.upload else ("output", "")
        end = f'output = "{other}"\n' if other else ""
        return lines + [
            f'url = "{base}{name}"\n{verb} = "{task.local}{name}"\n{end}' for name in task.names
        ]
    if task.upload and not task.cut:
        return [*lines, f'url = "{base}"\nupload-file = "{task.local}"\noutput = "/dev/null"\n']
    if task.upload:
        return lines + [
            f'url = "{base}?partNumber={number}&uploadId={task.upload_id}"\n'
            f'upload-file = "{path}"\noutput = "/dev/null"\n'
            for number, path in enumerate(task.cut, 1)
        ]
    size, part = task.load.size, task.load.part_size
    # `next` because a range holds for all URLs of its group.
    return [
        f'{"next" if start else ""}\nfail\ncacert = "{task.authority}"\nurl = "{base}"\n'
        f'range = "{start}-{min(start + part, size) - 1}"\noutput = "{task.local}.{start:015d}"\n'
        for start in range(0, size, part)
    ]


# ---- libraries, by the scripts in clients/


def _script(name: str, python: str = sys.executable) -> Command:
    def command(task: Task) -> list[str]:
        load = task.load
        return [
            python,
            str(CLIENTS / f"{name}.py"),
            "up" if task.upload else "down",
            task.endpoint,
            task.local,
            task.key,
            str(load.connections),
            str(load.part_size),
            str(load.count),
        ]

    return command


# ---- finding them


@cache
def _search(name: str) -> str | None:
    beside = BIN / name
    return str(beside) if beside.exists() else shutil.which(name)


def _found(name: str) -> str:
    return _search(name) or name


def _program(name: str) -> Callable[[], str | None]:
    return lambda: _search(name)


@cache
def aws_v2() -> str | None:
    """Return an `aws` of version 2, wherever on the path: PyPI's is version 1, without CRT."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = shutil.which("aws", path=folder)
        if path and _first_line([path, "--version"]).startswith("aws-cli/2"):
            return path
    return None


def _module(name: str, python: str = sys.executable) -> Callable[[], str | None]:
    def find() -> str | None:
        if not Path(python).exists():
            return None
        code = f"import importlib.util as u, sys; sys.exit(u.find_spec({name!r}) is None)"
        return python if subprocess.run([python, "-c", code], check=False).returncode == 0 else None

    return cache(find)


def _first_line(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def _says(name: str, *arguments: str) -> Callable[[], str]:
    return cache(lambda: _first_line([_found(name), *arguments]))


def _package(name: str, python: str = sys.executable) -> Callable[[], str]:
    code = f"import importlib.metadata as m; print({name!r}, m.version({name!r}))"
    return cache(lambda: _first_line([python, "-c", code]))


@cache
def _aws_version() -> str:
    return _first_line([aws_v2() or "aws", "--version"])


def _no_lists(load: Load, upload: bool) -> str | None:  # noqa: FBT001
    return "it lists nothing" if load.many and not upload else None


def _no_parts(load: Load, upload: bool) -> str | None:  # noqa: FBT001
    del upload
    return "it cuts nothing by itself" if load.by_defaults else None


CRT_PYTHON = str(ROOT / ".venv-crt/bin/python")
_BENCH = "make bench installs it"
_DEBIAN = "make bench-peers installs it"

PEERS = [
    Peer("transfer", _program("transfer"), _BENCH, _transfer, _says("transfer", "--version")),
    Peer(
        "transfer, store's checksums off",
        _program("transfer"),
        _BENCH,
        _transfer,
        _says("transfer", "--version"),
        {"TRANSFER_S3_CHECKSUM": "none"},
    ),
    Peer("s5cmd", _program("s5cmd"), _BENCH, _s5cmd, _says("s5cmd", "version")),
    Peer("aws-cli", aws_v2, _DEBIAN, _aws_classic, _aws_version),
    Peer("aws-cli (CRT)", aws_v2, _DEBIAN, _aws_crt, _aws_version),
    Peer(
        "CRT (s3transfer.crt)",
        _module("awscrt", CRT_PYTHON),
        _BENCH,
        _script("with_crt", CRT_PYTHON),
        _package("awscrt", CRT_PYTHON),
        cannot=_no_lists,
    ),
    Peer("boto3", _module("boto3"), _BENCH, _script("with_boto3"), _package("boto3")),
    Peer("obstore", _module("obstore"), _BENCH, _script("with_obstore"), _package("obstore")),
    Peer("minio", _module("minio"), _BENCH, _script("with_minio"), _package("minio")),
    Peer("rclone", _program("rclone"), _BENCH, _rclone, _says("rclone", "version")),
    Peer(
        "rclone, checksums off",
        _program("rclone"),
        _BENCH,
        _rclone_unchecked,
        _says("rclone", "version"),
    ),
    Peer(
        "MLflow's way (requests)",
        _module("requests"),
        _BENCH,
        _script("with_requests"),
        _package("requests"),
    ),
    Peer(
        "curl",
        _program("curl"),
        _DEBIAN,
        _curl,
        _says("curl", "--version"),
        cannot=_no_parts,
    ),
]


def named(wanted: str | None) -> list[Peer]:
    """Return the peers whose names begin with one of "a,b"; all for None. ValueError for none."""
    if wanted is None:
        return PEERS
    words = [word.strip().lower() for word in wanted.split(",")]
    for word in words:
        if not any(peer.name.lower().startswith(word) for peer in PEERS):
            msg = f"no peer {word!r}: there are {', '.join(peer.name for peer in PEERS)}"
            raise ValueError(msg)
    return [peer for peer in PEERS if peer.name.lower().startswith(tuple(words))]
