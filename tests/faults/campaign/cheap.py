"""What makes a schedule cheap: tiny parts, short pauses, a client that is made once.

Only numbers change, and who makes the SDK's client; every decision is the product's own.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import patch

os.environ["BOTO_DISABLE_CRT"] = "true"  # noqa: TID251 - read when botocore is imported

import backends.s3_client

import backends.s3
import backends.s3_parts
import backends.s3_presigner
import transfer.coordinator.reaper
import transfer.engine.run
import transfer.mover.exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

# Bytes in a part.
PART = 4096
# Seconds without progress before an attempt is given up.
STALL = 0.25
_SDK_CALL = 0.3
# Of one body, so much travels with its head, and so much is held back.
_WITH_HEAD, _LAST = 1024, 512

_policy_of = transfer.engine.run.policy_of
_sdk_errors = backends.s3_client.sdk_errors
_make_session = backends.s3_client._session_with_models
_sessions = []


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


def session_made_once():
    """Reading the SDK's models takes longer than a schedule."""
    if not _sessions:
        _sessions.append(_make_session())
    return _sessions[0]


def hasty_sdk_errors(what, seconds=60.0):
    """Wait for the SDK no longer than for anything else here."""
    return _sdk_errors(what, min(seconds, _SDK_CALL))


@contextmanager
def hurried() -> Generator[None]:
    """Play schedules in here."""
    changes = [
        (transfer.engine.run, "policy_of", hasty_policy),
        (transfer.engine.run, "TO_FINISH", 0.8),
        (transfer.engine.run, "TO_CLEAN_UP", 1.5),
        (backends.s3_client, "_session_with_models", session_made_once),
        (backends.s3, "sdk_errors", hasty_sdk_errors),
        (backends.s3_parts, "sdk_errors", hasty_sdk_errors),
        (backends.s3_parts.S3Parts, "limits", replace(backends.s3_parts.LIMITS, min_size=1)),
        (transfer.coordinator.reaper, "OWED_AFTER", 0.0),
        (transfer.mover.exchange, "_WITH_HEAD", _WITH_HEAD),
        (transfer.mover.exchange, "_LAST", _LAST),
    ]
    patches = [patch.object(*change) for change in changes]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()


@contextmanager
def client_made_once(client, keyring) -> Generator[None]:
    """Let every store that is opened use this client."""

    @asynccontextmanager
    async def open_client(settings, *, endpoint_url) -> AsyncIterator[tuple[object, object]]:
        del settings, endpoint_url
        yield client, keyring

    with patch.object(backends.s3, "open_client", open_client):
        yield


@contextmanager
def environment(values: dict[str, str]) -> Generator[None]:
    """Set variables for the SDK's chain of credentials."""
    with suppress(KeyError), patch.dict(os.environ, values):  # noqa: TID251
        yield
