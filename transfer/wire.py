"""What coordinator and client say to each other, version 1 of the coordinator's own API.

Both sides use these classes: the server takes and returns them, the client
validates what it is told with the same code. Unknown fields are errors, so that
a misunderstanding shows at once; `transfer_api` in `server-info` says which
version is spoken. Checksums are "algorithm:base64", times are seconds.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, PlainSerializer

from transfer.checksums import Algorithm, Checksum
from transfer.model import ObjectInfo, PartLimits, Receipt

API_VERSION: Final = 1
API_PATH: Final = "/api/transfer/1"
SERVER_INFO_PATH: Final = "/api/3.0/mlflow/server-info"
CHECKSUM_HEADER: Final = "x-transfer-checksum"
MAX_BATCH: Final = 1000


def _checksum(value: object) -> object:
    return Checksum.parse(value) if isinstance(value, str) else value


WireChecksum = Annotated[
    Checksum,
    BeforeValidator(_checksum, json_schema_input_type=str),
    PlainSerializer(str, return_type=str),
]
Key = Annotated[str, Field(min_length=1, max_length=1024)]
Number = Annotated[int, Field(ge=1, le=1_000_000)]
Size = Annotated[int, Field(ge=0)]


class Wire(BaseModel):
    """Root of all messages."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )


class Nothing(Wire):
    """An answer without content."""


class WireLimits(Wire):
    """The destination's part limits."""

    min_size: int
    max_size: int
    max_count: int
    max_object: int
    granularity: int

    @classmethod
    def from_limits(cls, limits: PartLimits) -> WireLimits:
        """Take over what a store says."""
        return cls(
            min_size=limits.min_size,
            max_size=limits.max_size,
            max_count=limits.max_count,
            max_object=limits.max_object,
            granularity=limits.granularity,
        )

    def to_limits(self) -> PartLimits:
        """Return what a planner takes."""
        return PartLimits(
            self.min_size, self.max_size, self.max_count, self.max_object, self.granularity
        )


class Capabilities(Wire):
    """What the coordinator's destination can do; `limits` None: no multipart."""

    limits: WireLimits | None
    max_put: int
    prefix: str = ""
    read_only: bool = False


class NewUpload(Wire):
    """Open an upload; the same `request_id` again returns the same upload.

    `algorithm` is what the sender would have each part checked by.
    """

    request_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    key: Key
    size: Size
    part_size: Annotated[int, Field(ge=1)]
    content_type: str | None = None
    metadata: dict[str, str] = {}
    no_clobber: bool = False
    algorithm: Algorithm | None = None


class OpenUpload(Wire):
    """An open upload; `epoch` goes with every further request about it.

    `algorithm` is what the store checks parts by, if their URLs are bound to it.
    """

    id: str
    key: str
    size: int | None
    part_size: int | None
    epoch: int
    algorithm: Algorithm | None = None


class WireReceipt(Wire):
    """A part as its sender saw it arrive."""

    number: Number
    size: Size
    etag: Annotated[str, Field(max_length=1024)]
    checksum: WireChecksum | None = None

    @classmethod
    def from_receipt(cls, receipt: Receipt) -> WireReceipt:
        """Take over a receipt."""
        return cls(
            number=receipt.number,
            size=receipt.size,
            etag=receipt.etag,
            checksum=receipt.checksum,
        )

    def to_receipt(self) -> Receipt:
        """Return the receipt."""
        return Receipt(self.number, self.size, self.etag, self.checksum)


class SignParts(Wire):
    """Ask for the URLs of some parts; receipts may come along, which saves a request.

    `checksums`, if there are any, are those of the parts, in the same order: the
    URLs are good for these contents only.
    """

    epoch: int
    numbers: Annotated[list[Number], FailFast(), Field(min_length=1, max_length=MAX_BATCH)]
    checksums: Annotated[list[WireChecksum], FailFast(), Field(max_length=MAX_BATCH)] = []
    receipts: Annotated[list[WireReceipt], FailFast(), Field(max_length=10 * MAX_BATCH)] = []


class Signed(Wire):
    """A presigned request: a secret as long as it lives.

    `etag` is what the receipt of a part says where the answer will have none.
    """

    method: str
    url: str
    headers: dict[str, str]
    expires_in: float
    etag: str = ""


class SignedPart(Wire):
    """The permission for one part."""

    number: int
    request: Signed


class SignedParts(Wire):
    """The permissions asked for, in the same order."""

    parts: list[SignedPart]


class ReportParts(Wire):
    """Tell which parts have arrived."""

    epoch: int
    receipts: Annotated[
        list[WireReceipt], FailFast(), Field(min_length=1, max_length=10 * MAX_BATCH)
    ]


class PartList(Wire):
    """The parts that the store itself has, with the checksums that their senders reported."""

    parts: list[WireReceipt]


class CompleteUpload(Wire):
    """Put the object together; receipts reported before need not be repeated."""

    epoch: int
    receipts: Annotated[list[WireReceipt], FailFast(), Field(max_length=1_000_000)] = []
    size: Size
    checksum: WireChecksum | None = None


class AbortUpload(Wire):
    """Give an upload up."""

    epoch: int


class WireObject(Wire):
    """An object as the coordinator knows it."""

    key: str
    size: int
    version: str | None = None
    modified: float | None = None
    checksum: WireChecksum | None = None
    content_type: str | None = None

    @classmethod
    def from_info(cls, info: ObjectInfo, key: str | None = None) -> WireObject:
        """Take over what a store says, under the key that the client knows."""
        return cls(
            key=info.key if key is None else key,
            size=info.size,
            version=info.version,
            modified=info.modified,
            checksum=info.checksum,
            content_type=info.content_type,
        )

    def to_info(self) -> ObjectInfo:
        """Return the object as the engine knows it."""
        return ObjectInfo(
            self.key, self.size, self.version, self.modified, self.checksum, self.content_type
        )


class ObjectPage(Wire):
    """One page of a listing."""

    objects: list[WireObject]
    folders: list[str]
    token: str | None


class NewRead(Wire):
    """Ask to read an object."""

    key: Key


class OpenRead(Wire):
    """The object, and the permission to read ranges of it."""

    object: WireObject
    request: Signed


class NewPut(Wire):
    """Ask to store an object in one go; with a `checksum`, no other content may be stored."""

    key: Key
    size: Size
    content_type: str | None = None
    metadata: dict[str, str] = {}
    no_clobber: bool = False
    checksum: WireChecksum | None = None


class PutDone(Wire):
    """Tell that it was stored, so that the coordinator looks and keeps the checksum."""

    key: Key
    size: Size
    etag: str | None = None
    checksum: WireChecksum | None = None


class Problem(Wire):
    """An error (RFC 9457); `code` is that of our error class."""

    title: str
    status: int
    detail: str
    code: str


class Statistics(Wire):
    """Counters since the start; bytes are those of object bodies only."""

    relayed_in: int
    relayed_out: int
    signed_parts: int
    signed_reads: int
    signed_puts: int
    open_uploads: int
