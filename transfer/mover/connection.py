"""One connection, used by one thread at a time; another may only interrupt it.

Blocking sockets on purpose: a whole buffer, or a whole file, passes in a single
call during which Python's lock is free. So many connections use many cores, and
a byte costs what the kernel takes for it.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
import threading
import time
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING

from transfer.errors import ConnectionLostError, TlsError, UsageError
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from transfer.mover.http1 import Address

# A body of this size travels with its head, in one packet or few.
WITH_HEAD = 64 * 1024
# Of a head, that its body is to come; not every system can be told.
MORE: int = getattr(socket, "MSG_MORE", 0)
# A peer that closes idle connections does so after this long at the earliest.
IDLE_LIMIT = 15.0
# Read at once of a head, which may have some of the body behind it.
RECEIVED_AT_ONCE = 256 * 1024
_EARLY = 16 * 1024
# Of a body, so much is to have arrived before a thread is woken up for it; or, where
# that takes longer than so many milliseconds, whatever there is.
_GOOD_DEAL = 256 * 1024
_LONG = 500
# So much of what is to come may already be inside TLS, which waits for the rest of a record.
_RECORD = 17 * 1024
# Of a connection that takes its time, the kernel holds so much that it has not sent
# yet. With megabytes, nobody could tell a slow one from one that is done. A fast one
# is left alone but for its end: waking up more often costs more than it tells.
_SLOW = 0.1
_UNSENT = 128 * 1024
_UNSENT_LIMIT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
# A peer that is silent for so many seconds is asked, so often; and one that does not
# acknowledge what it was sent is given up after so many milliseconds.
_SILENCE = {
    "TCP_KEEPIDLE": 30,
    "TCP_KEEPINTVL": 10,
    "TCP_KEEPCNT": 6,
    "TCP_USER_TIMEOUT": 90_000,
}
# Closing drops what was not sent, and resets the connection.
_AT_ONCE = struct.pack("ii", 1, 0)
# How many bytes a socket is offered that need not take all of them: at first, and at the limits.
_APPETITE = 256 * 1024
_LEAST_APPETITE = 64 * 1024
_LARGEST_APPETITE = 4 * MIB


class Ended(Enum):
    """Why there is no more to take: as yet, or for good, by the peer's will or not."""

    EMPTY = auto()
    CLOSED = auto()
    BROKEN = auto()


