"""Whether an answer is the range that was asked for.

RFC 9110 section 14: a server may ignore Range and send the whole object with
200. Writing that at the range's offset has corrupted files in more than one
client, so the place of a body is what the answer says, and it must agree with
the question. `rclone serve s3` answers ranges with 200 and a Content-Range.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from transfer.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.model import Span

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def range_header(span: Span) -> str:
    """Return the value of Range for a span that is not empty."""
    return f"bytes={span.start}-{span.stop - 1}"


def check_placement(status: int, headers: Mapping[str, str], span: Span) -> None:
    """Raise ProtocolError unless a 2xx answer holds exactly the bytes of `span`."""
    content_range = headers.get("content-range")
    if content_range is not None:
        match = _CONTENT_RANGE.fullmatch(content_range.strip())
        if match and (int(match[1]), int(match[2]) + 1) == (span.start, span.stop):
            return
        raise ProtocolError(
            f"asked for bytes {span}, the server sent another range: {content_range[:80]!r}"
        )
    if status == 200 and span.start == 0 and headers.get("content-length") == str(span.size):
        return
    raise ProtocolError(
        f"asked for bytes {span}, the server answered {status} without saying which bytes it sent"
    )


def total_of(headers: Mapping[str, str]) -> int | None:
    """Return how long the whole object is, by an answer that `check_placement` let pass."""
    content_range = headers.get("content-range")
    # Without one, the answer is the whole object.
    said = content_range.rpartition("/")[2] if content_range else headers.get("content-length", "")
    return int(said) if said.strip().isdecimal() else None
