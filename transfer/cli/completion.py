"""Completion for the shell: the script that click makes, shown or put where the shell finds it.

bash and zsh read theirs only if told to in the file that they start with; what
is in there already is left as it is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import get_completion_class

from transfer.cli.exit_codes import OK
from transfer.cli.guard import put, tell
from transfer.errors import UsageError

if TYPE_CHECKING:
    from click import Command

_SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a script goes, and the line that has it read, with the file that line belongs into."""

    script: Path
    line: str = ""
    startup: Path | None = None


def show(command: Command) -> int:
    """Write the script for this shell to standard output."""
    put(_script(command, _this_shell()))
    return OK


def install(command: Command) -> int:
    """Put the script for this shell where it will be read."""
    shell = _this_shell()
    place = place_of(shell, Path.home())
    place.script.parent.mkdir(parents=True, exist_ok=True)
    place.script.write_text(_script(command, shell) + "\n")
    if place.startup is not None:
        _ensure_line(place.startup, place.line)
    tell(f"{shell} completion is in {place.script}; a new shell will have it")
    return OK


def shell_of(path: str) -> str:
    """Return the name of a shell that can be helped; UsageError for another."""
    name = path.rpartition("/")[2]
    if name not in _SHELLS:
        hint = f"set SHELL to {' or '.join(_SHELLS)}"
        raise UsageError(f"there is no completion for the shell {name!r}", hint=hint)
    return name


def place_of(shell: str, home: Path) -> Place:
    """Return where a shell looks for completions of one user."""
    if shell == "fish":
        return Place(home / ".config" / "fish" / "completions" / "transfer.fish")
    if shell == "zsh":
        line = "fpath+=~/.zfunc; autoload -Uz compinit; compinit"
        return Place(home / ".zfunc" / "_transfer", line, home / ".zshrc")
    script = home / ".bash_completions" / "transfer.sh"
    return Place(script, f"source '{script}'", home / ".bashrc")


def _this_shell() -> str:
    return shell_of(os.environ.get("SHELL", ""))  # noqa: TID251 - the shell's, not a setting


def _script(command: Command, shell: str) -> str:
    maker = get_completion_class(shell)
    assert maker is not None  # noqa: S101 - click has one for each of ours
    return maker(command, {}, "transfer", "_TRANSFER_COMPLETE").source().strip()


def _ensure_line(path: Path, line: str) -> None:
    text = path.read_text() if path.exists() else ""
    if line not in text.splitlines():
        gap = "\n" if text and not text.endswith("\n") else ""
        with path.open("a") as file:
            file.write(f"{gap}{line}\n")
