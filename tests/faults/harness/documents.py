"""The XML of S3, out and in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote_plus
from xml.etree import ElementTree as ET

from tests.faults.harness.digests import ALGORITHMS, is_valid
from tests.faults.harness.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ELEMENTS = {f"Checksum{name.upper()}": name for name in ALGORITHMS}


def element(name: str, *content: object) -> str:
    """Return an element; text is escaped, elements made by this function are not."""
    inner = "".join(one if isinstance(one, _Made) else escape(str(one)) for one in content)
    return _Made(f"<{name}>{inner}</{name}>")


class _Made(str):
    """Text that is XML already."""

    __slots__ = ()


def fields(values: Mapping[str, object]) -> Iterable[str]:
    """Return one element for each value that is not None; truth is `true` and `false`."""
    return [
        element(name, str(value).lower() if isinstance(value, bool) else value)
        for name, value in values.items()
        if value is not None
    ]


def document(root: str, *content: str) -> bytes:
    """Return a document with its namespace."""
    inner = "".join(content)
    return f'{_DECLARATION}<{root} xmlns="{NAMESPACE}">{inner}</{root}>'.encode()


def error_document(refusal: Refusal, request_id: str, resource: str) -> bytes:
    """Return the body of an error."""
    values = {"Code": refusal.code, "Message": refusal.message, **refusal.details}
    values |= {"Resource": resource, "RequestId": request_id, "HostId": "strict"}
    return f"{_DECLARATION}<Error>{''.join(fields(values))}</Error>".encode()


def escape(text: str) -> str:
    """Escape markup, and what XML cannot hold, as S3 does: by number, allowed or not."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = text.replace('"', "&quot;")
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: f"&#x{ord(match[0]):x};", text)


def url_encoded(text: str, encoding: str | None) -> str:
    """Return a key as a listing with this encoding-type has it."""
    return quote_plus(text, safe="/*-._") if encoding == "url" else text


@dataclass(frozen=True)
class NamedPart:
    """A part as a Complete names it."""

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


def parts_named(body: bytes) -> list[NamedPart]:
    """Read the parts of a CompleteMultipartUpload; raises Refusal."""
    try:
        root = None if b"<!" in body else ET.fromstring(body)
    except ET.ParseError:
        root = None
    if root is None or _local(root.tag) != "CompleteMultipartUpload":
        raise _malformed_xml()
    parts = [_part(item) for item in root]
    if not parts:
        raise Refusal("InvalidRequest", "You must specify at least one part")
    return parts


def _part(item: ET.Element) -> NamedPart:
    values = {_local(child.tag): (child.text or "").strip() for child in item}
    number = values.pop("PartNumber", "")
    etag = values.pop("ETag", "")
    if _local(item.tag) != "Part" or not number.isdecimal() or not etag:
        raise _malformed_xml()
    if set(values) - set(_ELEMENTS):
        raise _malformed_xml()
    checksums = {_ELEMENTS[name]: text for name, text in values.items()}
    if len(checksums) > 1 or not all(is_valid(*pair) for pair in checksums.items()):
        shown = "".join(f"{name.upper()}:{text};" for name, text in checksums.items())
        raise Refusal(
            "InvalidArgument",
            "Invalid Base64 or multiple checksums present in request",
            ArgumentName="Checksum",
            ArgumentValue=shown,
        )
    return NamedPart(int(number), etag.strip('"'), checksums)


def _local(tag: str) -> str:
    return tag.removeprefix("{" + NAMESPACE + "}")


def _malformed_xml() -> Refusal:
    return Refusal(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
