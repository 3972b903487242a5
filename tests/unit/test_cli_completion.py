from __future__ import annotations

import pytest
from click.testing import CliRunner

from transfer.cli.app import app
from transfer.cli.completion import place_of, shell_of
from transfer.errors import UsageError


@pytest.fixture
def run(tmp_path):
    def invoke(*args: str, shell: str):
        return CliRunner().invoke(app, list(args), env={"HOME": str(tmp_path), "SHELL": shell})

    return invoke


def completed(words: str, position: int):
    """Return what click answers to the script for zsh: type, value and help, line by line."""
    asked = {
        "_TRANSFER_COMPLETE": "zsh_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(position),
    }
    result = CliRunner().invoke(app, env=asked, prog_name="transfer")
    return result.stdout.splitlines()


def test_commands_and_options_are_completed():
    assert completed("transfer pu", 1) == [
        "plain",
        "push",
        "Copy files and folders to a store.",
        "plain",
        "pull",
        "Copy objects and folders to this machine.",
    ]
    assert completed("transfer push --no-cl", 2)[:2] == ["plain", "--no-clobber"]


@pytest.mark.parametrize("words", ["transfer push some", "transfer serve --tls-cert some"])
def test_files_are_left_to_the_shell(words):
    assert completed(words, words.count(" "))[:2] == ["file", "some"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_shown(run, shell):
    result = run("--show-completion", shell=f"/usr/bin/{shell}")
    assert result.exit_code == 0
    assert f"_TRANSFER_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_installing_twice_is_as_good_as_once(run, tmp_path, shell):
    place = place_of(shell, tmp_path)
    if place.startup is not None:
        place.startup.write_text("alias ll='ls -l'")
    for _ in range(2):
        assert run("--install-completion", shell=shell).exit_code == 0
    assert run("--show-completion", shell=shell).stdout == place.script.read_text()
    if place.startup is not None:
        assert place.startup.read_text() == f"alias ll='ls -l'\n{place.line}\n"


@pytest.mark.parametrize("shell", ["/bin/ksh", ""])
def test_another_shell_is_a_usage_error(run, shell):
    with pytest.raises(UsageError, match="bash or zsh or fish"):
        shell_of(shell)
    assert run("--show-completion", shell=shell).exit_code == 2
