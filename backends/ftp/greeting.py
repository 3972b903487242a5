"""The greeting of a server: what tells one of FTP from one of something else.

Every reply begins with a code (RFC 959, section 4.2). The library takes a line
without one for the text of a reply, and waits for more: on a port of SSH, say, for
as long as that server keeps a client that says nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aioftp
import anyio

from transfer.errors import ConnectionLostError, ProtocolError

if TYPE_CHECKING:
    import asyncio

_BEGINNING = re.compile(rb"[1-5]\d\d[ \r\n-]")
_WAIT = "120"
# What is shown of a greeting in another protocol: so many bytes, waited for so long.
_SHOWN = 60
_MOMENT = 0.2


async def hear(client: aioftp.Client, address: str, seconds: float) -> None:
    """Wait so long for a greeting that lets us in; ProtocolError if it is none of FTP's."""
    try:
        with anyio.fail_after(seconds):
            while await _greeting(client, address) == _WAIT:
                pass
    except TimeoutError:
        raise ConnectionLostError(
            f"cannot connect to {address}: no greeting came in {seconds:.0f} s",
            hint="check that an FTP server is at this port; for one that is slow, set"
            " TRANSFER_CONNECT_TIMEOUT",
        ) from None


async def _greeting(client: aioftp.Client, address: str) -> str:
    """Read one reply and return its code; an error if it is neither a welcome nor a delay."""
    reader = client.stream.reader
    head = await _begun(reader)
    if not _BEGINNING.fullmatch(head):
        with anyio.move_on_after(_MOMENT):
            head += await reader.read(_SHOWN)
        raise ProtocolError(
            f"cannot connect to {address}: it does not speak FTP, it greets with {_shown(head)}",
            hint="write sftp:// for a server of SSH"
            if head.startswith(b"SSH-")
            else "check the port",
        )
    code, more = head[:3].decode(), head[3:] == b"-"
    lines = [] if head.endswith(b"\n") else [(await client.stream.readline()).decode()]
    while more:
        last, line = await client.parse_line()
        lines.append(line)
        more = last != code or line.startswith("-")
    if code not in {"220", _WAIT}:
        raise aioftp.StatusCodeError(aioftp.Code("220"), aioftp.Code(code), lines)
    return code


async def _begun(reader: asyncio.StreamReader) -> bytes:
    """Return the first bytes, enough to know a reply by; EOFError if none come."""
    head = b""
    while len(head) < 4 and (more := await reader.read(4 - len(head))):
        head += more
    if not head:
        raise EOFError
    return head


def _shown(greeting: bytes) -> str:
    return ascii(greeting[:_SHOWN].split(b"\n")[0].strip().decode(errors="replace"))
