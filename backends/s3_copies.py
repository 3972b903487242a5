"""Copies that S3 makes by itself, from one of its objects to another: no byte comes here.

Tried where both ends are at one endpoint with one set of credentials. A store
that has no copies, or does not let these credentials read the source from where
the target is, is not asked again: then the bytes are moved.

Source: UploadPartCopy, CopyObject in the Amazon S3 API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from backends import s3_checksums
from backends.s3_client import COMPLETE_PATIENCE, sdk_errors
from backends.s3_presigner import upload_id
from transfer.errors import (
    AccessError,
    PreconditionError,
    RejectedError,
    SourceChangedError,
    UnsupportedError,
)
from transfer.model import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CopySourceTypeDef

    from backends.s3_presigner import Signing
    from transfer.model import Intent, Part, Upload
    from transfer.store import Origin, Source
    from transfer.tally import Tally


class ServerCopies:
    """Server-side copies to one bucket; `realm` is what a source must be in."""

    def __init__(self, client: S3Client, signing: Signing) -> None:
        self._client = client
        self._has_extra_args = bool(signing.settings.s3_extra_args)
        self.realm = f"s3 {signing.settings.s3_endpoint_url or 'aws'}"
        self._refused = False

    async def part(
        self, names: Mapping[str, Any], upload: Upload, part: Part, source: Source, tally: Tally
    ) -> Receipt | None:
        """UploadPartCopy; None if the bytes have to be moved."""
        origin = self._usable(source)
        if origin is None:
            return None
        what = f"copy part {part.number} of {upload.key}"
        arguments = {
            "CopySourceRange": f"bytes={origin.span.start}-{origin.span.stop - 1}",
            "PartNumber": part.number,
            "UploadId": upload_id(upload),
        }
        answer = await self._ask("upload_part_copy", what, names, origin, arguments)
        if answer is None:
            return None
        tally.skip(part.span.size)
        result = answer.get("CopyPartResult", {})
        checksum = s3_checksums.of_fields(result)
        return Receipt(part.number, part.span.size, result.get("ETag", ""), checksum)

    async def put(
        self, names: Mapping[str, Any], source: Source, intent: Intent, tally: Tally
    ) -> bool:
        """CopyObject; tell whether it could be done.

        It keeps the metadata of the source, and replaces what is there: where
        other metadata or a condition are asked for, the bytes are moved.
        """
        origin = self._usable(source)
        if origin is None or origin.span.start or intent.no_clobber or intent.metadata:
            return False
        if self._has_extra_args or origin.span.size != intent.size:
            return False
        answer = await self._ask("copy_object", f"copy to {names['Key']}", names, origin, {})
        if answer is None:
            return False
        tally.skip(origin.span.size)
        return True

    def _usable(self, source: Source) -> Origin | None:
        origin = source.origin
        if origin is None or origin.realm != self.realm or self._refused or not origin.span.size:
            return None
        # Without a version, parts of two objects could come together.
        return origin if origin.version else None

    async def _ask(
        self,
        method: str,
        what: str,
        names: Mapping[str, Any],
        origin: Origin,
        arguments: Mapping[str, Any],
    ) -> Mapping[str, Any] | None:
        bucket, _, key = origin.place.partition("/")
        place: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        call = getattr(self._client, method)
        condition = {"CopySource": place, "CopySourceIfMatch": origin.version}
        try:
            with sdk_errors(what, COMPLETE_PATIENCE):
                answer = await call(**names, **condition, **arguments)
                # Some compatibles ignore the condition.
                found = await self._client.head_object(**{**names, **place})
        except PreconditionError:
            raise _replaced(origin) from None
        except (AccessError, RejectedError, UnsupportedError):
            self._refused = True
            return None
        if found["ETag"] != origin.version:
            raise _replaced(origin)
        return cast("Mapping[str, Any]", answer)


def _replaced(origin: Origin) -> SourceChangedError:
    return SourceChangedError(f"s3://{origin.place} was replaced while it was copied")


def place_of(bucket: str, key: str) -> str:
    """Return how S3 calls an object in a copy."""
    return f"{bucket}/{key}"
