"""System calls that fail: strace makes them, so the code under test stays as it is.

`traced(command, Inject("fsync", error="EIO"), log=...)` is the command line to run.
A call is counted for each thread by itself: `when` says which are hit ("3", "3+",
"1..5", "2+3"). A signal strikes as the call begins: `Inject("rename",
signal="KILL")` dies before the name changes. `path` narrows it to calls on
one file or folder.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# One idea, several calls: what a library uses depends on the machine.
_FAMILIES = {
    "fsync": ("fsync", "fdatasync"),
    "rename": ("?rename", "?renameat", "?renameat2"),
    "pwrite": ("?pwrite64", "?pwritev", "?pwritev2"),
    "write": ("write", "?pwrite64", "?pwritev", "?pwritev2", "writev"),
    "unlink": ("?unlink", "unlinkat"),
    "link": ("?link", "linkat"),
    "open": ("?open", "openat"),
}


@dataclass(frozen=True)
class Inject:
    """What happens to a call: an `error` such as "EIO", or a `signal` such as "KILL"."""

    call: str
    error: str | None = None
    signal: str | None = None
    when: str | None = None
    delay: float = 0.0

    def arguments(self) -> list[str]:
        """Return the options of strace for it."""
        calls = ",".join(_FAMILIES.get(self.call, (self.call,)))
        words = [f"error={self.error}"] if self.error else []
        words += [f"signal={self.signal}"] if self.signal else []
        words += [f"delay_enter={int(self.delay * 1e6)}"] if self.delay else []
        words += [f"when={self.when}"] if self.when else []
        return ["-e", ":".join([f"inject={calls}", *words])]

    @property
    def traced(self) -> str:
        """The calls that strace has to look at."""
        return ",".join(_FAMILIES.get(self.call, (self.call,)))


@cache
def why_not() -> str | None:
    """Return why strace cannot be used here, None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(
        ["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False
    )
    return "strace is not allowed to trace" if tried.returncode else None


needs_strace = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


def traced(
    command: Sequence[str], *injected: Inject, log: Path, path: Path | None = None
) -> list[str]:
    """Return the command line that runs a command with these calls failing."""
    line = ["strace", "-f", "-qq", "-o", str(log)]
    # Much faster, but strace 6.1 then forgets to send its signals.
    line += [] if any(one.signal for one in injected) else ["--seccomp-bpf"]
    line += ["-P", str(path)] if path is not None else []
    line += ["-e", "trace=" + ",".join(one.traced for one in injected)]
    for one in injected:
        line += one.arguments()
    return [*line, "--", *command]
