"""Clients that are not ours: boto3 with any configuration, and rclone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from bench.servers import BIN
from tests.faults.harness.strict_store import DEFAULT_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.harness.strict_store import StrictStore

RCLONE = BIN / "rclone"


def boto(store: StrictStore, *, url: str | None = None, verify: Any = None, **config: Any) -> Any:
    """Return a client of boto3 that tries once; close it. It blocks: call it from a thread."""
    options: dict[str, Any] = {
        "signature_version": "s3v4",
        "retries": {"total_max_attempts": 1},
        "s3": {"addressing_style": "path"},
        "read_timeout": 10,
    }
    return boto3.client(
        "s3",
        endpoint_url=url or store.url,
        aws_access_key_id=DEFAULT_KEY.access,
        aws_secret_access_key=DEFAULT_KEY.secret,
        region_name=store.personality.region,
        verify=verify,
        config=Config(**options | config),
    )


def refused(call: Callable[..., Any], *args: Any, **arguments: Any) -> tuple[int, str]:
    """Call an operation of boto3 that must be refused; return its status and code."""
    try:
        call(*args, **arguments)
    except ClientError as error:
        meta = error.response["ResponseMetadata"]
        return meta["HTTPStatusCode"], error.response["Error"]["Code"]
    raise AssertionError("it was not refused")


def rclone(store: StrictStore, folder: Path, *arguments: str) -> str:
    """Run rclone with `:s3:` as the store; return what it says. It blocks."""
    settings = {
        "PROVIDER": "AWS",
        "ACCESS_KEY_ID": DEFAULT_KEY.access,
        "SECRET_ACCESS_KEY": DEFAULT_KEY.secret,
        "ENDPOINT": store.url,
        "REGION": store.personality.region,
        "FORCE_PATH_STYLE": "true",
        "NO_CHECK_BUCKET": "true",
        "USE_UNSIGNED_PAYLOAD": "true",
    }
    environ = {f"RCLONE_S3_{name}": value for name, value in settings.items()}
    environ |= {"RCLONE_CONFIG": str(folder / "none.conf"), "HOME": str(folder)}
    done = subprocess.run(
        [str(RCLONE), "--retries=1", "--low-level-retries=1", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode:
        raise AssertionError(f"rclone ended with {done.returncode}:\n{said}")
    return said
