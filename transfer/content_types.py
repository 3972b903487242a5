"""The media type that an object's name promises, for objects that nobody gave one (RFC 2046)."""

from __future__ import annotations

import mimetypes
from functools import lru_cache
from typing import TypeAlias

# Bytes of which nobody says what they are.
UNKNOWN = "application/octet-stream"

Known: TypeAlias = tuple[dict[str, str], ...]


def known_types() -> Known:
    """Return what types are guessed by, of which a program may have told more.

    The first time this reads files of the system.
    """
    if not mimetypes.inited:
        mimetypes.init()
    return mimetypes.types_map, mimetypes.suffix_map, mimetypes.encodings_map


def learn_types(told: Known) -> None:
    """Guess types as another process does that has told what it knows."""
    for own, other in zip(known_types(), told, strict=True):
        own.clear()
        own.update(other)


def content_type_of(key: str) -> str | None:
    """Guess the type of an object by the end of its name."""
    name = key.rpartition("/")[2]
    stem, dot, ends = name.partition(".")
    return _type_by_ends(f"x.{ends}" if stem else name) if dot else None


@lru_cache(maxsize=1024)
def _type_by_ends(name: str) -> str | None:
    return mimetypes.guess_type(name)[0]
