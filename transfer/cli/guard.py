"""The edge of every command: what it raises becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn, TextIO

from transfer.cli import exit_codes
from transfer.errors import TransferError, only_error
from transfer.sinks.escaping import error_line, visible

if TYPE_CHECKING:
    from collections.abc import Callable

# From this many -v on, errors come with their tracebacks.
TRACEBACKS = 2


def guarded(work: Callable[[], int], verbose: int = 0) -> NoReturn:
    """Do the work of a command, and exit with the code that it returns or raises."""
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = exit_codes.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug of ours is told in one line too
        code = _told(only_error(error), verbose)
    sys.exit(code)


def _told(error: Exception, verbose: int) -> int:
    """Say what went wrong, and return the exit code for it."""
    if isinstance(error, BrokenPipeError):
        close_output()
        return exit_codes.OUTPUT_CLOSED
    if isinstance(error, TransferError):
        text = str(error)
    elif isinstance(error, OSError):
        # Those of stores and disks are TransferErrors by now: this one is of our output.
        text = f"cannot write the output: {error.strerror or error}"
        close_output(sys.stdout)
    else:
        text = f"internal error, {type(error).__name__}: {error}; -vv shows where"
    tell(error_line(text))
    show_traceback(error, verbose)
    return exit_codes.code_of(type(error))


def show_traceback(error: BaseException, verbose: int) -> None:
    """Show where an error comes from, to those who asked for it."""
    if verbose >= TRACEBACKS:
        for line in "".join(traceback.format_exception(error)).splitlines():
            tell(visible(line))


def tell(line: str) -> None:
    """Write one line for people."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def put(line: str) -> None:
    """Write one line of data, at once: whoever reads it may be waiting for it."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def close_output(*streams: TextIO) -> None:
    """Let what is still buffered go nowhere, or Python would complain of it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams or (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
