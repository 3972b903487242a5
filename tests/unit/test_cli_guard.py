from __future__ import annotations

import pytest

from transfer.cli.guard import guarded
from transfer.errors import CredentialsError, NotFoundError, UsageError


def code_of(work, verbose=0):
    with pytest.raises(SystemExit) as caught:
        guarded(work, verbose)
    return caught.value.code


def raising(error):
    def work() -> int:
        raise error

    return work


def test_what_a_command_returns_is_its_code(capsys):
    assert code_of(lambda: 0) == 0
    assert code_of(lambda: 6) == 6
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UsageError("no\nsuch", hint="try"), 2, "transfer: error: no\\nsuch; try"),
        (NotFoundError("no token \x1b"), 3, "transfer: error: no token \\x1b"),
        (
            OSError(28, "No space left"),
            1,
            "transfer: error: cannot write the output: No space left",
        ),
        (
            ZeroDivisionError("by zero"),
            1,
            "transfer: error: internal error, ZeroDivisionError: by zero; -vv shows where",
        ),
        (
            ExceptionGroup("all", [ExceptionGroup("in", [CredentialsError("who?")])]),
            4,
            "transfer: error: who?",
        ),
    ],
)
def test_an_error_is_one_line_and_a_code(error, code, line, capfd):
    assert code_of(raising(error), verbose=1) == code
    assert capfd.readouterr() == ("", line + "\n")


def test_a_traceback_comes_to_those_who_ask(capsys):
    assert code_of(raising(UsageError("no\x1b")), verbose=2) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "raise error" in shown
    assert "\x1b" not in shown


def test_interruption_is_silent(capsys):
    assert code_of(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr() == ("", "")
