"""Asynchronous multipart transfers between disks and object stores.

    async with transfer.Engine() as engine:
        await engine.push("model.safetensors", "s3://bucket/models/")

    transfer.push("model.safetensors", "s3://bucket/models/")   # without a loop

Importing this package loads no SDK and no web framework; names arrive as they
are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transfer.blocking import copy, pull, push
    from transfer.engine import Engine, Filter, Options, Report, SomeFailedError
    from transfer.errors import TransferError
    from transfer.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Filter",
    "Options",
    "Report",
    "Settings",
    "SomeFailedError",
    "TransferError",
    "copy",
    "pull",
    "push",
]

_HOMES = {
    "Engine": "transfer.engine",
    "Filter": "transfer.engine",
    "Options": "transfer.engine",
    "Report": "transfer.engine",
    "Settings": "transfer.settings",
    "SomeFailedError": "transfer.engine",
    "TransferError": "transfer.errors",
    "copy": "transfer.blocking",
    "pull": "transfer.blocking",
    "push": "transfer.blocking",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        msg = f"module 'transfer' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
