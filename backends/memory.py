"""Objects in the memory of this process: for tests, and as the contract made plain.

Every rule of the contract is here in its shortest form. Stores opened under one
name share their objects.
"""

from __future__ import annotations

import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transfer.checksums import Algorithm, checksum_of
from transfer.errors import ExistsError, NotFoundError, SourceChangedError, UploadGoneError
from transfer.model import ObjectInfo, Page, PartLimits, Receipt, Span, Traits, Upload
from transfer.review import review
from transfer.sizes import TIB
from transfer.sources import BytesSink, BytesSource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from transfer.model import Expected, Intent, Part
    from transfer.store import Context, OpenObject, Source, Store
    from transfer.tally import Tally

_LIMITS = PartLimits(min_size=1, max_size=TIB, max_count=10_000, max_object=TIB)
_PAGE = 1000


@dataclass(slots=True)
class Shelf:
    """The objects and open uploads of one name."""

    objects: dict[str, tuple[ObjectInfo, bytes]] = field(default_factory=dict)
    uploads: dict[str, dict[int, tuple[Receipt, bytes]]] = field(default_factory=dict)


_SHELVES: dict[str, Shelf] = {}


@asynccontextmanager
async def open_store(root: str, context: Context) -> AsyncIterator[Store]:
    """Open `memory://NAME`."""
    del context
    yield MemoryStore(_SHELVES.setdefault(root, Shelf()), url=root)


class MemoryStore:
    """A dict with manners; `multipart=False` makes it a store that has no parts."""

    signer = None
    leftovers = None

    def __init__(
        self, shelf: Shelf | None = None, *, url: str = "memory://", multipart: bool = True
    ) -> None:
        self.shelf = shelf or Shelf()
        self.url = url
        self.traits = Traits(max_put=TIB, keeps_metadata=True)
        self.parts = MemoryParts(self) if multipart else None

    async def stat(self, key: str) -> ObjectInfo:
        """Look at an object."""
        return self._get(key)[0]

    async def scan(self, prefix: str, token: str | None = None, *, folders: bool = False) -> Page:
        """List keys in order."""
        found: dict[str, ObjectInfo | None] = {}
        for key in sorted(self.shelf.objects):
            if key.startswith(prefix):
                name, slash, _ = key.removeprefix(prefix).partition("/")
                if folders and slash:
                    found[f"{prefix}{name}/"] = None
                else:
                    found[key] = self.shelf.objects[key][0]
        rest = [name for name in found if token is None or name > token]
        page = {name: found[name] for name in rest[:_PAGE]}
        return Page(
            tuple(info for info in page.values() if info is not None),
            tuple(name for name, info in page.items() if info is None),
            rest[_PAGE - 1] if len(rest) > _PAGE else None,
        )

    @asynccontextmanager
    async def open(self, key: str, info: ObjectInfo | None = None) -> AsyncIterator[OpenObject]:
        """Open an object; its bytes do not change under the reader."""
        found, data = self._get(key)
        if info is not None and info.version != found.version:
            raise SourceChangedError(f"{self.url}/{key} was replaced since it was listed")
        yield _Open(found, data)

    async def put(self, key: str, source: Source, intent: Intent, tally: Tally) -> ObjectInfo:
        """Store an object."""
        sink = BytesSink()
        await source.pour(sink, tally)
        return self.store(key, bytes(sink.data), no_clobber=intent.no_clobber)

    async def delete(self, key: str) -> None:
        """Remove an object."""
        self.shelf.objects.pop(key, None)

    def store(self, key: str, data: bytes, *, no_clobber: bool = False) -> ObjectInfo:
        """Put bytes under a key, at once."""
        if no_clobber and key in self.shelf.objects:
            raise ExistsError(f"{self.url}/{key} exists")
        checksum = checksum_of(Algorithm.CRC32C, data)
        info = ObjectInfo(key, len(data), secrets.token_hex(8), time.time(), checksum)
        self.shelf.objects[key] = info, data
        return info

    def _get(self, key: str) -> tuple[ObjectInfo, bytes]:
        try:
            return self.shelf.objects[key]
        except KeyError:
            raise NotFoundError(f"{self.url}/{key} does not exist") from None


class MemoryParts:
    """Uploads in a dict."""

    limits = _LIMITS
    resumable = True

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def create(self, key: str, intent: Intent) -> Upload:
        """Open an upload."""
        upload = Upload(key, secrets.token_hex(8), intent.size, intent.part_size)
        self._store.shelf.uploads[upload.id] = {}
        return upload

    async def send(self, upload: Upload, part: Part, source: Source, tally: Tally) -> Receipt:
        """Keep one part; the last attempt to finish wins."""
        sink = BytesSink()
        await source.pour(sink, tally)
        data = bytes(sink.data)
        checksum = checksum_of(Algorithm.CRC32C, data)
        receipt = Receipt(part.number, len(data), f'"{secrets.token_hex(8)}"', checksum)
        self._uploads(upload)[part.number] = receipt, data
        return replace(receipt, checksum=tally.checksum)

    async def reopen(self, upload: Upload | None, key: str, intent: Intent) -> Upload | None:
        """Go on with the upload given."""
        del key, intent
        return upload

    async def sent(self, upload: Upload, *, reread: bool = False) -> Sequence[Receipt]:
        """List the parts."""
        del reread
        parts = self._uploads(upload)
        return [parts[number][0] for number in sorted(parts)]

    async def complete(
        self, upload: Upload, receipts: Sequence[Receipt], expected: Expected
    ) -> ObjectInfo:
        """Join the parts."""
        parts = self._uploads(upload)
        review(upload, receipts, await self.sent(upload), expected)
        data = b"".join(parts[receipt.number][1] for receipt in receipts)
        info = self._store.store(upload.key, data, no_clobber=expected.no_clobber)
        del self._store.shelf.uploads[upload.id]
        return info

    async def abort(self, upload: Upload) -> None:
        """Drop the parts."""
        self._store.shelf.uploads.pop(upload.id, None)

    def _uploads(self, upload: Upload) -> dict[int, tuple[Receipt, bytes]]:
        try:
            return self._store.shelf.uploads[upload.id]
        except KeyError:
            raise UploadGoneError(f"no upload {upload.id} in {self._store.url}") from None


class _Open:
    def __init__(self, info: ObjectInfo, data: bytes) -> None:
        self.info = info
        self._data = data

    def source(self, span: Span) -> Source:
        return BytesSource(memoryview(self._data)[span.start : span.stop])


if TYPE_CHECKING:
    _store: Store = MemoryStore()
