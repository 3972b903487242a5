"""One container, as the store and its facet know it: how it is asked, and what a blob is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.azure.documents import FOLDER, md5_of, modified_at
from backends.azure.errors import error_of
from backends.azure.requests import MARK, blob_path
from transfer.errors import NotFoundError, ProtocolError, TransferError
from transfer.model import ObjectInfo
from transfer.sizes import MIB
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.azure.access import Access
    from transfer.checksums import Algorithm
    from transfer.store import Mover, Response, Source, Tls
    from transfer.tally import Tally

# 50,000 blocks, or a thousand of the longest names, take a fraction of it.
_LONGEST_ANSWER = 64 * MIB


class AzureContainer:
    """A container, and what admits to it."""

    def __init__(
        self,
        url: str,
        endpoint: str,
        container: str,
        *,
        mover: Mover,
        access: Access,
        tls: Tls,
        algorithm: Algorithm | None,
    ) -> None:
        self.url = url
        self.endpoint = endpoint
        self.container = container
        self.mover = mover
        self.access = access
        self.tls = tls
        # What the service compares each part by: that costs a second read of it.
        self.algorithm = algorithm

    async def stat(self, key: str) -> ObjectInfo:
        """Get Blob Properties."""
        return (await self.head(key))[0]

    async def head(self, key: str) -> tuple[ObjectInfo, Mapping[str, str]]:
        """Get Blob Properties, with all headers."""
        what = f"look at {self.url}/{key}"
        answer = await self.ask(what, "HEAD", blob_path(self.container, key))
        headers = answer.headers
        if headers.get("x-ms-resource-type") == "directory" or f"x-ms-meta-{FOLDER}" in headers:
            raise NotFoundError(f"{what}: it is a folder")
        if not headers.get("content-length", "").isdecimal():
            raise ProtocolError(f"{what}: the store does not say its size")
        info = ObjectInfo(
            key,
            int(headers["content-length"]),
            headers.get("etag"),
            modified_at(headers.get("last-modified")),
            md5_of(headers.get("content-md5")),
            headers.get("content-type"),
        )
        return info, headers

    async def find_own(self, key: str, mark: str, error: TransferError) -> ObjectInfo:
        """Return the blob if it has this mark of ours, else raise the error there was."""
        try:
            info, headers = await self.head(key)
        except TransferError:
            raise error from None
        if headers.get(f"x-ms-meta-{MARK}") != mark:
            raise error
        return info

    async def ask(
        self,
        what: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        *,
        source: Source | None = None,
        tally: Tally | None = None,
        body: bytes = b"",
        patience: float | None = None,
    ) -> Response:
        """Ask for what `what` says; an answer that is no success is raised."""
        url, own = await self.access.admit(self.endpoint + path)
        request = Request(
            method,
            url,
            {**(headers or {}), **own},
            patience=patience,
            tls=self.tls,
            body=body,
            most=_LONGEST_ANSWER,
        )
        answer = await self.mover.exchange(request, source=source, tally=tally)
        if not answer.ok:
            raise error_of(what, answer)
        return answer

    async def read(self, what: str, path: str) -> bytes:
        """Return a document."""
        return (await self.ask(what, "GET", path)).body
