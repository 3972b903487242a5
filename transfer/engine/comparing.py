"""Whether a target is the same as its source: by what is said of them, or by their content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.checksums import Algorithm
from transfer.errors import SourceChangedError
from transfer.model import Span
from transfer.sources import NullSink
from transfer.tally import Tally

if TYPE_CHECKING:
    from transfer.checksums import Checksum
    from transfer.model import ObjectInfo
    from transfer.store import OpenObject, Store
    from transfer.tally import Meter


def looks_same(source: ObjectInfo, target: ObjectInfo) -> bool:
    """Tell whether a target need not be written again: same size, and not older.

    Where both sides say their checksum, that decides.
    """
    if source.size != target.size:
        return False
    if source.checksum is not None and target.checksum is not None:
        return source.checksum == target.checksum
    if source.modified is None or target.modified is None:
        return True
    # Object stores keep whole seconds.
    return target.modified >= int(source.modified)


async def same_content(source: OpenObject, target: Store, found: ObjectInfo, meter: Meter) -> bool:
    """Tell whether two objects of one size have the same content, reading what must be read.

    A checksum that the other side knows saves reading that side.
    """
    async with target.open(found.key, found) as opened:
        known = opened.info.checksum or source.info.checksum
        algorithm = known.algorithm if known else Algorithm.CRC32C
        return await _checksum(source, algorithm, meter) == await _checksum(
            opened, algorithm, meter
        )


async def _checksum(opened: OpenObject, algorithm: Algorithm, meter: Meter) -> Checksum | None:
    info = opened.info
    if info.checksum is not None and info.checksum.algorithm is algorithm:
        return info.checksum
    with Tally(algorithm, meter) as tally:
        await opened.source(Span(0, info.size)).pour(NullSink(), tally)
        if tally.moved != info.size:
            raise SourceChangedError(f"{info.key} has {tally.moved} bytes, not {info.size}")
        return tally.checksum
