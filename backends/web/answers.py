"""What a web server's answers say: of objects, their versions, and of errors (RFC 9110).

A version is a strong ETag. Where there is none, Last-Modified is one, if it was
a second old when it was told: then nothing could have been written unseen
(section 8.8.2.2). What is no version can still give a change away: it is a mark.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from backends.web.dav_xml import best_checksum, seconds, strong
from transfer.errors import (
    NotFoundError,
    ProtocolError,
    RejectedError,
    SourceChangedError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)
from transfer.model import ObjectInfo
from transfer.redaction import redact
from transfer.statuses import error_of_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.checksums import Checksum
    from transfer.store import Response

_HINTS: dict[int, tuple[type[TransferError], str]] = {
    405: (UnsupportedError, "the server does not do this here"),
    409: (RejectedError, "a folder above it may be missing"),
    410: (NotFoundError, ""),
    413: (RejectedError, "it is larger than the server takes in one request"),
    416: (SourceChangedError, "it may have been replaced: transfer it again"),
    423: (UnavailableError, "somebody has locked it"),
    507: (RejectedError, "there is no space left on the server"),
}
_DIGEST = re.compile(r"([A-Za-z0-9-]+)=:?([A-Za-z0-9+/]+={0,2}):?")


def info_of_head(key: str, where: str, answer: Response) -> ObjectInfo:
    """Return what the answer to a HEAD says of an object."""
    headers = answer.headers
    length = headers.get("content-length", "")
    if not length.isdecimal():
        raise ProtocolError(f"{where}: the server does not say how long it is")
    return ObjectInfo(
        key,
        int(length),
        version_of(headers),
        seconds(headers.get("last-modified")),
        checksum_of(headers),
        headers.get("content-type"),
    )


def version_of(headers: Mapping[str, str]) -> str | None:
    """Return what identifies the bytes that were told of, None if nothing does."""
    etag = strong(headers.get("etag"))
    if etag is not None:
        return etag
    if seconds(headers.get("date")) is None or seconds(headers.get("last-modified")) is None:
        return None
    return None if is_young(headers) else headers["last-modified"]


def is_young(headers: Mapping[str, str]) -> bool:
    """Whether it was written within the second in which it was told of."""
    told, modified = seconds(headers.get("date")), seconds(headers.get("last-modified"))
    return told is not None and modified is not None and told - modified < 1


def marks_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return what changes with the bytes, good enough to be compared if not to be asked for.

    An ETag may be weak, and become a strong one when the object is old enough (Apache).
    """
    marks = {name: headers.get(name, "").strip() for name in ("etag", "last-modified")}
    return {name: text.removeprefix("W/") for name, text in marks.items() if text}


def condition_of(version: str) -> dict[str, str]:
    """Return the header that asks for this version and no other."""
    return {"If-Match" if version.startswith('"') else "If-Unmodified-Since": version}


def answered_version(asked: str | None, headers: Mapping[str, str]) -> str | None:
    """Return the version that came, told in the same way as the one that was asked for."""
    if asked is None or asked.startswith('"'):
        return strong(headers.get("etag"))
    return headers.get("last-modified")


def versions_differ(one: str | None, other: str | None) -> bool:
    """Whether two versions contradict each other; an ETag and a date cannot."""
    if one is None or other is None or one.startswith('"') is not other.startswith('"'):
        return False
    return one != other


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """Return the checksum of a whole object, from whichever header has one.

    RFC 9530 Repr-Digest, RFC 3230 Digest, ownCloud's OC-Checksum, Content-MD5.
    """
    digests = f"{headers.get('repr-digest', '')},{headers.get('digest', '')}"
    found = [f"{name}:{value}" for name, value in _DIGEST.findall(digests)]
    found += headers.get("oc-checksum", "").split()
    if "content-md5" in headers:
        found.append(f"md5:{headers['content-md5']}")
    return best_checksum([_sha1(text) for text in found])


def gives_ranges(headers: Mapping[str, str]) -> bool:
    """Whether the server says that it can send parts of this object."""
    units = headers.get("accept-ranges", "").lower().replace(",", " ").split()
    return "bytes" in units or "content-range" in headers


def is_dav(answer: Response) -> bool:
    """Whether the answer to OPTIONS says WebDAV, class 1 (RFC 4918 section 10.1)."""
    classes = [name.strip() for name in answer.headers.get("dav", "").split(",")]
    return answer.ok and "1" in classes


def leads_to_folder(url: str, answer: Response) -> bool:
    """Whether an answer only says that a slash is missing: what was asked for is a folder."""
    if answer.status not in {301, 302, 307, 308}:
        return False
    return _path(urljoin(url, answer.headers.get("location", ""))) == _path(url) + "/"


def error_of_answer(what: str, url: str, answer: Response) -> TransferError:
    """Return the error for an answer that is no success; `what` is "write http://host/key"."""
    status = answer.status
    message = f"{what}: the server answered {status}"
    if 300 <= status < 400:
        target = redact(urljoin(url, answer.headers.get("location", "")))
        return ProtocolError(
            f"{message}, it redirects to {target}, which is not followed",
            hint="use that address if you trust it",
        )
    if status in _HINTS:
        kind, hint = _HINTS[status]
        return kind(message, hint=hint)
    return error_of_status(status, answer.headers, message, hint=_login_hint(answer))


def _login_hint(answer: Response) -> str:
    if answer.status != 401:
        return ""
    wanted = answer.headers.get("www-authenticate", "").partition(" ")[0].lower()
    if wanted and wanted != "basic":
        return f"the server wants {ascii(wanted)[1:20]} authentication, this sends Basic only"
    return "check user and password in the URL: http://USER:PASSWORD@HOST/"


def _path(url: str) -> str:
    """Compare paths only: behind a proxy, a server may not know its own address."""
    return re.sub(r"^\w+://[^/]*", "", url).partition("?")[0]


def _sha1(text: str) -> str:
    """Write RFC 3230's name of SHA-1, "SHA", as we do."""
    name, _, value = text.partition(":")
    return f"sha1:{value}" if name.lower() == "sha" else text
