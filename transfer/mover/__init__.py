"""The byte path: HTTP exchanges between sources, sinks and servers."""

from __future__ import annotations

from transfer.mover.threads import open_mover

__all__ = ["open_mover"]
