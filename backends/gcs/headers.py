"""What the headers of an answer, or a resource of the JSON API, say of an object: pure reading."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from backends.presigned import version_in
from transfer.checksums import Algorithm, Checksum
from transfer.errors import ProtocolError
from transfer.model import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

_META = "x-goog-meta-"


def checksum_of_headers(headers: Mapping[str, str]) -> Checksum | None:
    """Return the CRC-32C that x-goog-hash tells of the whole object, or of a part just sent."""
    for item in headers.get("x-goog-hash", "").split(","):
        name, _, value = item.strip().partition("=")
        if name == Algorithm.CRC32C:
            return _crc32c(value)
    return None


def info_of_headers(key: str, headers: Mapping[str, str]) -> ObjectInfo:
    """Read the answer to a HEAD; ProtocolError if it has no length."""
    length = headers.get("x-goog-stored-content-length") or headers.get("content-length", "")
    if not length.isdecimal():
        raise ProtocolError(f"{key}: the answer does not say how long the object is")
    return ObjectInfo(
        key,
        int(length),
        version_in(headers),
        _http_time(headers.get("last-modified", "")),
        checksum_of_headers(headers),
        headers.get("content-type"),
    )


def metadata_of_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the object's own metadata."""
    return {
        name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)
    }


def info_of_resource(resource: Mapping[str, Any], key: str | None = None) -> ObjectInfo:
    """Read an object's resource ("Objects" of the JSON API); ProtocolError for what is none."""
    try:
        return ObjectInfo(
            key or str(resource["name"]),
            int(resource["size"]),
            str(resource["generation"]),
            _iso_time(str(resource.get("updated", ""))),
            _crc32c(str(resource.get("crc32c") or "")),
            resource.get("contentType"),
        )
    except (KeyError, TypeError, ValueError):
        raise ProtocolError(f"{key or 'a listing'}: the answer is no object's resource") from None


def resource_of(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the resource that the end of a rewrite tells; ProtocolError if it does not."""
    found = said.get("resource")
    if not isinstance(found, dict):
        raise ProtocolError("the answer to a rewrite tells of no object")
    return found


def _crc32c(text: str) -> Checksum | None:
    try:
        return Checksum.from_base64(Algorithm.CRC32C, text)
    except ValueError:
        return None


def _http_time(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except ValueError:
        return None


def _iso_time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
