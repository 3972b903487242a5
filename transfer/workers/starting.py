"""How worker processes begin: a fresh interpreter, as much like this one as has to be."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGIN = "import sys; sys.path[:] = sys.argv[5:]; from transfer.workers.process import main; main()"
_PYTHON = re.compile(r"(python|pypy)[0-9.]*(t|d|-dbg)?", re.IGNORECASE)


def interpreter() -> str | None:
    """Return the program that runs Python, None where this one is another with Python in it."""
    name = Path(sys.executable or "").name
    frozen = getattr(sys, "frozen", False)
    return sys.executable if not frozen and _PYTHON.fullmatch(name) else None


def started(
    program: str, count: int, connect_timeout: float, modules: Iterable[str]
) -> tuple[subprocess.Popen[bytes], list[socket.socket]]:
    """Start the first of so many, which forks the others; return it, and our end of each line.

    `modules` are what they will need. Raises OSError where the system has no more
    processes or descriptors.
    """
    path = [str(entry) or str(Path.cwd()) for entry in sys.path]
    with ExitStack() as theirs, ExitStack() as ours:
        lines, fds = [], []
        for _ in range(count):
            here, there = socket.socketpair()
            lines.append(ours.enter_context(here))
            fds.append(theirs.enter_context(there).fileno())
        encoding = sys.getfilesystemencoding()
        told = str(connect_timeout), encoding, ",".join(map(str, fds)), ",".join(modules)
        process = subprocess.Popen(  # noqa: S603 - this interpreter
            [program, *_flags(), "-c", _BEGIN, *told, *path],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for whoever has begun it
        )
        ours.pop_all()
    return process, lines


def _flags() -> list[str]:
    """Return what has to be the same in both interpreters, if files are to have the same names."""
    ignored = ["-E"] if sys.flags.ignore_environment else []
    return ["-X", f"utf8={sys.flags.utf8_mode}", *ignored]