class Connection:
    """A socket; `fresh` until the first answer has come over it.

    `encrypted`: bytes pass through TLS, which wants all of a buffer or nothing. `slow`: it
    has let somebody wait. `appetite`: how many bytes it is worth while to offer at once.
    """

    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.sock = sock
        self.address = address
        self.fresh = True
        self.idle_since = 0.0
        self._lock = threading.Lock()
        self._closed = False
        # Told of the socket before that is closed.
        self.before_close: Callable[[socket.socket], None] | None = None
        self.slow = False
        self.appetite = _APPETITE
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._early = b""
        self._least = 1
        self.encrypted = isinstance(sock, ssl.SSLSocket)

    @classmethod
    def open(cls, address: Address, context: ssl.SSLContext | None, timeout: float) -> Connection:
        """Connect; raises ConnectionLostError, TlsError, UsageError for what is no name."""
        where = f"{address.host}:{address.port}"
        try:
            sock = socket.create_connection((address.host, address.port), timeout)
        except ValueError:  # as IDNA has it, for one
            raise UsageError(f"{address.host} is no name of a host") from None
        except socket.gaierror:
            raise ConnectionLostError(f"the name {address.host} cannot be resolved") from None
        except TimeoutError:
            raise ConnectionLostError(f"{where} did not accept a connection in time") from None
        except OSError as error:
            raise ConnectionLostError(f"cannot connect to {where}: {_reason(error)}") from None
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _mind_silence(sock)
            if context is not None:
                sock = context.wrap_socket(sock, server_hostname=address.host)
            sock.settimeout(None)
        except ssl.SSLError as error:
            sock.close()
            raise TlsError(
                f"no secure connection to {where}: {_tls_reason(error)}",
                hint="check the certificate, or name the CA bundle that it was signed with",
            ) from None
        except OSError as error:
            sock.close()
            raise ConnectionLostError(f"cannot connect to {where}: {_reason(error)}") from None
        except BaseException:
            sock.close()
            raise
        return cls(sock, address)

    def answering(self) -> bool:
        """Tell whether something of an answer has arrived, or the peer has hung up."""
        if self._early:
            return True
        if not self._poll.poll(0):
            return False
        return not self.encrypted or self._has_early()

    def _has_early(self) -> bool:
        """TLS talks of its own accord (session tickets, keys): that is no answer."""
        blocking = self.sock.getblocking()
        self.sock.setblocking(False)
        try:
            self._early = self.sock.recv(_EARLY)
        except ssl.SSLWantReadError:
            return False
        except OSError:
            return True
        finally:
            self.sock.setblocking(blocking)
        return True

    def receive(self, room: memoryview) -> bytes:
        """Wait for the next bytes of a head, with `room` to put them in; none are the end."""
        early, self._early = self._early, b""
        if early:
            return early
        return bytes(room[: self.sock.recv_into(room)])

    @contextmanager
    def taking(self) -> Generator[None]:
        """Have `take` and `wait` while a body arrives."""
        if self.encrypted:
            self.sock.setblocking(False)
        try:
            yield
        finally:
            self._wake_at(1)
            if self.encrypted:
                self.sock.setblocking(True)

    def take(self, room: memoryview) -> tuple[int, Ended | None]:
        """Take what has arrived of a body, as far as there is room; None is that there is more.

        Over TLS, that is a call for each record of 16 KiB: nothing else belongs in here.
        """
        receive, flags = self.sock.recv_into, 0 if self.encrypted else socket.MSG_DONTWAIT
        filled, size = 0, len(room)
        try:
            while filled < size:
                count = receive(room[filled:], size - filled, flags)
                if not count:
                    return filled, Ended.CLOSED
                filled += count
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return filled, Ended.EMPTY
        except OSError:
            return filled, Ended.BROKEN
        return filled, None

    def wait(self, left: int | None) -> None:
        """Wait for more of a body, of which so many bytes are to come."""
        if left is not None and self.encrypted:
            left -= _RECORD
        self._wake_at(_GOOD_DEAL if left is None else max(1, min(left, _GOOD_DEAL)))
        if not self._poll.poll(_LONG):
            self._wake_at(1)
            self._poll.poll()

    def _wake_at(self, count: int) -> None:
        """Tell the kernel how many bytes must have arrived before it says that some have."""
        if count != self._least:
            self._least = count
            with suppress(OSError):  # some systems have no options for what is shut down
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def usable(self) -> bool:
        """Tell whether an idle connection may be used again."""
        return time.monotonic() - self.idle_since < IDLE_LIMIT and not self.answering()

    def send_some(self, piece: memoryview) -> int:
        """Hand over as much as is taken without waiting; not for encrypted ones."""
        try:
            sent = self.sock.send(piece, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        # What is read in vain costs as much as what is sent.
        if sent == len(piece):
            self.appetite = min(max(self.appetite, 2 * sent), _LARGEST_APPETITE)
        else:
            self.appetite = min(self.appetite, max(2 * sent, _LEAST_APPETITE))
        return sent

    def wait_to_send(self) -> None:
        """Wait until more can be sent, or an answer has come."""
        began = time.monotonic()
        self._poll.modify(self.sock, select.POLLIN | select.POLLOUT)
        self._poll.poll()
        self._poll.modify(self.sock, select.POLLIN)
        self.took(time.monotonic() - began)

    def took(self, seconds: float) -> None:
        """Learn how long a slice has taken to be handed over."""
        if seconds > _SLOW and not self.slow:
            self.slow = True
            self._keep_unsent(_UNSENT)

    def send_last(self, data: bytes) -> None:
        """Send the end of a body, once little of the rest is unsent: before, it is not done."""
        if self.slow:
            self.sock.sendall(data)
            return
        self._keep_unsent(_UNSENT)
        self.sock.sendall(data)
        self._keep_unsent(0)

    def _keep_unsent(self, count: int) -> None:
        """Set how much the kernel may hold; 0 is as much as it likes."""
        if _UNSENT_LIMIT is not None and self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, _UNSENT_LIMIT, count)

    def send_slice(self, fd: int, offset: int, count: int) -> int:
        """Have the kernel send a range of a file; returns how much it took."""
        return os.sendfile(self.sock.fileno(), fd, offset, count)

    def interrupt(self) -> None:
        """Wake up the thread that uses it, from another one: its call fails at once."""
        with self._lock:
            if not self._closed:
                try:
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                    # Not SSLSocket.shutdown, which would go on unencrypted.
                    socket.socket.shutdown(self.sock, socket.SHUT_RDWR)
                except OSError:
                    return

    def close(self) -> None:
        """Close it; the lock keeps an interruption off a descriptor that is somebody else's."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self.before_close is not None:
                    self.before_close(self.sock)
                self.sock.close()


def _mind_silence(sock: socket.socket) -> None:
    """Have the kernel find out that a peer is gone, where we are waiting patiently for it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SILENCE.items():
        option = getattr(socket, name, None)  # not every system has them
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else type(error).__name__


def _tls_reason(error: ssl.SSLError) -> str:
    verify = getattr(error, "verify_message", "")
    return str(verify or error.reason or "TLS failed")
