"""A single PUT through a coordinator that must replace nothing, and whose answer was lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from backends.coordinated.store import CoordinatedStore
from tests.unit.test_presigned import ScriptedMover
from transfer.checksums import Algorithm, Checksum, checksum_of
from transfer.errors import ExistsError, NotFoundError, PreconditionError
from transfer.model import Intent
from transfer.sources import BytesSource
from transfer.store import Tls
from transfer.tally import Tally
from transfer.wire import Capabilities, Signed, WireObject

BODY = b"what is sent"
SAME = checksum_of(Algorithm.CRC32C, BODY)
OTHER = checksum_of(Algorithm.CRC32C, b"what others sent")


def store_with(there: WireObject | None) -> CoordinatedStore:
    """Return a store whose PUTs are refused, since there is something."""

    async def ask(method: str, path: str, *_: Any) -> Any:
        if method == "POST":
            return Signed(method="PUT", url="https://s3.x/b/k", headers={}, expires_in=9)
        assert path.endswith("/objects/a/b")
        if there is None:
            raise NotFoundError("none")
        return there

    server: Any = SimpleNamespace(
        ask=ask,
        mover=ScriptedMover((412, {}, b"")),
        tls_for=lambda _: Tls(),
        error=lambda what, _: PreconditionError(f"{what}: 412"),
    )
    return CoordinatedStore("transfer+http://x", server, Capabilities(limits=None, max_put=9))


async def put(store: CoordinatedStore, *, no_clobber: bool = True) -> tuple[Any, Tally]:
    tally = Tally(Algorithm.CRC32C)
    intent = Intent(len(BODY), no_clobber=no_clobber)
    return await store.put("a/b", BytesSource(BODY), intent, tally), tally


async def test_what_is_there_is_what_was_sent():
    there = WireObject(key="a/b", size=len(BODY), version="v", checksum=SAME)
    info, tally = await put(store_with(there))
    assert (info.version, tally.moved, tally.checksum) == ("v", len(BODY), SAME)


@pytest.mark.parametrize("checksum", [None, OTHER])
async def test_what_is_there_may_be_somebody_elses(checksum: Checksum | None):
    there = WireObject(key="a/b", size=len(BODY), version="v", checksum=checksum)
    with pytest.raises(ExistsError):
        await put(store_with(there))


async def test_nothing_is_there_any_more():
    with pytest.raises(ExistsError):
        await put(store_with(None))


async def test_what_was_no_condition_of_ours_is_told_as_it_is():
    with pytest.raises(PreconditionError):
        await put(store_with(None), no_clobber=False)
