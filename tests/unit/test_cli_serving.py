from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner, Result

from transfer.cli.app import app
from transfer.cli.serving import aligned, split_hosts

serve_module = pytest.importorskip("transfer.coordinator.serve")


@pytest.fixture
def run(tmp_path):
    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, list(args), env={"TRANSFER_STATE_DIR": str(tmp_path)})

    return invoke


def test_the_life_of_a_token(run):
    made = run("token", "create", "--name", "ci", "--prefix", "team-a/", "--read-only")
    assert made.exit_code == 0
    secret = made.stdout.strip()
    assert made.stdout == secret + "\n"
    assert secret not in made.stderr
    listed = run("token", "list")
    assert secret not in listed.output
    head, row = listed.stdout.splitlines()
    assert head.split() == ["ID", "NAME", "PREFIX", "ACCESS", "CREATED"]
    assert row.split()[1:4] == ["ci", "team-a/", "read"]
    revoked = run("token", "revoke", row.split()[0])
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert len(run("token", "list").stdout.splitlines()) == 1


def test_a_token_that_is_none_cannot_be_revoked(run):
    result = run("token", "revoke", "nobody")
    assert result.exit_code == 3
    assert result.stderr.startswith("transfer: error: ")


def test_serve_is_told_what_was_typed(run, monkeypatch):
    told = []
    monkeypatch.setattr(serve_module, "serve", lambda options, settings: told.append(options))
    result = run(
        "serve",
        "--artifacts-destination=/data",
        "--port=0",
        "--allowed-hosts=a,b",
        "--allowed-hosts=c",
        "--require-auth",
        "--public-url=https://x",
    )
    assert result.exit_code == 0, result.output
    assert told == [
        serve_module.ServeOptions(
            artifacts_destination="/data",
            port=0,
            allowed_hosts=("a", "b", "c"),
            require_auth=True,
            public_url="https://x",
        )
    ]


def test_serve_needs_a_destination(run):
    assert run("serve").exit_code == 2


@pytest.mark.parametrize(
    "args", [["serve", "--artifacts-destination=x"], ["token", "list"], ["token", "revoke", "x"]]
)
def test_a_missing_extra_gives_the_command_that_installs_it(run, monkeypatch, args):
    for name in [name for name in sys.modules if name.startswith("transfer.coordinator")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("transfer.coordinator", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    result = run(*args)
    assert result.exit_code == 2
    assert result.stderr == (
        "transfer: error: the coordinator needs the module sqlalchemy;"
        " pip install 'multipart-transfer[server]'\n"
    )


def test_hosts_come_one_by_one_or_with_commas():
    assert split_hosts([" a, b", "c", ","]) == ("a", "b", "c")
    assert split_hosts([]) == ()


def test_columns_are_aligned():
    assert aligned([("A", "B"), ("long", "x"), ("y", "")]) == ["A     B", "long  x", "y"]
