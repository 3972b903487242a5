"""The installed command as a process: codes, streams, signals, a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from transfer import __version__

if TYPE_CHECKING:
    from collections.abc import Generator

COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
MIB = 1024**2


@pytest.fixture
def environ(tmp_path):
    """A clean environment, with credentials that no server knows."""
    return {
        "PATH": os.defpath,
        "HOME": str(tmp_path),
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "TRANSFER_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def run(environ, tmp_path):
    def start(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *args],
            cwd=tmp_path,
            env=environ | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
            check=False,
        )

    return start


@pytest.fixture
def tree(tmp_path):
    """A folder of three files, one of them in a folder of its own."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name, size in (("one", 10), ("two", 0), ("sub/three", 20 * MIB)):
        (tmp_path / "in" / name).write_bytes(os.urandom(size))
    return tmp_path / "in"


@pytest.fixture
def silent_server():
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server


def address_of(server):
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def content_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def lines_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


# --- What it says -------------------------------------------------------------


def test_help_and_version(run):
    for args in (("--help",), ("push", "--help"), ("pull", "-h"), ("serve", "--help")):
        result = run(*args)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith("Usage: transfer")
    assert run("--version").stdout == f"transfer {__version__}\n"


def test_it_is_a_module_too(environ):
    result = subprocess.run(
        [sys.executable, "-m", "transfer", "--version"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == f"transfer {__version__}\n"


# --- Copying ------------------------------------------------------------------


def test_push_and_pull_copy_trees(run, tree, tmp_path):
    pushed = run("push", "in", "out")
    assert (pushed.returncode, pushed.stdout) == (0, "")
    assert pushed.stderr.startswith("3 files copied: 20.0 MiB in ")
    assert "content verified" in pushed.stderr
    assert pushed.stderr.count("\n") == 1
    assert content_of(tmp_path / "out" / "in") == content_of(tree)
    pulled = run("pull", "out/in/", "back", "--part-size=1MiB", "-c", "3", "--verbose")
    assert pulled.returncode == 0
    assert content_of(tmp_path / "back") == content_of(tree)
    assert "20.0 MiB, 20 parts, content verified" in pulled.stderr


def test_filters(run, tree, tmp_path):
    result = run("push", "in/", "out", "--include", "t*", "--exclude", "two")
    assert result.returncode == 0
    assert set(content_of(tmp_path / "out")) == {"sub/three"}


def test_quiet_is_quiet(run, tree):
    result = run("push", "in", "out", "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_dry_run_copies_nothing(run, tree, tmp_path):
    result = run("push", "in/one", "out/", "--dry-run")
    assert result.returncode == 0
    assert result.stdout == f"{tree}/one -> {tmp_path}/out/one (10 B)\n"
    assert result.stderr == "dry run: 1 file, 10 B would be copied\n"
    assert not (tmp_path / "out").exists()


def test_what_is_there_can_be_left_alone(run, tree, tmp_path):
    assert run("push", "in", "out").returncode == 0
    again = run("push", "in", "out", "--skip-existing")
    assert (again.returncode, again.stderr) == (0, "nothing copied, 3 skipped\n")
    refused = run("push", "in", "out", "--no-clobber")
    assert refused.returncode == 7
    assert refused.stderr.count("transfer: error: ") == 3
    assert refused.stderr.endswith("nothing copied, 3 failed\n")


def test_json(run, tree, tmp_path):
    result = run("push", "in", "out", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    events = lines_of(result)
    assert {event["event"] for event in events} <= {"start", "file", "progress", "summary"}
    assert sum(event["event"] == "file" for event in events) == 3
    summary = events[-1]
    assert (summary["event"], summary["done"], summary["exit_code"]) == ("summary", 3, 0)
    assert summary["moved"] == 10 + 20 * MIB


def test_only_the_last_of_many_files_are_cut_where_nobody_has_said_how(run, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(5):
        with (tmp_path / "in" / str(number)).open("wb") as file:
            file.truncate(20 * MIB)
    result = run("push", "in", "out", "--json", "-c", "2")
    starts = [event for event in lines_of(result) if event["event"] == "start"]
    parts = {Path(event["target"]).name: event["parts"] for event in starts}
    assert parts == {"0": 0, "1": 0, "2": 0, "3": 4, "4": 4}


# --- What goes wrong ----------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["push", "nowhere", "out"], 3, "nowhere: No such file or directory"),
        (["push", "nowhere", "nobody", "out"], 3, "nothing copied, 2 failed"),
        (["push", "in/one", "nowhere", "out"], 1, "1 file copied, 1 failed"),
        (["push", "in", "foo://x"], 2, "no store is known for foo:; known are"),
        (["push", "foo://x", "out"], 2, "no store is known for foo:"),
        (["push", "in/one", "in/one"], 2, "is both source and target"),
        (["push", "in", "out", "-p", "12Q"], 2, "--part-size: '12Q' is not valid"),
        (["push", "in", "out", "-c", "0"], 2, "--concurrency: '0' is not valid"),
        (["push", "in", "out", "--timeout", "x"], 2, "--timeout: 'x' is not valid"),
        (["push", "in", "out", "--metadata", "x"], 2, "write NAME=VALUE"),
        (["pull", "in", "s3://bucket/"], 2, "use push to copy to a store"),
        (["push", "in", "out", "--bogus"], 2, "No such option"),
        (["push", "in"], 2, "Missing argument"),
        (["psuh"], 2, "No such command"),
    ],
)
def test_errors_are_a_line_and_a_code(run, tree, args, code, words):
    result = run(*args)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("words", [["--version"], ["push", "--help"], ["settings"]])
def test_an_output_that_is_full_is_one_line(words):
    with Path("/dev/full").open("w") as full:
        command = [COMMAND, *words]
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr == "transfer: error: cannot write the output: No space left on device\n"


def test_what_is_there_and_no_file_is_left_alone(run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for source in ("pipe", "/dev/null"):
        result = run("push", source, "out")
        assert result.returncode == 1, result.stderr
        assert "is not a regular file: it is left alone" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_misspelt_setting_stops_everything(run, tree):
    result = run("push", "in", "out", TRANSFER_CONCURENCY="3")
    assert result.returncode == 2
    assert result.stderr == (
        "transfer: error: unknown setting TRANSFER_CONCURENCY; did you mean TRANSFER_CONCURRENCY?\n"
    )


def test_json_of_a_run_that_never_began(run, tree):
    result = run("push", "in", "foo://x", "--json")
    assert result.returncode == 2
    (summary,) = lines_of(result)
    assert (summary["event"], summary["exit_code"]) == ("summary", 2)
    assert result.stderr == f"transfer: error: {summary['error']}\n"


def test_tracebacks_are_for_those_who_ask(run):
    assert "Traceback" in run("push", "nowhere", "out", "-vv").stderr


def test_a_store_that_is_not_there_is_a_temporary_failure(run, tree):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address_of(server)
    result = run(
        "push", "in/one", "s3://b/k", "--endpoint-url", address, "-v", TRANSFER_ATTEMPTS="2"
    )
    assert result.returncode == 5
    assert result.stderr.count("put failed, next attempt") == 1
    assert "gave up after 2 attempts" in result.stderr
    assert "Signature" not in result.stderr


def test_parts_to_a_store_that_is_not_there_are_a_temporary_failure_too(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = address_of(server)
    (tmp_path / "large").write_bytes(bytes(24 * MIB))
    args = ("push", "--endpoint-url", endpoint, "large", "s3://bucket/key")
    result = run(*args, TRANSFER_ATTEMPTS="2")
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.count("\n") == 1
    assert "gave up after 2 attempts" in result.stderr


def test_names_cannot_control_a_terminal(run, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"a\x1b[31mred\nline", b"[bold]b", b"c\xff", "d\u202eexe".encode()):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"x")
    result = run("push", "in", "out", "-v", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert result.stderr.count("\n") == 5
    for shown in ("a\\x1b[31mred\\nline", "[bold]b", "c\\udcff", "d\\u202eexe"):
        assert shown in result.stderr
    assert all(char.isprintable() or char == "\n" for char in result.stderr)
    listed = run("push", "-n", "in", "out2", PYTHONIOENCODING="ascii")
    assert (listed.returncode, listed.stdout.count("\n")) == (0, 4)


# --- Signals ------------------------------------------------------------------


@pytest.fixture
def started(environ, tmp_path, tree, silent_server):
    """Start a push to a server that never answers, and wait for its request."""

    @contextmanager
    def start(*args: str) -> Generator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [COMMAND, "push", *args, "--endpoint-url", address_of(silent_server)],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            silent_server.settimeout(30)
            connection, _ = silent_server.accept()
            try:
                connection.settimeout(30)
                assert connection.recv(1)
                yield process
            finally:
                process.kill()
                connection.close()

    return start


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_winds_the_run_up(started, number, code):
    with started("in/one", "s3://b/k") as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, out) == (code, "")
        assert err.splitlines() == [
            "transfer: interrupted, winding up; once more exits at once",
            "transfer: interrupted, nothing copied",
        ]


def test_an_interrupted_run_has_a_summary_in_json(started):
    with started("in/one", "s3://b/k", "--json") as process:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5)
        assert (process.returncode, err) == (143, "")
        events = [json.loads(line) for line in out.splitlines()]
        assert {"event": "interrupted", "signal": "SIGTERM"} in events
        assert (events[-1]["exit_code"], events[-1]["interrupted"]) == (143, True)


def test_the_second_signal_leaves_at_once(started):
    # Opening an upload is not cut in the middle, so this one takes its time to end.
    with started("in/sub/three", "s3://b/k") as process:
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=1) == 130


def test_winding_up_ends(started):
    with started("in/sub/three", "s3://b/k") as process:
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert time.monotonic() - begun < 6


# --- Outputs that end ---------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["push", "in", "out", "--json"], ["settings"], ["push", "-n", "in", "out"]]
)
def test_a_reader_that_leaves_is_no_traceback(environ, tmp_path, tree, args):
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [COMMAND, *args],
        cwd=tmp_path,
        env=environ,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


def test_a_full_disk_below_the_output_is_told(environ, tmp_path, tree):
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [COMMAND, "push", "in", "out", "--json"],
            cwd=tmp_path,
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == ("transfer: error: cannot write the output: No space left on device\n")


def test_outputs_that_were_closed_do_not_matter(environ, tmp_path, tree):
    result = subprocess.run(
        ["sh", "-c", 'exec "$0" push in out --json >&- 2>&-', COMMAND],
        cwd=tmp_path,
        env=environ,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0
    assert content_of(tmp_path / "out" / "in") == content_of(tree)


# --- A terminal ---------------------------------------------------------------


class Terminal:
    """A process on a pseudo-terminal, and what it has written there."""

    def __init__(self, args, cwd, environ, width=100) -> None:
        self.screen, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.process = subprocess.Popen(
            [COMMAND, *args], cwd=cwd, env=environ, stdin=side, stdout=side, stderr=side
        )
        os.close(side)
        self.text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)

    def read_until(self, words, seconds=30):
        """Read on until these words have appeared, or for `None` until the end."""
        deadline = time.monotonic() + seconds
        while words is None or words not in self.text:
            ready, _, _ = select.select([self.screen], [], [], deadline - time.monotonic())
            assert ready, f"{words!r} did not come: {self.text[-500:]!r}"
            try:
                self.text += os.read(self.screen, 65536).decode()
            except OSError:
                assert words is None, f"{words!r} did not come: {self.text[-500:]!r}"
                return


def test_a_terminal_shows_the_run_and_is_left_clean(environ, tmp_path, tree, silent_server):
    args = ["push", "in/one", "s3://b/k", "--endpoint-url", address_of(silent_server)]
    with Terminal(args, tmp_path, environ) as terminal:
        terminal.read_until("s3://b/k")
        terminal.read_until("0 of 1 file")
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(None)
        assert terminal.process.wait(timeout=5) == 130
    assert "transfer: interrupted, nothing copied" in terminal.text
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")


def test_a_short_run_on_a_terminal_is_its_summary(environ, tmp_path, tree):
    with Terminal(["push", "in/one", "out"], tmp_path, environ) as terminal:
        terminal.read_until(None)
        assert terminal.process.wait(timeout=5) == 0
    assert "1 file copied: 10 B in " in terminal.text


def test_no_display_where_none_is_wanted(environ, tmp_path, tree):
    for more in (["--no-progress"], ["-q"]):
        with Terminal(["push", "in/", "out", *more], tmp_path, environ) as terminal:
            terminal.read_until(None)
            assert terminal.process.wait(timeout=5) == 0
        assert "\x1b" not in terminal.text
