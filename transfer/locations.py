"""Reading what people type: URLs and paths, into a store's root and a key.

Keys of `s3://`, `gs://` and `hdfs://` are literal (a "?" or "%" in them is just
that), paths of `http://` and its like are percent-decoded once. Everything without a
scheme is a path on this machine.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from transfer.errors import UsageError
from transfer.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?=/)")


class Style(StrEnum):
    """How the URLs of a scheme are read."""

    PATH = "path"
    LITERAL = "literal"
    OPTIONAL_HOST = "literal, perhaps without a host"
    DECODED = "decoded"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a store; `root` opens the store, `key` is below it.

    A key that is empty or ends with a slash means the folder.
    """

    scheme: str
    root: str
    key: str

    @property
    def is_folder(self) -> bool:
        """Whether it can only be a folder."""
        return not self.key or self.key.endswith("/")

    def __str__(self) -> str:
        if self.scheme == "file":
            return "/" + self.key
        return _shown(self.root) + "/" + self.key

    @property
    def name(self) -> str:
        """The last segment of the key."""
        return self.key.rstrip("/").rpartition("/")[2]

    def child(self, name: str) -> Location:
        """Return the place `name` in this folder; "" is the folder itself, as a folder."""
        stem = self.key if self.is_folder else self.key + "/"
        return Location(self.scheme, self.root, stem + name)


@lru_cache(maxsize=64)
def _shown(root: str) -> str:
    return redact(root)


def parse(text: str, style_of: Callable[[str], Style]) -> Location:
    """Read a URL or a path; `style_of` knows the schemes, and raises for others.

    Raises UsageError for what cannot be read.
    """
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is neither a URL nor a path")
    if text == "-":
        raise UsageError(
            "- would be standard input or output, which cannot be read again",
            hint="name a file; one that is called so is ./-",
        )
    match = _SCHEME.match(text)
    if match is None:
        return _path(text)
    scheme = match[1].lower()
    style = style_of(scheme)
    rest = text[match.end() :]
    if style is Style.PATH:
        return _file_url(text, rest)
    authority, key = "", rest.removeprefix("/")
    if rest.startswith("//"):
        authority, _, key = rest[2:].partition("/")
    if authority:
        return Location(scheme, f"{scheme}://{authority}", _decoded(key, style))
    if style is Style.LITERAL:
        raise UsageError(f"{text!r} names no bucket", hint=f"write {scheme}://BUCKET/KEY")
    return Location(scheme, f"{scheme}:", _decoded(key, style))


def recorded(text: str) -> Location:
    """Return the place that `str()` has given this of: its key is literal, whatever the scheme."""
    if text.startswith("/"):
        return Location("file", "file:///", text[1:])
    scheme, _, rest = text.partition(":")
    if not rest.startswith("//"):
        return Location(scheme, f"{scheme}:", rest.removeprefix("/"))
    authority, _, key = rest[2:].partition("/")
    return Location(scheme, f"{scheme}://{authority}", key)


def written(location: Location, style_of: Callable[[str], Style]) -> str:
    """Return what `parse` reads as this place; user and password are left out."""
    if style_of(location.scheme) is not Style.DECODED:
        return str(location)
    key = re.sub("[%?#]", lambda found: f"%{ord(found[0]):02X}", location.key)
    return f"{redact(location.root)}/{key}"


def local_path(location: Location) -> str:
    """Return the path of a place on this machine."""
    return "/" + location.key


def _decoded(key: str, style: Style) -> str:
    if style is not Style.DECODED:
        return key
    path = re.split(r"[?#]", key, maxsplit=1)[0]
    if path != key:
        raise UsageError(
            f"the path {path!r} has a query or a fragment",
            hint="write %3F for ? and %23 for # in a name",
        )
    return unquote(path)


def _file_url(text: str, rest: str) -> Location:
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        if authority not in {"", "localhost"} or not slash:
            raise UsageError(f"{text!r} is not on this machine", hint="write file:///path")
        rest = "/" + path
    return _path(unquote(rest))


def _path(text: str) -> Location:
    if "\0" in text:
        raise UsageError(f"{text!r} is no path")
    absolute = os.path.abspath(text)  # noqa: PTH100 - the slash at the end has a meaning
    slash = "/" if text.endswith(("/", "/.", "/..")) or text in {".", ".."} else ""
    return Location("file", "file:///", (absolute + slash).lstrip("/"))
