"""What may reach a terminal: names and errors are somebody else's text.

Whatever would control the terminal, or turn the direction of reading, is shown
as an escape; so is the end of a line, since every line we write is one.
"""

from __future__ import annotations

import re

# Control characters, marks that reverse the reading, line separators, and what
# stands for a byte of a name that is no UTF-8.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return `text` as one line that cannot control a terminal."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def error_line(text: str) -> str:
    """Return the line that every error of the command is shown as."""
    return f"transfer: error: {visible(text)}"
