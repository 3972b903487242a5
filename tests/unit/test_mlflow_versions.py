"""Which version of an artifact a presigned download is of: asked for where it is worth it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backends.coordinated.mlflow import MlflowStore
from tests.unit.test_presigned import ScriptedMover
from transfer.model import ObjectInfo, Span
from transfer.settings import Settings
from transfer.sizes import MIB
from transfer.store import Tls

ETAG = {"etag": '"abc"'}


def store_behind(mover: ScriptedMover, *, presigned: bool = True) -> MlflowStore:
    async def ask(*_: Any) -> SimpleNamespace:
        return SimpleNamespace(url="https://s3.x/b/k?X-Amz-Signature=s", headers={})

    server: Any = SimpleNamespace(
        mover=mover, tls_for=lambda _: Tls(), ask=ask, base="http://x", headers={}
    )
    return MlflowStore(
        "mlflow-artifacts://x", server, Settings(enable_download=presigned), {"a": 1}
    )


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ((206, ETAG), '"abc"'),
        ((206, {"etag": 'W/"abc"'}), None),
        ((206, {}), None),
        ((403, ETAG), None),
    ],
)
async def test_a_large_one_is_pinned_by_its_first_byte(
    answer: tuple[int, dict[str, str]], version: str | None
):
    mover = ScriptedMover((*answer, b"x"))
    async with store_behind(mover).open("a/b", ObjectInfo("a/b", 16 * MIB)) as opened:
        assert opened.info.version == version
    (request,) = mover.requests
    assert (request.span, request.most) == (Span(0, 1), 1)


@pytest.mark.parametrize(("size", "presigned"), [(16 * MIB - 1, True), (16 * MIB, False)])
async def test_nothing_is_asked_for_a_small_one_or_through_the_server(size: int, presigned: bool):
    store = store_behind(ScriptedMover(), presigned=presigned)
    async with store.open("a/b", ObjectInfo("a/b", size)) as opened:
        assert opened.info.version is None
