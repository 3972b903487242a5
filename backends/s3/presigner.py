"""Presigned requests for one bucket: what `S3Store` sends itself, and what others may be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.marks import upload_id
from backends.s3 import checksums as s3_checksums
from transfer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.s3.access import Signing
    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo, Part, Upload
    from transfer.store import SignedRequest

_REFUSED_ARGS = ("SSECustomer", "ChecksumAlgorithm", "Checksum")


class S3Presigner:
    """Presigned requests for one bucket, at one address of it, by the keys of now."""

    def __init__(self, signing: Signing, base: str) -> None:
        self._keyring = signing.keyring
        self.requests = signing.requests(base)

    async def sign_part(
        self, upload: Upload, part: Part, checksum: Checksum | None, lifetime: float
    ) -> SignedRequest:
        """Permit UploadPart for one number and length, and content if its checksum is known."""
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        headers = {**self.requests.always, **s3_checksums.header(checksum)}
        if upload.size is not None:
            headers["Content-Length"] = str(part.span.size)
        credentials = await self._keyring.current()
        return self.requests.sign(credentials, "PUT", upload.key, query, headers, lifetime=lifetime)

    async def sign_put(self, key: str, intent: Intent, lifetime: float) -> SignedRequest:
        """Permit PutObject for one length."""
        credentials = await self._keyring.current()
        return self.requests.put(
            credentials, key, intent, size=intent.size, checksum=intent.checksum, lifetime=lifetime
        )

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit GetObject; the answer says the object's checksum, if the store keeps one."""
        return self.requests.read(await self._keyring.current(), info, lifetime)


def check_extra_args(arguments: Mapping[str, object]) -> None:
    """Raise UsageError for arguments that presigned requests cannot carry."""
    for name in arguments:
        if name.startswith(_REFUSED_ARGS):
            raise UsageError(
                f"MLFLOW_S3_UPLOAD_EXTRA_ARGS: {name} does not go together with presigned requests",
                hint="leave it out; parts are checked in other ways",
            )
