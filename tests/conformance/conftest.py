"""Opening stores as the registry does, with the environment that a test gives."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import (
    folder_coordinator,
    gcs_emulator,
    mlflow_python,
    mlflow_server,
    moto,
    rclone,
    s3_coordinator,
)
from transfer.mover import open_mover
from transfer.registry import locate, open_root
from transfer.settings import Settings
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from transfer.store import Store

__all__ = [
    "folder_coordinator",
    "gcs_emulator",
    "mlflow_python",
    "mlflow_server",
    "moto",
    "rclone",
    "s3_coordinator",
]


@pytest.fixture
def open_store(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Store]]:
    """Open the store of a URL with an environment of its own."""

    @asynccontextmanager
    async def opened(url: str, environ: Mapping[str, str]) -> AsyncIterator[Store]:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
            if name in environ:
                monkeypatch.setenv(name, environ[name])
        settings = Settings.from_env(environ)
        async with (
            open_mover(settings) as mover,
            open_root(locate(url), Context(settings, mover)) as store,
        ):
            yield store

    return opened
