"""Ending a connection as something going wrong would."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import sys
import termios
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import asyncio

_NO_LINGER = struct.pack("ii", 1, 0)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset: the peer's next read or write fails."""
    found = writer.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def delivered(writer: asyncio.StreamWriter, seconds: float = 1.0) -> None:
    """Wait until the peer's kernel has all that was written, as a reset would discard the rest."""
    await writer.drain()
    found = writer.get_extra_info("socket")
    if not sys.platform.startswith("linux") or found is None:
        return
    waiting = array.array("i", [0])
    with anyio.move_on_after(seconds):
        while found.fileno() >= 0:
            # On a TCP socket this is SIOCOUTQ: what is sent and not acknowledged, or not sent.
            fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, waiting)
            if not waiting[0] and not writer.transport.get_write_buffer_size():
                return
            await anyio.sleep(0.001)
