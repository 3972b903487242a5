"""The benchmark and `transfer bench`, small, with whatever peers are installed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import report
from bench.cases import parse_load
from bench.peers import named
from bench.results import read
from tests.support.servers import BUCKET, clean_environment, have

if TYPE_CHECKING:
    from tests.support.servers import S3Server

ROOT = Path(__file__).parents[2]
COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
pytestmark = pytest.mark.servers
# All would take minutes; these speak to the server in all the ways that there are.
PEERS_HERE = "transfer,curl,boto3"


def measure(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a tiny benchmark through everything."""
    if not (have("cc") or have("gcc")) or not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("the sink needs a C compiler and OpenSSL's headers: make bench-peers")
    folder = tmp_path_factory.mktemp("bench")
    done = measure(
        *("--load", "12MiB,5x16KiB", "--part-size", "5MiB", "--repeats", "1"),
        *("--peers", PEERS_HERE),
        *("--folder", str(folder), "--out", str(folder), "--name", "tiny"),
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []
    return folder / "tiny.json"


@pytest.mark.timeout(300)
def test_every_peer_that_is_there_is_measured_and_its_bytes_are_compared(measured: Path):
    found = read(measured)
    assert len(found.cases) == 8
    present = {peer.name for peer in named(PEERS_HERE) if peer.needs() is not None}
    assert "transfer" in present
    for name, case in found.cases.items():
        left_out = found.left_out.get(name, {})
        rows = {run.peer for run in found.runs if run.case == name}
        assert rows | set(left_out) == present
        assert {"transfer", "curl"} & present <= rows, left_out
        assert {entry for entry in found.verified if entry.startswith(f"{name}: ")} == {
            f"{name}: {peer}" for peer in rows
        }
        for run in found.runs:
            if run.case == name:
                assert run.wall > 0
                assert run.user + run.system > 0
                assert run.peak > 1 << 20
                assert run.requests >= case.load.count


@pytest.mark.timeout(300)
def test_requests_are_counted_by_the_server(measured: Path):
    found = read(measured)
    [curl] = [
        run for run in found.runs if run.peer == "curl" and run.case == "1x12MiB p5MiB up http"
    ] or pytest.skip("curl is not installed")
    assert curl.requests == 3
    assert parse_load("12MiB").bytes == curl.bytes
    [ours] = [
        run for run in found.runs if run.peer == "transfer" and run.case == "1x12MiB p5MiB up http"
    ]
    assert ours.checks == "CRC"


@pytest.mark.timeout(300)
def test_results_are_compared(measured: Path):
    same = measure("compare", str(measured), str(measured))
    assert same.returncode == 0
    assert "transfer: wall x1.00" in same.stdout
    values = json.loads(measured.read_text())
    for run in values["runs"]:
        if run["peer"] == "transfer":
            run["wall"] *= 2
    slower = measured.with_name("slower.json")
    slower.write_text(json.dumps(values))
    assert measure("compare", str(measured), str(slower)).returncode == 1


@pytest.mark.timeout(300)
def test_results_are_put_where_people_read_them(measured: Path, monkeypatch: pytest.MonkeyPatch):
    readme = measured.with_name("README.md")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "DOCUMENT", measured.parent / "docs/benchmarks.md")
    readme.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    made = report.wanted(measured.parent)
    assert made[readme].startswith("before\n")
    assert made[readme].endswith(f"{report.END}after\n")
    assert "| transfer |" in made[readme]
    assert "old" not in made[readme]
    assert "### 5x16KiB" in made[report.DOCUMENT]


def test_bad_arguments_are_told_in_a_line():
    done = measure("--load", "nonsense")
    assert done.returncode == 1
    assert done.stderr.startswith("bench: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def store_bench(rclone: S3Server, tmp_path: Path):
    environ = clean_environment(
        {**rclone.environ, "TMPDIR": str(tmp_path), "TRANSFER_STATE_DIR": str(tmp_path / "state")}
    )

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "bench", f"s3://{BUCKET}/scratch", *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def left_behind(rclone: S3Server, tmp_path: Path) -> list[str]:
    assert rclone.folder is not None
    kept = [path.name for path in (rclone.folder / BUCKET).rglob("transfer-bench-*")]
    return kept + [path.name for path in tmp_path.glob("transfer-bench-*")]


def test_store_is_measured_and_left_as_it_was(store_bench, rclone: S3Server, tmp_path: Path):
    process = store_bench("--max-time", "12s", "--max-size", "64MiB", "--json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert {trial["upload"] for trial in found["trials"]} == {True, False}
    assert sum(trial["size"] for trial in found["trials"] if trial["upload"]) <= 64 << 20
    assert found["advice"]["upload"]["connections"] in {4, 8, 16, 32, 64}
    assert found["advice"]["download"]["limit"]
    assert found["left"] == []
    assert left_behind(rclone, tmp_path) == []


def test_interrupted_measurement_deletes_what_it_wrote(
    store_bench, rclone: S3Server, tmp_path: Path
):
    process = store_bench("--max-time", "60s", "--max-size", "4GiB")
    assert process.stderr is not None
    first = process.stderr.readline()
    assert first.startswith("up ")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert left_behind(rclone, tmp_path) == []


def test_endpoint_that_is_not_there_is_an_error(store_bench):
    process = store_bench("--endpoint-url", "http://127.0.0.1:1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "127.0.0.1:1" in err


def test_bounds_are_checked(store_bench):
    for wrong in (("--max-size", "1KiB"), ("--max-time", "soon"), ("--max-time", "0")):
        process = store_bench(*wrong)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2, err
