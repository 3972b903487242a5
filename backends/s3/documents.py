"""The XML of S3's control calls, read and written.

Namespaces are ignored: compatibles have their own. A document is read into plain
dictionaries of its elements' texts, which is all the depth that these have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from transfer.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Document:
    """An answer, taken apart; UnavailableError if it is no such document.

    The name of its root is known by its beginning: compatibles differ in the end.
    """

    def __init__(self, what: str, body: bytes, root: str) -> None:
        try:
            self._root = ET.fromstring(body.strip())  # noqa: S314 - expat bounds entities
        except ET.ParseError:
            raise UnavailableError(f"{what}: the answer cannot be read") from None
        if not _name(self._root).startswith(root):
            raise UnavailableError(f"{what}: the answer is {_name(self._root)[:40]!a}")
        self.fields = _fields(self._root)

    def items(self, name: str) -> Iterator[dict[str, str]]:
        """Yield the fields of each element of a name."""
        return (_fields(child) for child in self._root if _name(child) == name)


def decoded(key: str, document: Document) -> str:
    """Return a key of a listing: as it was asked for, its characters may be percent-encoded."""
    return unquote_plus(key) if document.fields.get("EncodingType") == "url" else key


def is_error(body: bytes) -> bool:
    """Tell whether an answer that claims success holds an error, as Complete's may."""
    return b"<Error" in body[:1000] and b"<Code>" in body


def parts_document(parts: Iterable[Mapping[str, str | int]]) -> bytes:
    """Return the body of CompleteMultipartUpload."""
    document = ET.Element(
        "CompleteMultipartUpload", xmlns="http://s3.amazonaws.com/doc/2006-03-01/"
    )
    for part in parts:
        element = ET.SubElement(document, "Part")
        for name, value in part.items():
            ET.SubElement(element, name).text = str(value)
    return ET.tostring(document)


def _fields(element: ET.Element) -> dict[str, str]:
    return {_name(child): child.text or "" for child in element}


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
