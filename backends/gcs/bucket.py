"""One bucket, as the store and its facet know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.gcs.presigner import GcsPresigner

if TYPE_CHECKING:
    from backends.gcs.json_api import JsonApi
    from backends.gcs.presigner import Granter
    from transfer.errors import TransferError
    from transfer.store import Mover, Response


class GcsBucket:
    """A bucket, and what admits to it."""

    def __init__(self, api: JsonApi, mover: Mover, granter: Granter) -> None:
        self.api = api
        self.mover = mover
        self.url = f"gs://{api.bucket}"
        self.presigner = GcsPresigner(granter, f"{api.endpoint}/{api.bucket}")

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error of an answer."""
        return self.api.error(what, answer)
