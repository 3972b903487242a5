"""One request under way, and its line in the store's log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.faults.harness.http1 import decoded
from tests.faults.harness.integrity import Received, receive
from tests.faults.harness.refusals import NOT_IMPLEMENTED, Refusal, no_such_upload

if TYPE_CHECKING:
    from tests.faults.harness.http1 import Body, Request
    from tests.faults.harness.shelf import Shelf, Upload
    from tests.faults.harness.strict_store import StrictStore


@dataclass
class Entry:
    """What was asked for and what came of it.

    `status` and `code` are what the client was told (0: nothing), `did` is the
    status of what was really done (0: nothing was even tried); `lied` names the
    lies that had a hand in it. `received` and `sent` count bytes of bodies.
    """

    number: int
    operation: str
    bucket: str = ""
    key: str = ""
    part: int | None = None
    upload_id: str | None = None
    status: int = 0
    code: str = ""
    did: int = 0
    received: int = 0
    sent: int = 0
    began: float = 0.0
    ended: float | None = None
    connection: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lied: list[str] = field(default_factory=list)


UNKNOWN = "Unknown"
# What each operation is asked with, apart from its signature.
PARAMETERS: dict[str, set[str]] = {
    "HeadBucket": set(),
    "GetBucketLocation": {"location"},
    "ListObjectsV2": {
        *("list-type", "prefix", "delimiter", "continuation-token", "start-after"),
        *("max-keys", "encoding-type", "fetch-owner"),
    },
    "ListMultipartUploads": {
        *("uploads", "prefix", "delimiter", "key-marker", "upload-id-marker"),
        *("max-uploads", "encoding-type"),
    },
    "PutObject": set(),
    "GetObject": {
        *("response-content-type", "response-content-language", "response-expires"),
        *("response-cache-control", "response-content-disposition", "response-content-encoding"),
    },
    "HeadObject": set(),
    "DeleteObject": set(),
    "CreateMultipartUpload": {"uploads"},
    "UploadPart": {"partNumber", "uploadId"},
    "ListParts": {"uploadId", "part-number-marker", "max-parts"},
    "CompleteMultipartUpload": {"uploadId"},
    "AbortMultipartUpload": {"uploadId"},
}
_KNOWN_HEADERS = re.compile(
    r"x-amz-(date|content-sha256|security-token|expected-bucket-owner|request-payer|user-agent"
    r"|meta-.+|checksum-.+|sdk-checksum-algorithm|trailer|decoded-content-length|mp-object-size"
    r"|acl|storage-class|tagging|server-side-encryption|server-side-encryption-aws-kms-key-id)"
)
OWNER = "111122223333"


@dataclass
class Exchange:
    """What handlers and lies are given.

    `payload` is what the signature says of the body, `range` what is read: lies may
    change the latter, the signed header stays.
    """

    store: StrictStore
    request: Request
    body: Body
    entry: Entry
    operation: str
    bucket: str
    key: str
    payload: str = ""
    range: str | None = None

    @property
    def shelf(self) -> Shelf:
        """What the store keeps."""
        return self.store.shelf

    @property
    def now(self) -> float:
        """The store's own time."""
        return self.store.now()

    async def receive(self, largest: int, *, checksums: bool = True) -> Received:
        """Read the body and check what is claimed of it.

        `checksums` False: x-amz-checksum-* speaks of something else than this body.
        """
        personality = self.store.personality
        if not checksums:
            personality = personality.but(checksums=False)
        return await receive(self.request, self.body, self.payload, personality, largest)

    def upload(self) -> Upload:
        """Return the upload that the request is about; raises Refusal."""
        found = self.shelf.uploads.get(self.entry.upload_id or "")
        if found is None or (found.bucket, found.key) != (self.bucket, self.key):
            raise no_such_upload(self.entry.upload_id or "")
        return found

    def check(self) -> None:
        """Raise Refusal for what no request may be, and for what this store does not know."""
        if self.operation == UNKNOWN:
            sentence = f"the strict store does not know {self.request.method} {self.request.target}"
            raise Refusal("NotImplemented", sentence)
        if self.bucket not in self.shelf.buckets:
            sentence = "The specified bucket does not exist"
            raise Refusal("NoSuchBucket", sentence, BucketName=self.bucket)
        if len(self.key.encode("utf-8", "surrogateescape")) > 1024:
            raise Refusal("KeyTooLongError", "Your key is too long", MaxSizeAllowed=1024)
        if any("\udc80" <= char <= "\udcff" for char in self.key):
            raise Refusal("InvalidURI", "Couldn't parse the specified URI.")
        owner = self.request.header("x-amz-expected-bucket-owner")
        if owner is not None and owner != OWNER:
            raise Refusal("AccessDenied", "Access Denied")
        for name, _ in self.request.query:
            plain = decoded(name)
            known = plain in PARAMETERS[self.operation] or plain == "x-id"
            if not known and not plain.startswith("X-Amz-"):
                sentence = f"the strict store does not know ?{plain} of {self.operation}"
                raise Refusal("NotImplemented", sentence)
        for name, _ in self.request.headers:
            if name.startswith("x-amz-") and not _KNOWN_HEADERS.fullmatch(name):
                raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header=name)


def operation_of(request: Request, key: str) -> str:
    """Return the name of the operation that a method and a query ask for, or UNKNOWN."""
    flags = {decoded(name) for name, _ in request.query}
    if not key:
        return _bucket_operation(request, flags)
    if request.method == "PUT":
        return "UploadPart" if {"partNumber", "uploadId"} & flags else "PutObject"
    if request.method == "POST" and "uploads" in flags:
        return "CreateMultipartUpload"
    if request.method == "POST" and "uploadId" in flags:
        return "CompleteMultipartUpload"
    if request.method == "GET":
        return "ListParts" if "uploadId" in flags else "GetObject"
    if request.method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in flags else "DeleteObject"
    return "HeadObject" if request.method == "HEAD" else UNKNOWN


def _bucket_operation(request: Request, flags: set[str]) -> str:
    if request.method == "HEAD":
        return "HeadBucket"
    if request.method == "GET" and "uploads" in flags:
        return "ListMultipartUploads"
    if request.method == "GET" and "location" in flags:
        return "GetBucketLocation"
    listing = request.method == "GET" and request.param("list-type") == "2"
    return "ListObjectsV2" if listing else UNKNOWN
