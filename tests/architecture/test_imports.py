"""What loading the package costs: nothing that the caller did not ask for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "aiobotocore",
    "aiohttp",
    "alembic",
    "botocore",
    "click",
    "crc32c",
    "fastapi",
    "gcloud",
    "pydantic",
    "rich",
    "sqlalchemy",
    "uvicorn",
}


def loaded_by(program: str) -> set[str]:
    """Run a program in a fresh interpreter; return the top level names of what it loaded."""
    code = f"{program}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(answer.stdout.split())


def test_import_transfer_loads_no_library():
    loaded = loaded_by("import transfer")
    assert "transfer" in loaded
    assert not loaded & HEAVY
    assert "anyio" not in loaded
    assert "backends" not in loaded


@pytest.mark.parametrize(
    "module", ["planner", "machine", "scheduler", "retries", "keys", "settings", "signing", "store"]
)
def test_pure_modules_load_no_library(module: str):
    assert not loaded_by(f"import transfer.{module}") & (HEAVY | {"anyio", "asyncio"})


def test_engine_loads_what_moves_bytes_and_nothing_of_the_edges():
    loaded = loaded_by("import transfer; transfer.Engine")
    assert not loaded & HEAVY
    assert "httptools" in loaded
    assert "backends" not in loaded


def test_worker_process_loads_no_more_than_it_needs():
    """The time that this takes is the reason why few files are not worth a worker."""
    loaded = loaded_by(
        "import transfer.workers.process, backends.s3.batches, backends.local.batches"
    )
    assert "httptools" in loaded
    assert not loaded & (HEAVY | {"asyncio", "email", "tenacity"})


def test_folder_is_opened_without_an_sdk():
    loaded = loaded_by("import backends.local.store, backends.memory")
    assert not loaded & (HEAVY - {"crc32c"})


def test_what_is_loaded_would_be_seen():
    assert {"pydantic", "rich"} <= loaded_by("import pydantic, rich")
