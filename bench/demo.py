"""The main job, shown: a large file through a coordinator in parts, and back.

First to the embedded default, a folder behind the coordinator: no account, no
other server. Then to a real S3 server, where the parts go straight to the store
and the coordinator, who alone has the keys, sees none of their bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from bench.servers import ACCESS_KEY, BIN, SECRET_KEY, coordinator, s3_server
from transfer.sizes import GIB, MIB, format_size, parse_size

FOLDER = Path("demo-data")


def main() -> None:
    """Run both halves; leaves nothing behind."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--size", default="1GiB", help="size of the file (default 1GiB)")
    size = parse_size(options.parse_args().size)
    FOLDER.mkdir(exist_ok=True)
    if shutil.disk_usage(FOLDER).free < 4 * size + GIB:
        sys.exit(f"the demonstration needs {format_size(4 * size + GIB)} of free disk")
    try:
        source = FOLDER / "model.bin"
        print(f"Making a file of {format_size(size)} with random content ...", flush=True)
        digest = make_file(source, size)
        env = {name: value for name, value in os.environ.items() if not is_setting(name)}
        show_folder(source, digest, env)
        show_s3(source, digest, env)
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


def show_folder(source: Path, digest: str, env: dict[str, str]) -> None:
    """Push to a coordinator that keeps a folder, and pull back."""
    print("\n1. A coordinator that keeps objects in a folder\n", flush=True)
    stored = (FOLDER / "objects").resolve()
    with coordinator(str(stored), FOLDER, env) as address:
        there_and_back(source, digest, f"transfer+http://{address}", env)
    shutil.rmtree(stored)


def show_s3(source: Path, digest: str, env: dict[str, str]) -> None:
    """The same with an S3 server behind the coordinator."""
    print("\n2. A coordinator in front of an S3 server (rclone serve s3)\n", flush=True)
    buckets = FOLDER / "buckets"
    (buckets / "artifacts").mkdir(parents=True)
    with s3_server(buckets, env) as url:
        keys = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_S3_ENDPOINT_URL": url,
        }
        with coordinator("s3://artifacts/demo", FOLDER, env | keys) as address:
            # The client gets the environment without the keys.
            there_and_back(source, digest, f"transfer+http://{address}", env)


def there_and_back(source: Path, digest: str, base: str, env: dict[str, str]) -> None:
    """Push, pull, compare; print what the coordinator counted."""
    back = FOLDER / "back.bin"
    target = f"{base}/models/model.bin"
    pushed = timed([str(BIN / "transfer"), "push", str(source), target], env)
    parts = statistics(base)["signed_parts"]
    pulled = timed([str(BIN / "transfer"), "pull", target, str(back)], env)
    counted = statistics(base)
    same = sha256(back) == digest
    back.unlink()
    size = source.stat().st_size
    print(f"   pushed in {parts} parts at {format_size(size / pushed)}/s")
    print(f"   pulled at {format_size(size / pulled)}/s")
    print(f"   bytes through the coordinator: {counted['relayed_in']} in,", end=" ")
    print(f"{counted['relayed_out']} out")
    print(f"   SHA-256 {'equal: ' + digest if same else 'DIFFERENT'}", flush=True)
    if not same:
        sys.exit(1)


def timed(command: list[str], env: dict[str, str]) -> float:
    """Run a command in sight of the user; return its seconds."""
    print("$ transfer " + " ".join(command[1:]), flush=True)
    started = time.monotonic()
    result = subprocess.run(command, env=env, check=False)
    if result.returncode:
        sys.exit(result.returncode)
    return time.monotonic() - started


def statistics(base: str) -> dict[str, int]:
    """Ask the coordinator what it counted."""
    url = base.removeprefix("transfer+") + "/api/transfer/1/statistics"
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own address
        found: dict[str, int] = json.load(answer)
    return found


def make_file(path: Path, size: int) -> str:
    """Write random bytes; return their SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            block = os.urandom(min(MIB, size - start))
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_setting(name: str) -> bool:
    """Whether a variable of the caller's would change the demonstration."""
    return name.startswith(("TRANSFER_", "MLFLOW_", "AWS_"))


if __name__ == "__main__":
    main()
