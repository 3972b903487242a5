"""Whether a target is the same as its source: by what is said of them, or by their content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.checksums import Algorithm, available
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


async def same_content(
    source: OpenObject,
    target: Store,
    found: ObjectInfo,
    meter: Meter,
    expected: Checksum | None = None,
) -> bool:
    """Tell whether two objects of one size have the same content, reading what must be read.

    A checksum that one side knows saves reading that side; with one that is
    `expected`, only the target is looked at. Where both are read, the meter counts
    one, the target.
    """
    async with target.open(found.key, found) as opened:
        if expected is not None:
            return await _checksum(opened, expected.algorithm, meter) == expected
        algorithm = _common(opened.info.checksum, source.info.checksum)
        counts = _said(opened.info, algorithm) is not None
        mine = await _checksum(source, algorithm, meter if counts else None)
        return mine == await _checksum(opened, algorithm, meter)


def _common(*known: Checksum | None) -> Algorithm:
    """Return what two sides are compared by: best what they say anyway."""
    said = [checksum.algorithm for checksum in known if checksum is not None]
    if len(said) > 1 and len(set(said)) == 1:
        return said[0]
    return next(filter(available, said), Algorithm.CRC32C)


def _said(info: ObjectInfo, algorithm: Algorithm) -> Checksum | None:
    checksum = info.checksum
    return checksum if checksum is not None and checksum.algorithm is algorithm else None


async def _checksum(
    opened: OpenObject, algorithm: Algorithm, meter: Meter | None
) -> Checksum | None:
    info = opened.info
    if (said := _said(info, algorithm)) is not None:
        return said
    with Tally(algorithm, meter) as tally:
        await opened.source(Span(0, info.size)).pour(NullSink(), tally)
        if tally.moved != info.size:
            raise SourceChangedError(f"{info.key} has {tally.moved} bytes, not {info.size}")
        return tally.checksum
