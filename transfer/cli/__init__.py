"""The command `transfer`: what people type, and what they are told.

Nothing of weight is imported before it is known what is wanted: help answers at
once, and the engine, the stores and the server arrive with the command that
needs them. Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from pathlib import Path

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit with its code."""
    # Nothing of what is loaded is garbage: looking for some takes a tenth of a short run.
    gc.disable()
    _prepare_output()
    try:
        from transfer.cli.guard import guarded

        guarded(_run)
    except KeyboardInterrupt:
        sys.exit(130)


def _run() -> int:
    import click

    from transfer.cli.app import app

    try:
        return int(app.main(prog_name="transfer", standalone_mode=False) or 0)
    except click.Abort as error:
        # What click makes of Ctrl-C, which would exit with 1.
        raise KeyboardInterrupt from error
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _prepare_output() -> None:
    """Neither a stream that was closed nor a name that it cannot encode may end a transfer."""
    nowhere = Path(os.devnull)
    sys.stdout = sys.stdout or nowhere.open("w", encoding="utf-8")
    sys.stderr = sys.stderr or nowhere.open("w", encoding="utf-8")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
