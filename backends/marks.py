"""Our own name for what we store, in its metadata.

After an answer that was lost, it tells our object from anybody else's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.errors import UploadGoneError

if TYPE_CHECKING:
    from transfer.model import Upload

MARK = "transfer-upload"
# It begins the id of an `Upload`.
MARK_LENGTH = 32


def upload_id(upload: Upload) -> str:
    """Return the store's own id of an upload; UploadGoneError for what cannot be one."""
    if len(upload.id) <= MARK_LENGTH:
        raise UploadGoneError(f"{upload.id!r} is no upload of this store")
    return upload.id[MARK_LENGTH:]
