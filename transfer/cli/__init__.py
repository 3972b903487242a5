"""The command `transfer`: what people type, and what they are told.

Nothing of weight is imported before it is known what is wanted: help answers at
once, and the engine, the stores and the server arrive with the command that
needs them. Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not end a transfer.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        from transfer.cli.app import app

        app(prog_name="transfer")
    except KeyboardInterrupt:
        sys.exit(130)
