"""Coordinators for each test, in this process; servers as processes where the socket matters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest
from blockbuster import BlockBuster

from backends.local.store import LocalStore
from tests.coordinator.inside import Asker, Inside, SigningStore, inside
from tests.support.servers import folder_coordinator, rclone, s3_coordinator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

__all__ = ["folder_coordinator", "rclone", "s3_coordinator"]


@pytest.fixture(autouse=True)
def _loop_is_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """As everywhere, but that the tables are made before anybody is served."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    guard = BlockBuster(["transfer", "backends"])
    for function in guard.functions.values():
        function.can_block_in("transfer/coordinator/database.py", {"open_database", "_upgrade"})
        # It looks for a file of passwords before it connects.
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
    guard.functions["io.TextIOWrapper.read"].can_block_in("crc32c/__init__.py", "<module>")
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """The folder of a coordinator on a folder."""
    folder = tmp_path / "objects"
    folder.mkdir()
    return folder


@pytest.fixture
def folder_store(objects: Path) -> LocalStore:
    return LocalStore(objects, durable=False, confined=True)


@pytest.fixture
async def folder(tmp_path: Path, folder_store: LocalStore) -> AsyncIterator[Inside]:
    """A coordinator on a folder, open to anybody: parts come to it."""
    async with inside(tmp_path, folder_store) as running:
        yield running


@pytest.fixture
async def signing(tmp_path: Path) -> AsyncIterator[Inside]:
    """A coordinator on a store that presigns, open to anybody: parts pass it by."""
    async with inside(tmp_path, SigningStore()) as running:
        yield running


@pytest.fixture
async def guarded(tmp_path: Path, folder_store: LocalStore) -> AsyncIterator[Inside]:
    """A coordinator on a folder that asks for tokens."""
    async with inside(tmp_path, folder_store, require_auth=True) as running:
        yield running


@pytest.fixture
async def ask(folder: Inside) -> Asker:
    """Somebody without a token, on a coordinator on a folder."""
    return await folder.asker()


@pytest.fixture
async def ask_signing(signing: Inside) -> Asker:
    """Somebody without a token, on a coordinator whose store presigns."""
    return await signing.asker()
