"""What a WebDAV server lists, read from its XML (RFC 4918 section 9.1).

The XML comes from somebody else: no DTD, no entities, and no path that is not a
plain one. A name is percent-decoded once, and a decoded slash is no separator.
Bytes that are no UTF-8 survive as surrogates, as in names of local files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from transfer.checksums import Checksum
from transfer.errors import BadKeyError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:" xmlns:O="http://owncloud.org/ns"><D:prop><D:resourcetype/>'
    b"<D:getcontentlength/><D:getlastmodified/><D:getetag/><O:checksums/></D:prop></D:propfind>"
)
_DAV = "{DAV:}"
_CHECKSUM = "{http://owncloud.org/ns}checksum"
_ORIGIN = re.compile(r"https?://[^/]*", re.IGNORECASE)
_STATUS = re.compile(r"\s*HTTP/\S+ (\d{3})\b")
_OK = 200
_GONE = {404, 410}


@dataclass(frozen=True, slots=True)
class DavEntry:
    """A file or a folder; `path` is decoded, without slashes at its ends.

    `version` is a strong ETag, `modified` seconds since 1970, `size` None where
    the server does not say it. `failed` is the status that it has instead of properties.
    """

    path: str
    is_folder: bool
    size: int | None = None
    version: str | None = None
    modified: float | None = None
    checksum: Checksum | None = None
    failed: int | None = None

    @property
    def name(self) -> str:
        """The last segment of the path."""
        return self.path.rpartition("/")[2]


def read_multistatus(body: bytes) -> list[DavEntry]:
    """Return what is listed, in the order of the answer; ProtocolError if that is not to be had."""
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError, ValueError):
        raise ProtocolError("a listing that is no safe XML") from None
    if root.tag != f"{_DAV}multistatus":
        raise ProtocolError("a listing that is none of WebDAV")
    return [entry for item in root.iter(f"{_DAV}response") for entry in _entry(item)]


def encoded(key: str) -> str:
    """Return a key as the path of a URL, encoded once; BadKeyError for what would not stay one."""
    if "\0" in key or any(name in {"", ".", ".."} for name in key.split("/")):
        raise BadKeyError(
            f'{ascii(key)[:90]} has an empty, "." or ".." segment, which no URL can have'
        )
    return quote(key, safe="/~", errors="surrogateescape")


def strong(etag: str | None) -> str | None:
    """Return an ETag that identifies bytes (RFC 9110 section 8.8.3), None for any other."""
    text = (etag or "").strip()
    return text if len(text) > 2 and text[0] == text[-1] == '"' else None


def seconds(date: str | None) -> float | None:
    """Return an HTTP date as seconds since 1970, None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, OverflowError):
        return None


def _entry(item: Element) -> Iterator[DavEntry]:
    href = item.findtext(f"{_DAV}href")
    if not href:
        raise ProtocolError("a listing with an entry that has no address")
    path = _path(href.strip())
    stats = item.findall(f"{_DAV}propstat")
    found = [
        prop
        for propstat in stats
        if _status(propstat) == _OK
        for prop in propstat.iterfind(f"{_DAV}prop")
    ]
    if not found:
        yield from _failed(path, href, [_status(one) for one in (item, *stats)])
        return
    text = {child.tag: (child.text or "").strip() for prop in found for child in prop}
    size = text.get(f"{_DAV}getcontentlength", "")
    yield DavEntry(
        path,
        any(prop.find(f"{_DAV}resourcetype/{_DAV}collection") is not None for prop in found),
        int(size) if size.isascii() and size.isdecimal() and len(size) < 20 else None,
        strong(text.get(f"{_DAV}getetag")),
        seconds(text.get(f"{_DAV}getlastmodified")),
        _checksum(found),
    )


def _failed(path: str, href: str, statuses: list[int | None]) -> Iterator[DavEntry]:
    """What is there and could not be looked at is listed all the same, or it would be missed."""
    said = [status for status in statuses if status is not None]
    if not said:
        raise ProtocolError(f"a listing with an entry that has no status: {ascii(href)[:90]}")
    bad = next((status for status in said if status not in _GONE), None)
    if bad is not None:
        yield DavEntry(path, is_folder=href.strip().endswith("/"), failed=bad)


def _status(item: Element) -> int | None:
    match = _STATUS.match(item.findtext(f"{_DAV}status", ""))
    return int(match[1]) if match else None


def _path(href: str) -> str:
    path = _ORIGIN.sub("", href, count=1)
    if not path.startswith("/"):
        raise ProtocolError(f"a listing with an address that is no path: {ascii(href)[:90]}")
    names = [unquote(name, errors="surrogateescape") for name in path.strip("/").split("/")]
    if names != [""] and any(
        name in {"", ".", ".."} or "/" in name or "\0" in name for name in names
    ):
        raise ProtocolError(f"a listing with a name that cannot be one: {ascii(href)[:90]}")
    return "/".join(names)


def _checksum(props: list[Element]) -> Checksum | None:
    """Return the best checksum of those that ownCloud and its kin list."""
    texts = [item.text or "" for prop in props for item in prop.iter(_CHECKSUM)]
    return best_checksum(" ".join(texts).split())


def best_checksum(texts: list[str]) -> Checksum | None:
    """Return the strongest of checksums written as "NAME:digest", None if there is none we know."""
    found: list[Checksum] = []
    for text in texts:
        name, _, value = text.partition(":")
        try:
            found.append(Checksum.parse(f"{name.lower().replace('-', '')}:{value}"))
        except ValueError:
            continue  # ADLER32 and other strangers
    return max(found, key=lambda checksum: len(checksum.value), default=None)
