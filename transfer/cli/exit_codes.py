"""What the exit code of the command says: whose move it is.

The numbers are those of aws (0, 1, 2, 130) and rclone (5), where those have one.
A script can repeat what ended in 5 without looking, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.errors import (
    AccessError,
    BusyError,
    ExistsError,
    IntegrityError,
    InterruptedTransferError,
    NotFoundError,
    PreconditionError,
    StoreRefusedError,
    TakenOverError,
    TemporaryError,
    UploadGoneError,
    UsageError,
)

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable

    from transfer.errors import TransferError

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
AUTH = 4
TEMPORARY = 5
INTEGRITY = 6
PRECONDITION = 7
INTERRUPTED = 130
# Nobody reads the output any more: 128 and the number of SIGPIPE, as shells have it.
OUTPUT_CLOSED = 141
TERMINATED = 143

EPILOG = (
    "Exit codes: 0 done; 1 some of several files failed, or an error without a code of its own;"
    " 2 usage; 3 not found; 4 access denied; 5 temporary failure, run it again; 6 damaged content,"
    " or `verify` has found a difference; 7 target exists or has changed; 130, 143 interrupted;"
    " 141 nobody reads the output."
)

# The first class that fits decides: damage in transit is both integrity and temporary.
_CODES: tuple[tuple[type[TransferError], int], ...] = (
    (InterruptedTransferError, INTERRUPTED),
    (UsageError, USAGE),
    (UploadGoneError, FAILED),
    (NotFoundError, NOT_FOUND),
    (AccessError, AUTH),
    (StoreRefusedError, AUTH),
    (IntegrityError, INTEGRITY),
    (TemporaryError, TEMPORARY),
    (BusyError, TEMPORARY),
    (TakenOverError, PRECONDITION),
    (ExistsError, PRECONDITION),
    (PreconditionError, PRECONDITION),
)

# What is wrong with a file whoever asks: its name, its kind, or that it has gone.
_OF_THE_FILE = frozenset({FAILED, USAGE, NOT_FOUND})


def code_of_signal(number: signal.Signals) -> int:
    """Return the code for a run that a signal has ended, as shells have it."""
    return 128 + number


def code_of(error: type[Exception]) -> int:
    """Return the code for one error that ended everything."""
    return next((code for kind, code in _CODES if issubclass(error, kind)), FAILED)


def code_of_run(failures: Iterable[type[Exception]], others: int) -> int:
    """Return the code for a run with these failures and `others` that went well.

    What all files have in common is told; of a mixture, only that it is one. Where
    nobody was let in, files that could not have been copied anyway change nothing.
    """
    codes = {code_of(error) for error in failures}
    if not codes:
        return OK
    if AUTH in codes:
        codes -= _OF_THE_FILE
    return codes.pop() if len(codes) == 1 and not others else FAILED


def code_of_comparison(failures: Iterable[type[Exception]]) -> int:
    """Return the code for a comparison: how many are the same does not matter."""
    codes = {code_of(error) for error in failures}
    return INTEGRITY if INTEGRITY in codes else code_of_run(failures, 0)
