"""What the coordinator counts: it is how one sees that part bytes pass it by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Totals since the start; bytes are those of object bodies only."""

    relayed_in: int = 0
    relayed_out: int = 0
    signed_parts: int = 0
    signed_reads: int = 0
    signed_puts: int = 0
