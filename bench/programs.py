"""The C programs of the benchmark, compiled at first use into the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

HERE = Path(__file__).parent
_FLAGS = {
    "sink": ["-pthread", "-lssl", "-lcrypto"],
    "measure": [],
    "link": ["-pthread"],
}


def program(name: str) -> Path:
    """Return the compiled program; SystemExit says what is missing if it cannot be made."""
    source = HERE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    made = user_cache_path("transfer-bench") / f"{name}-{digest}"
    if made.exists():
        return made
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("the benchmark needs a C compiler: make bench-peers installs what Debian has")
    made.parent.mkdir(parents=True, exist_ok=True)
    draft = made.with_name(f"{made.name}.{os.getpid()}")
    command = [compiler, "-O2", "-o", str(draft), str(source), *_FLAGS[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(
            f"cannot compile {source.name}; it needs the headers of OpenSSL and the C library"
            f" (make bench-peers installs them):\n{done.stderr.strip()}"
        )
    draft.rename(made)
    return made
