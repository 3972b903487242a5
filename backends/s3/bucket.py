"""One bucket, as the store and all its facets know it: how it is asked, and what it has shown.

Some compatibles refuse checksums that they do not know. What was learnt of that
holds for everything that is sent to the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.marks import MARK
from backends.s3 import checksums as s3_checksums
from backends.s3.control import S3Control, modified
from backends.s3.copies import S3Copies
from backends.s3.errors import error_of_answer
from backends.s3.presigner import S3Presigner
from backends.s3.requests import CHECKSUM_MODE
from transfer.errors import NotFoundError, TransferError, UnavailableError
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.s3.access import Access
    from transfer.checksums import Algorithm
    from transfer.model import Intent
    from transfer.store import Mover, Response

_META = "x-amz-meta-"


class S3Bucket:
    """A bucket, with the credentials for it.

    `refuses_checksums` and `confirmed` are what was learnt: that it takes no
    checksums, that it has answered with one.
    """

    def __init__(self, name: str, access: Access, mover: Mover) -> None:
        self.bucket = name
        self.control = S3Control(access, mover)
        self.mover = mover
        self.signing = access.signing
        self.url = f"s3://{name}"
        self.presigner = S3Presigner(access.signing, access.base)
        self.copies = S3Copies(self.control, access)
        self.refuses_checksums = False
        self.confirmed = False

    async def stat(self, key: str) -> ObjectInfo:
        """HeadObject."""
        return (await self.head(key))[0]

    async def head(self, key: str) -> tuple[ObjectInfo, Mapping[str, str]]:
        """HeadObject, with the metadata."""
        what = f"look at {self.url}/{key}"
        try:
            answer = await self.control.ask(what, "HEAD", key, headers=CHECKSUM_MODE)
        except NotFoundError:
            # The answer to a HEAD has no body that would say so.
            raise NotFoundError(f"{self.url}/{key} does not exist") from None
        said = answer.headers
        length = said.get("content-length", "")
        if not length.isdecimal():
            raise UnavailableError(f"{what}: the answer does not say how long it is")
        info = ObjectInfo(
            key,
            int(length),
            version_of(said.get("etag")),
            modified(said),
            s3_checksums.of_headers(said),
            content_type=said.get("content-type"),
        )
        return info, {n.removeprefix(_META): v for n, v in said.items() if n.startswith(_META)}

    async def find_own(self, key: str, mark: str, error: TransferError) -> ObjectInfo:
        """Return the object if it has this mark of ours, else raise the error there was."""
        try:
            info, metadata = await self.head(key)
        except TransferError:
            raise error from None
        if metadata.get(MARK) != mark:
            raise error
        return info

    def checksumming(self, intent: Intent) -> Algorithm | None:
        """Return what the sender's parts should be checked by, if it can give that."""
        if self.refuses_checksums or intent.algorithm is None:
            return None
        return s3_checksums.chosen(self.signing.settings.s3_checksum)

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error of an answer of the data path."""
        return error_of_answer(what, answer.status, answer.headers, answer.body)


def version_of(etag: str | None) -> str | None:
    """Return an ETag as a version, always in quotes; some compatibles give an empty one.

    Listings of theirs leave the quotes out, their answers to HEAD do not.
    """
    bare = (etag or "").strip('"')
    if not bare:
        return None
    return etag if bare.startswith("W/") else f'"{bare}"'
