"""Faults on purpose: a store that checks everything or lies, a network that breaks, kills.

- `StrictStore`: an S3 on a free port of this process that verifies what Amazon
  verifies, in a choice of personalities, and logs every request.
- `StrictGcs`: a Cloud Storage in the same manner, for what no emulator checks.
- `lies`, `lies_about_content`: what it can be told to answer instead.
- `ChaosProxy` and `network`: a TCP proxy that breaks connections at a given byte.
- `Clock`: time that passes by hand.
- `kill`, `strace`: the installed command as a process that dies, and system calls that fail.
- `Canary`: a server that nobody should talk to.

All is deterministic: from parameters, or from a seed. How to use each is in
`tests/faults/README.md`.
"""

from __future__ import annotations

from tests.faults.harness import lies, lies_about_content, network
from tests.faults.harness.canary import Canary
from tests.faults.harness.chaos_proxy import ChaosProxy
from tests.faults.harness.clock import Clock
from tests.faults.harness.gcs import GCS, StrictGcs
from tests.faults.harness.personality import (
    AWS,
    CEPH,
    EXPRESS,
    KMS,
    NAMED,
    R2,
    RCLONE,
    Personality,
)
from tests.faults.harness.signatures import Key
from tests.faults.harness.strict_store import BUCKET, StrictStore
from tests.faults.harness.threads import in_thread

__all__ = [
    "AWS",
    "BUCKET",
    "CEPH",
    "EXPRESS",
    "GCS",
    "KMS",
    "NAMED",
    "R2",
    "RCLONE",
    "Canary",
    "ChaosProxy",
    "Clock",
    "Key",
    "Personality",
    "StrictGcs",
    "StrictStore",
    "in_thread",
    "lies",
    "lies_about_content",
    "network",
]
