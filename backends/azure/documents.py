"""The XML that Azure Blob Storage answers with, and the list of blocks that it is sent.

Source: "List Blobs", "Get Block List", "Put Block List" and "Get User Delegation Key"
of the Azure Storage REST reference. What is no such document is a ProtocolError.
"""

from __future__ import annotations

from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from backends.azure.blocks import Block
from transfer.checksums import Algorithm, Checksum
from transfer.errors import ProtocolError
from transfer.model import ObjectInfo, Page

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from xml.etree.ElementTree import Element

# What signs a delegated SAS, and how its fields are called there.
_DELEGATION = {
    "skoid": "SignedOid",
    "sktid": "SignedTid",
    "skt": "SignedStart",
    "ske": "SignedExpiry",
    "sks": "SignedService",
    "skv": "SignedVersion",
}

# In the metadata of what Hadoop's driver has made as a folder.
FOLDER = "hdi_isfolder"


def listing(body: bytes) -> Page:
    """Read an answer to List Blobs; folders are no objects."""
    with _documents("a listing"):
        root = _root(body, "EnumerationResults")
        objects = tuple(
            _object(blob)
            for blob in root.iterfind("Blobs/Blob")
            if blob.findtext("Properties/ResourceType") != "directory"
            and blob.find(f"Metadata/{FOLDER}") is None
        )
        folders = tuple(_name(prefix) for prefix in root.iterfind("Blobs/BlobPrefix"))
        return Page(objects, folders, root.findtext("NextMarker") or None)


def block_list(body: bytes) -> tuple[list[Block], list[Block]]:
    """Read an answer to Get Block List: the blocks that wait, and those of the blob."""
    with _documents("a list of blocks"):
        root = _root(body, "BlockList")
        return _blocks(root, "UncommittedBlocks"), _blocks(root, "CommittedBlocks")


def commitment(ids: Iterable[str]) -> bytes:
    """Return the body of Put Block List: blocks that wait, and no others."""
    chosen = "".join(f"<Uncommitted>{block_id}</Uncommitted>" for block_id in ids)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{chosen}</BlockList>'.encode()


def delegation(body: bytes) -> tuple[dict[str, str], str]:
    """Read an answer to Get User Delegation Key: its fields in a SAS, and the key in base64."""
    with _documents("a key"):
        root = _root(body, "UserDelegationKey")
        return {name: _text(root, tag) for name, tag in _DELEGATION.items()}, _text(root, "Value")


def modified_at(text: str | None) -> float | None:
    """Return a Last-Modified in seconds since 1970."""
    return parsedate_to_datetime(text).timestamp() if text else None


def md5_of(text: str | None) -> Checksum | None:
    """Return the MD5 that a blob has as a property, if it is one."""
    try:
        return Checksum.from_base64(Algorithm.MD5, text) if text else None
    except ValueError:
        return None


def _root(body: bytes, tag: str) -> Element:
    """A page of somebody in between is not an empty listing."""
    root: Element = fromstring(body)
    if root.tag != tag:
        raise ValueError
    return root


def _object(blob: Element) -> ObjectInfo:
    properties = blob.find("Properties")
    if properties is None:
        raise ValueError
    etag = properties.findtext("Etag")
    return ObjectInfo(
        _name(blob),
        int(_text(properties, "Content-Length")),
        # As in headers, where it has quotes.
        f'"{etag.strip(chr(34))}"' if etag else None,
        modified_at(properties.findtext("Last-Modified")),
        md5_of(properties.findtext("Content-MD5")),
        properties.findtext("Content-Type") or None,
    )


def _name(item: Element) -> str:
    """Names that XML cannot hold are percent-encoded, and say so."""
    name = item.find("Name")
    if name is None:
        raise ValueError
    text = name.text or ""
    return unquote(text) if name.get("Encoded") == "true" else text


def _blocks(root: Element, kind: str) -> list[Block]:
    return [
        Block(_text(block, "Name"), int(_text(block, "Size")))
        for block in root.iterfind(f"{kind}/Block")
    ]


def _text(item: Element, tag: str) -> str:
    text = item.findtext(tag)
    if text is None:
        raise ValueError
    return text


@contextmanager
def _documents(what: str) -> Generator[None]:
    try:
        yield
    except (ParseError, DefusedXmlException, ValueError):
        raise ProtocolError(f"the store answered what is not {what}") from None
