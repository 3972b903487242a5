"""What makes a schedule cheap: tiny parts and short pauses.

Only numbers change; every decision is the product's own.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import patch

import backends.coordinated.store
import backends.s3.parts
import transfer.coordinator.reaper
import transfer.engine.run
import transfer.mover.sending
from backends.s3.control import S3Control

if TYPE_CHECKING:
    from collections.abc import Generator

# Bytes in a part.
PART = 4096
# Seconds without progress before an attempt is given up.
STALL = 0.25
_CONTROL_CALL = 0.3
# The coordinator asks its store more than once before it answers.
_COMPLETING = 2.0
# Of one body, so much travels with its head, and so much is held back.
_WITH_HEAD, _LAST = 1024, 512

_policy_of = transfer.engine.run.policy_of
_ask = S3Control.ask


def hasty_policy(settings, lane):
    """Return the policy of a lane with all its times a thousandth of what they are."""
    return replace(
        _policy_of(settings, lane),
        base=0.0005,
        cap=0.01,
        throttle_base=0.002,
        throttle_cap=0.01,
        probe_cap=0.02,
    )


async def hasty_ask(self, *arguments, patience=_CONTROL_CALL, **more):
    """Wait for the answer to a control call no longer than for anything else here."""
    return await _ask(self, *arguments, patience=min(patience, _CONTROL_CALL), **more)


@contextmanager
def hurried() -> Generator[None]:
    """Play schedules in here."""
    changes = [
        (transfer.engine.run, "policy_of", hasty_policy),
        (backends.coordinated.store, "_COMPLETE_PATIENCE", _COMPLETING),
        (transfer.engine.run, "TO_FINISH", 0.8),
        (transfer.engine.run, "TO_CLEAN_UP", 1.5),
        (S3Control, "ask", hasty_ask),
        (backends.s3.parts.S3Parts, "limits", replace(backends.s3.parts.LIMITS, min_size=1)),
        (transfer.coordinator.reaper, "OWED_AFTER", 0.0),
        (transfer.mover.sending, "WITH_HEAD", _WITH_HEAD),
        (transfer.mover.sending, "_LAST", _LAST),
    ]
    patches = [patch.object(*change) for change in changes]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
