"""Processes that die when they are told to, and system calls that fail."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.harness import BUCKET, StrictStore
from tests.faults.harness.by_hand import presigned, send
from tests.faults.harness.kill import COMMAND, Serving, answers, instants, running, transfer
from tests.faults.harness.strace import Inject, needs_strace, traced
from tests.support.servers import clean_environment

MIB = 1024**2


def python(code):
    return [sys.executable, "-c", code]


@pytest.fixture
def environ(tmp_path):
    return clean_environment({"HOME": str(tmp_path), "TRANSFER_STATE_DIR": str(tmp_path / "state")})


def test_moments_are_the_same_for_the_same_seed():
    assert instants(1, 5, 2.0) == instants(1, 5, 2.0) != instants(2, 5, 2.0)
    assert all(0 <= moment <= 2 for moment in instants(1, 5, 2.0))


async def test_a_program_that_ends(environ, tmp_path):
    async with running(python("print('well'); raise SystemExit(3)"), environ, tmp_path) as run:
        assert await run.ended() == 3
        assert run.text == "well\n"


async def test_killed_after_a_while(environ, tmp_path):
    async with running(python("import time; time.sleep(60)"), environ, tmp_path) as run:
        assert run.code is None
        assert await run.kill_after(0.02) == -signal.SIGKILL


async def test_faster_than_its_killer(environ, tmp_path):
    async with running(python("pass"), environ, tmp_path) as run:
        assert await run.kill_after(30) == 0


async def test_killed_at_a_line(environ, tmp_path):
    code = "import time\nfor n in range(1000): print('line', n, flush=True); time.sleep(0.005)"
    async with running(python(code), environ, tmp_path) as run:
        assert await run.kill_at_line(r"line [34]$") == -signal.SIGKILL
        assert "line 3" in run.text
        assert "line 900" not in run.text


async def test_a_line_that_never_comes(environ, tmp_path):
    async with running(python("print('other')"), environ, tmp_path) as run:
        with pytest.raises(TimeoutError, match="ended without saying"):
            await run.until_line("this")


async def test_children_die_too(environ, tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('child', child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    async with running(python(code), environ, tmp_path) as run:
        child = int((await run.until_line("child")).split()[1])
        await run.kill_when(lambda: True)
    async with running(python("pass"), environ, tmp_path) as other:
        # The child has become somebody else's; it is gone, or nothing but an entry.
        await other.until(lambda: not alive(child), 5)


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_leaving_kills(environ, tmp_path):
    async with running(python("import time; time.sleep(60)"), environ, tmp_path) as run:
        pass
    assert run.code == -signal.SIGKILL


async def test_the_command_killed_at_a_count_of_requests(environ, tmp_path):
    source = tmp_path / "large"
    source.write_bytes(os.urandom(6 * 5 * MIB))
    async with StrictStore() as store:
        arguments = ["push", "--part-size", "5MiB", str(source), f"s3://{BUCKET}/large"]
        async with transfer(*arguments, environ=environ | store.environ, folder=tmp_path) as run:
            code = await run.kill_when(lambda: store.count("UploadPart") >= 2)
        assert code == -signal.SIGKILL, run.text
        assert store.objects == {}
        assert len(store.open_uploads) == 1
        async with transfer(*arguments, environ=environ | store.environ, folder=tmp_path) as run:
            assert await run.ended() == 0, run.text
        assert store.objects["large"].data == source.read_bytes()


async def test_a_coordinator_killed_and_started_again(environ, tmp_path):
    objects = tmp_path / "objects"
    async with Serving(str(objects), environ=environ, folder=tmp_path) as serving:
        assert await answers(serving.port)
        first = serving.run.process.pid
        assert await serving.kill() == -signal.SIGKILL
        assert not await answers(serving.port)
        await serving.start()
        assert serving.run.process.pid != first
        assert await answers(serving.port)
        assert await serving.stop() in {0, 143, -signal.SIGTERM}
        assert not await answers(serving.port)


# --- System calls


async def traced_python(code, environ, folder, *injected, path=None):
    command = traced(python(code), *injected, log=folder / "strace", path=path)
    async with running(command, environ, folder) as run:
        code = await run.ended()
    return code, run.text


@needs_strace
async def test_a_call_that_fails(environ, tmp_path):
    code = "import os; f = os.open('a', os.O_CREAT | os.O_RDWR); os.fsync(f)"
    ended, said = await traced_python(code, environ, tmp_path, Inject("fsync", error="EIO"))
    assert ended == 1
    assert "Input/output error" in said


@needs_strace
async def test_one_call_of_many(environ, tmp_path):
    code = (
        "import os; f = os.open('a', os.O_CREAT | os.O_RDWR)\n"
        "for n in range(5):\n"
        "    try: os.pwrite(f, b'x' * 10, n * 10)\n"
        "    except OSError as error: print(n, error.strerror)"
    )
    inject = Inject("pwrite64", error="ENOSPC", when="3")
    ended, said = await traced_python(code, environ, tmp_path, inject)
    assert (ended, said) == (0, "2 No space left on device\n")


@needs_strace
async def test_calls_on_one_file_only(environ, tmp_path):
    code = (
        "import os\n"
        "for name in 'abc':\n"
        "    try: os.write(os.open(name, os.O_CREAT | os.O_WRONLY), b'x')\n"
        "    except OSError as error: print(name, error.strerror)"
    )
    inject = Inject("write", error="ENOSPC")
    _, said = await traced_python(code, environ, tmp_path, inject, path=tmp_path / "b")
    assert said == "b No space left on device\n"


@needs_strace
async def test_dying_exactly_at_a_rename(environ, tmp_path):
    code = "open('a', 'w').write('new'); open('b', 'w').write('old'); os.replace('a', 'b')"
    inject = Inject("rename", signal="KILL")
    await traced_python(f"import os; {code}", environ, tmp_path, inject)
    assert (tmp_path / "a").read_text() == "new"
    assert (tmp_path / "b").read_text() == "old"


@needs_strace
@pytest.mark.parametrize(
    "inject", [Inject("fsync", error="EIO"), Inject("rename", signal="KILL")], ids=str
)
async def test_the_command_and_its_disk(environ, tmp_path, inject):
    target = tmp_path / "target"
    target.mkdir()
    command = [COMMAND, "pull", f"s3://{BUCKET}/a", str(target / "a")]
    async with StrictStore() as store:
        message = presigned(store, "PUT", "a", body=b"x" * 100_000)
        assert (await send(store, message)).status == 200
        line = traced(command, inject, log=tmp_path / "strace")
        async with running(line, environ | store.environ, tmp_path) as run:
            assert await run.ended() != 0
    left = [entry.name for entry in target.iterdir()]
    assert "a" not in left
    if inject.signal:
        # It died between the last byte and the name.
        assert any(name.endswith(".partial") for name in left)
