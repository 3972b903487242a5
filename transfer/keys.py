"""Which keys and names are safe, decided in one place.

Two questions, never mixed. `check_key` guards a key that somebody else chose
and that we will use in a store (the coordinator's question): whatever is not
canonical is refused, never normalised, because each normalisation so far has
been somebody's way round a check. `relative_path` guards a key that becomes a
path below a folder of ours (the question of a pull).
"""

from __future__ import annotations

import unicodedata
from urllib.parse import unquote

from transfer.errors import BadKeyError

MAX_KEY_BYTES = 1024


def check_key(key: str) -> str:
    """Return `key` unchanged if it is canonical; raise BadKeyError otherwise.

    Canonical: segments joined by single slashes, none of them empty, "." or
    "..", no backslash, no control character, at most 1,024 bytes of UTF-8; and
    the same holds however often the key is percent-decoded, so that no later
    decoder can find a way out of the root.
    """
    seen = key
    while True:
        _check_once(seen, key)
        decoded = unquote(seen) if "%" in seen else seen
        if decoded == seen:
            return key
        seen = decoded


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it is "" or canonical, with or without a slash behind it.

    Raises BadKeyError.
    """
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def check_text(key: str) -> str:
    """Return a key, or the beginning of one, if it can be sent as text; raise BadKeyError if not.

    File names that are not UTF-8 come as keys with lone surrogates.
    """
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise BadKeyError(f"key {_show(key)} is not valid Unicode: it cannot be sent") from error
    return key


def within(key: str, prefix: str) -> bool:
    """Tell whether `key` lies below `prefix`, compared by whole segments.

    The empty prefix covers everything; "team" covers "team/x", not "teams/x".
    """
    stem = prefix.removesuffix("/")
    return not stem or key == stem or key.startswith(stem + "/")


def relative_path(key: str) -> str:
    """Return `key` as a relative path below a folder; raise BadKeyError if it would leave it.

    Backslashes may be part of a name here, as long as reading them as
    separators would not lead out either.
    """
    if not key:
        raise BadKeyError("an empty key has no file name")
    if "\0" in key:
        raise BadKeyError(f"key {_show(key)} has a NUL byte: no file can have this name")
    if key.startswith("\\"):
        raise BadKeyError(f"key {_show(key)} would leave its folder")
    segments = key.split("/")
    for segment in (*segments, *key.replace("\\", "/").split("/")):
        if segment in {".", ".."}:
            raise BadKeyError(f"key {_show(key)} would leave its folder")
    if not all(segments):
        raise BadKeyError(
            f"key {_show(key)} has an empty segment: no file can have this name",
            hint="pull it by itself and name the target file",
        )
    return key


def _check_once(text: str, key: str) -> None:
    if not text:
        raise BadKeyError("a key must not be empty")
    if len(check_text(text).encode()) > MAX_KEY_BYTES:
        raise BadKeyError(f"key {_show(key)} is longer than {MAX_KEY_BYTES} bytes")
    if "\\" in text or any(unicodedata.category(char) == "Cc" for char in text):
        raise BadKeyError(f"key {_show(key)} has a backslash or a control character")
    if any(segment in {"", ".", ".."} for segment in text.split("/")):
        raise BadKeyError(f'key {_show(key)} has an empty, "." or ".." segment')


def _show(key: str) -> str:
    return ascii(key if len(key) <= 80 else key[:77] + "...")
