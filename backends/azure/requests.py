"""Paths, queries and headers of the Blob REST API: values only.

Names are percent-encoded once, here; nothing later encodes them again. What a SAS
signs are the names as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from transfer.checksums import Algorithm
from transfer.content_types import content_type_of
from transfer.errors import BadKeyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.checksums import Checksum
    from transfer.model import Intent

# Our own name for an upload, in the blob's metadata: after an ambiguous answer it
# tells our blob from anybody else's. Azure's names are identifiers of C#.
MARK = "transfer_upload"
_MAX_NAME = 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def container_path(container: str, **query: str | None) -> str:
    """Return the path of a container, with those parts of a query that are not None."""
    said = {name: value for name, value in query.items() if value is not None}
    path = f"/{quote(container, safe='$')}"
    return f"{path}?{urlencode(said, quote_via=quote)}" if said else path


def blob_path(container: str, key: str, query: str = "") -> str:
    """Return the path of a blob; `query` is encoded. BadKeyError for what cannot be a name."""
    try:
        name = quote(key, safe="/~", errors="strict")
    except UnicodeEncodeError:
        raise BadKeyError(f"{key!a} is not valid Unicode: Azure has no such blob") from None
    if not 0 < len(key) <= _MAX_NAME:
        raise BadKeyError(f"the name of a blob has 1 to {_MAX_NAME} characters, not {len(key)}")
    path = f"{container_path(container)}/{name}"
    return f"{path}?{query}" if query else path


def block_path(container: str, key: str, block_id: str) -> str:
    """Return where a block is put."""
    return blob_path(container, key, f"comp=block&blockid={quote(block_id, safe='')}")


def put_headers(key: str, intent: Intent) -> dict[str, str]:
    """Return the headers of Put Blob."""
    mark = {MARK: intent.nonce} if intent.no_clobber else {}
    return {
        "x-ms-blob-type": "BlockBlob",
        **content_headers(key, intent.content_type, {**intent.metadata, **mark}),
        **({"If-None-Match": "*"} if intent.no_clobber else {}),
        **md5_header(intent.checksum),
    }


def content_headers(
    key: str, content_type: str | None, metadata: Mapping[str, str]
) -> dict[str, str]:
    """Return what a blob is given beside its content; UsageError for what it cannot have."""
    content_type = content_type or content_type_of(key)
    if content_type and not (content_type.isascii() and content_type.isprintable()):
        raise UsageError(f"{content_type[:60]!a} is no content type")
    headers = {f"x-ms-meta-{name}": value for name, value in metadata.items()}
    for name, value in metadata.items():
        if not _IDENTIFIER.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise UsageError(
                f"{name!a} cannot be metadata of a blob",
                hint="Azure takes letters, digits and _ in names, and ASCII in values",
            )
    return headers | ({"x-ms-blob-content-type": content_type} if content_type else {})


def md5_header(checksum: Checksum | None) -> dict[str, str]:
    """Return the header by which the service compares what it gets."""
    if checksum is None or checksum.algorithm is not Algorithm.MD5:
        return {}
    return {"Content-MD5": checksum.base64}
