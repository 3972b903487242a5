"""Multipart uploads to Azure: blocks, and the list that makes a blob of them.

Limits since version 2019-12-12 of the service: "Scalability and performance targets
for Blob storage". There is no call that gives an upload up: its blocks are seen by
nobody and expire a week after the last one. Abort marks it, so that no process goes
on with it or completes it; blocks of the same blob that belong to others stay.
Whoever completes an upload drops all blocks that wait below its name: the uploads of
others are then gone, which they notice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from backends.azure.blocks import GIVEN_UP, OPEN, Ticket, matching_length, named
from backends.azure.documents import block_list, commitment
from backends.azure.errors import InTheWayError
from backends.azure.requests import MARK, blob_path, block_path, content_headers, md5_header
from backends.error_documents import refused_overwrite
from backends.spool import at_hand
from transfer.errors import (
    ExistsError,
    IntegrityError,
    NotFoundError,
    TemporaryError,
    TransferError,
    UploadGoneError,
)
from transfer.model import PartLimits, Receipt, Upload
from transfer.review import review
from transfer.sizes import MIB
from transfer.sources import checksum_of_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.azure.container import AzureContainer
    from backends.azure.copies import AzureCopies
    from transfer.checksums import Checksum
    from transfer.model import Expected, Intent, ObjectInfo, Part
    from transfer.store import Source
    from transfer.tally import Tally

_BLOCKS = 50_000
_LARGEST = 4000 * MIB
LIMITS = PartLimits(min_size=1, max_size=_LARGEST, max_count=_BLOCKS, max_object=_BLOCKS * _LARGEST)
# What MLflow waits for a call to Azure.
_PATIENCE = 600.0


class AzureParts:
    """Multipart uploads; the id of an `Upload` is a `Ticket`, an ETag the id of a block."""

    limits = LIMITS
    resumable = True

    def __init__(self, container: AzureContainer, copies: AzureCopies) -> None:
        self._container = container
        self._copies = copies

    async def create(self, key: str, intent: Intent) -> Upload:
        """Put the block that stands for the upload: so access and container are known to do."""
        # What cannot be metadata is refused now, not when all parts have arrived.
        content_headers(key, intent.content_type, intent.metadata)
        ticket = Ticket(
            intent.nonce, content_type=intent.content_type, metadata=dict(intent.metadata)
        )
        try:
            await self._mark(key, ticket, OPEN)
        except InTheWayError as error:
            ticket = await self._beside_others(key, ticket, error)
        algorithm = self._container.algorithm if intent.algorithm is not None else None
        return Upload(key, ticket.id, intent.size, intent.part_size, algorithm)

    async def _beside_others(self, key: str, ticket: Ticket, error: InTheWayError) -> Ticket:
        """Open an upload with ids as long as those of the blocks that are there already."""
        what = f"see what is in the way of {self._container.url}/{key}"
        path = blob_path(self._container.container, key, "comp=blocklist&blocklisttype=all")
        waiting, committed = block_list(await self._container.read(what, path))
        length = matching_length(waiting or committed)
        if length is None:
            raise error
        other = Ticket(ticket.nonce, length, ticket.content_type, ticket.metadata)
        await self._mark(key, other, OPEN)
        return other

    async def _mark(self, key: str, ticket: Ticket, state: bytes) -> None:
        what = f"open an upload to {self._container.url}/{key}"
        path = block_path(self._container.container, key, ticket.marker)
        await self._container.ask(what, "PUT", path, body=state)

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Put Block, with a Content-MD5 if the upload has one for each part, or a copy."""
        copied = await self._copies.part(upload, part, source, tally)
        if copied is not None:
            return copied
        if upload.algorithm is None:
            return await self._send(upload, part, source, tally)
        async with at_hand(source) as near:
            checksum = await checksum_of_source(near, upload.algorithm)
            return await self._send(upload, part, near, tally, checksum)

    async def _send(
        self,
        upload: Upload,
        part: Part,
        source: Source,
        tally: Tally,
        checksum: Checksum | None = None,
    ) -> Receipt:
        container = self._container
        block = Ticket.parse(upload.id).block(part.number)
        what = f"write part {part.number} of {container.url}/{upload.key}"
        path = block_path(container.container, upload.key, block)
        await container.ask(what, "PUT", path, md5_header(checksum), source=source, tally=tally)
        return Receipt(part.number, part.span.size, block, tally.checksum)

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given: its blocks are there for a week."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """Get Block List, without the blocks of others; each attempt of a part that arrived."""
        del reread
        container = self._container
        ticket = Ticket.parse(upload.id)
        what = f"list the parts of {container.url}/{upload.key}"
        path = blob_path(
            container.container, upload.key, "comp=blocklist&blocklisttype=uncommitted"
        )
        try:
            waiting, _ = block_list(await container.read(what, path))
        except NotFoundError as error:
            raise UploadGoneError(error.message, hint=error.hint) from None
        try:
            return ticket.parts(waiting)
        except UploadGoneError as error:
            raise UploadGoneError(f"{what}: {error.message}") from None

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Review, Put Block List, and a look at the blob, which decides where that was unclear.

        Where the service has compared each part, the checksum of all is proved.
        """
        proved: Checksum | None = None
        try:
            proved = await self._commit(upload, receipts, expected)
        except (ExistsError, UploadGoneError, TemporaryError) as error:
            mark = Ticket.parse(upload.id).nonce
            info = await self._container.find_own(upload.key, mark, error)
        else:
            info = await self._container.stat(upload.key)
        if expected.size is not None and info.size != expected.size:
            raise IntegrityError(
                f"{self._container.url}/{upload.key} has {info.size} bytes,"
                f" {expected.size} were sent"
            )
        # The MD5 that the blob has now is the one we said: the service has not compared it.
        return replace(info, checksum=proved if upload.algorithm else None)

    async def abort(self, upload: Upload) -> None:
        """Mark the upload as given up; one that is gone is fine."""
        try:
            await self.sent(upload)
        except UploadGoneError:
            return
        await self._mark(upload.key, Ticket.parse(upload.id), GIVEN_UP)

    async def _commit(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> Checksum | None:
        container = self._container
        ticket = Ticket.parse(upload.id)
        arrived = await self.sent(upload)
        chosen = named(receipts, arrived)
        ids = {receipt.etag for receipt in chosen}
        listed = [block for block in arrived if block.etag in ids]
        checksum = review(upload, chosen, listed, expected)
        headers = content_headers(
            upload.key, ticket.content_type, {**ticket.metadata, MARK: ticket.nonce}
        )
        if whole := md5_header(expected.checksum):
            headers["x-ms-blob-content-md5"] = whole["Content-MD5"]
        if expected.no_clobber:
            headers["If-None-Match"] = "*"
        what = f"complete {container.url}/{upload.key}"
        path = blob_path(container.container, upload.key, "comp=blocklist")
        body = commitment(receipt.etag for receipt in chosen)
        try:
            await container.ask(what, "PUT", path, headers, body=body, patience=_PATIENCE)
        except TransferError as error:
            raise refused_overwrite(error) if expected.no_clobber else error from None
        return checksum
