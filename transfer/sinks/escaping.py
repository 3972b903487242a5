"""What may reach a terminal: names and errors are somebody else's text.

Whatever would control the terminal, or turn the direction of reading, is shown
as an escape; so is the end of a line, since every line we write is one.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Control characters, marks that reverse the reading, line separators, and what
# stands for a byte of a name that is no UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return `text` as one line that cannot control a terminal."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def shell_command(words: Iterable[str]) -> str:
    """Return words as a line for a shell to read back, which `visible` leaves as it is.

    A word that could not be shown is written `$'...'`: bash, zsh and ksh know it.
    """
    return " ".join(map(_shell_word, words))


def _shell_word(word: str) -> str:
    if _UNSAFE.search(word) is None:
        return shlex.quote(word)
    return "$'" + "".join(map(_shell_character, word)) + "'"


def _shell_character(char: str) -> str:
    if _UNSAFE.match(char) is None:
        return f"\\{char}" if char in "\\'" else char
    from_name = "\udc80" <= char <= "\udcff"
    data = char.encode(errors="surrogateescape" if from_name else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


def error_line(text: str) -> str:
    """Return the line that every error of the command is shown as."""
    return f"transfer: error: {visible(text)}"
