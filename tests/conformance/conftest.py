"""Opening stores as the registry does, with the environment that a test gives."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.azurite import azure_coordinator, azurite, secure_azurite
from tests.support.ceph import ceph
from tests.support.file_servers import (
    ftp_coordinator,
    ftp_server,
    ftps_server,
    hashing_ftp_server,
    rclone_ssh,
    sftp_coordinator,
    sshd,
    vsftpd_server,
)
from tests.support.hdfs import hdfs
from tests.support.servers import (
    folder_coordinator,
    gcs_emulator,
    mlflow_python,
    mlflow_server,
    moto,
    rclone,
    s3_coordinator,
)
from tests.support.web import nginx, webdav
from transfer.mover.threads import open_mover
from transfer.registry import locate, open_folder, open_root
from transfer.settings import Settings
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from transfer.store import Store

__all__ = [
    "azure_coordinator",
    "azurite",
    "ceph",
    "folder_coordinator",
    "ftp_coordinator",
    "ftp_server",
    "ftps_server",
    "gcs_emulator",
    "hashing_ftp_server",
    "hdfs",
    "mlflow_python",
    "mlflow_server",
    "moto",
    "nginx",
    "rclone",
    "rclone_ssh",
    "s3_coordinator",
    "secure_azurite",
    "sftp_coordinator",
    "sshd",
    "vsftpd_server",
    "webdav",
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


@pytest.fixture
def open_below(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, Mapping[str, str]], AbstractAsyncContextManager[Store]]:
    """Open a folder of a server as a root, as the coordinator does."""

    @asynccontextmanager
    async def opened(
        url: str, environ: Mapping[str, str], *, confined: bool = False
    ) -> AsyncIterator[Store]:
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        for name in ("HOME", "SSL_CERT_FILE"):
            if name in environ:
                monkeypatch.setenv(name, environ[name])
        settings = Settings.from_env(environ)
        async with open_mover(settings) as mover:
            folder, prefix = open_folder(locate(url), Context(settings, mover, confined))
            assert prefix == ""
            async with folder as store:
                yield store

    return opened
