"""What Linux does with files that Python has no name for; elsewhere it is left undone."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import sys
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer.model import Span

# Kinds of file systems (linux/magic.h).
_BTRFS, _EXT4, _F2FS, _MEMORY, _OVERLAY, _XFS = (
    0x9123683E,
    0xEF53,
    0xF2F52010,
    0x01021994,
    0x794C7630,
    0x58465342,
)
# Memory cannot fail.
_TELLING = frozenset({_BTRFS, _EXT4, _F2FS, _MEMORY, _XFS})
# Room is a note of where it is, and nothing is written. In memory it takes as long as writing;
# Btrfs compresses nothing that has room already; servers do as they please.
_RESERVING = frozenset({_EXT4, _OVERLAY, _XFS})
# More than `struct statfs` has anywhere; the kind of the file system is its first number.
_STATFS = 512
# Begin, and wait for nothing (SYNC_FILE_RANGE_WRITE, sync_file_range(2)).
_WRITE = 2


def syncfs() -> Callable[[int], None] | None:
    """Return the call that syncs the whole file system of a file, if there is one."""
    call = _call("syncfs", ctypes.c_int)
    return None if call is None else partial(_checked, call)


def tells_of_errors(fd: int) -> bool:
    """Tell whether syncing the file system of a file as a whole says what could not be written.

    That of a container, which lays folders over one another (overlayfs), does not, and of
    others nobody knows: only the disks' own do, since Linux 5.8.
    """
    return _kind(fd) in _TELLING and _kernel() >= (5, 8)


def begin_write_out(fd: int, span: Span) -> None:
    """Have the kernel begin with what fsync is going to wait for, while other parts arrive.

    By itself, it waits until a tenth of all memory is to be written. An error is told by
    fsync. A disk that has enough to do already may hold this up.
    """
    offsets = (ctypes.c_int64, ctypes.c_int64)
    write_out = _call("sync_file_range", ctypes.c_int, *offsets, ctypes.c_uint)
    if write_out is not None:
        write_out(fd, span.start, span.size, _WRITE)


def reserve(fd: int, size: int) -> None:
    """Give an empty file its length, and room for it on the disk where that is done at once.

    So what does not fit is told before anything is moved, and the kernel need not look for
    room while it is written to. OSError (ENOSPC, EDQUOT) where there is none.
    """
    allocate = _call("fallocate", ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long)
    if allocate is not None and 0 < size <= sys.maxsize and _kind(fd) in _RESERVING:
        try:
            _checked(allocate, fd, 0, 0, size)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
        else:
            return
    os.ftruncate(fd, size)


def _kind(fd: int) -> int | None:
    """Return what kind of file system a file is on, None where nobody says."""
    ask = _call("fstatfs", ctypes.c_int, ctypes.c_void_p)
    known = ctypes.create_string_buffer(_STATFS)
    if ask is None or ask(fd, known):
        return None
    return ctypes.c_long.from_buffer(known).value & 0xFFFFFFFF


@cache
def _kernel() -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


def _checked(call: Callable[..., int], *arguments: int) -> None:
    """Call a function of the C library; OSError if it fails."""
    if call(*arguments):
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))


@cache
def _call(name: str, *arguments: type) -> Callable[..., int] | None:
    """Return a function of the C library that returns 0, or else sets `errno`."""
    found = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if found is not None:
        found.argtypes = arguments
    return found
