"""The installed command as a process, and the files that it moves."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
MIB = 1024**2


@dataclass(frozen=True)
class Ran:
    """How a run ended: what it said on both streams, and the most memory it had, in bytes."""

    code: int
    said: str
    peak: int

    @property
    def error(self) -> str:
        """The error, which is one line and no stack."""
        lines = [line for line in self.said.splitlines() if line.startswith("transfer: error")]
        assert len(lines) == 1, self.said
        assert "Traceback" not in self.said
        assert "panicked" not in self.said
        return lines[0]


def run(*words: object, state: Path, environ: Mapping[str, str] | None = None) -> Ran:
    """Run the command to its end, in an environment of its own; `state` is its folder."""
    own = clean_environment({"TRANSFER_STATE_DIR": str(state), **(environ or {})})
    own.pop("SSH_AUTH_SOCK", None)
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [COMMAND, *map(str, words)],
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        peak = _peak_until_ended(process)
        output.seek(0)
        said = output.read().decode(errors="surrogateescape")
    return Ran(process.returncode, said, peak)


def _peak_until_ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; the kernel's own sum, afterwards, has its parent's memory in it."""
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while process.poll() is None:
        found = re.search(r"VmHWM:\s+(\d+)", status.read_text())
        peak = int(found[1]) * 1024 if found else peak
        time.sleep(0.02)
    return peak


def done(*words: object, state: Path, environ: Mapping[str, str] | None = None) -> Ran:
    """Run the command, which succeeds."""
    ran = run(*words, state=state, environ=environ)
    assert ran.code == 0, ran.said
    return ran


def make_file(path: Path, size: int) -> Path:
    """Write a file of random bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))
    return path


def make_tree(folder: Path, names: Iterable[str]) -> Path:
    """Write a file for each name, each with other content; some are empty."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number % 7 * 500) + name.encode() * (number % 7))
    return folder


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of all files below a folder, by name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest(path) for path in files}
