"""What the command and the package load, in a process of its own: start-up is mostly that."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.servers import clean_environment

# What even a local copy is made with: the loop, retries, checksums, the wire, and the journal.
ENGINE = {"anyio", "crc32c", "httptools", "platformdirs", "tenacity", "typing_extensions"}
LOCAL = ("backends.linux", "backends.local", "backends.partial_file")
# Of the standard library, what takes longest to load.
SLOW = {"argparse", "asyncio", "email", "http", "importlib.metadata", "logging", "ssl", "tempfile"}


def loaded(program: str) -> set[str]:
    """Run a program; return the full names of the modules that it has loaded at its end."""
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules)); {program}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.splitlines()[-1].split())


def loaded_by_command(*args: str) -> set[str]:
    """Run the command; return the full names of the modules that it has loaded at its end."""
    return loaded(f"sys.argv = {['transfer', *args]!r}; from transfer.cli import main; main()")


@pytest.fixture(scope="module")
def bare():
    """What the interpreter loads by itself, and an editable installation with it."""
    return loaded("pass")


def libraries(names: set[str]) -> set[str]:
    """Return the packages that are neither the standard library's nor ours."""
    tops = {name.partition(".")[0] for name in names}
    compiled = {name for name in tops if "cython" in name}
    return tops - sys.stdlib_module_names - compiled - {"backends", "transfer"}


def test_importing_the_package_loads_one_module(bare):
    new = loaded("import transfer") - bare
    assert {name for name in new if name.startswith(("backends", "transfer"))} == {"transfer"}
    assert not libraries(new)
    assert not new & SLOW


@pytest.mark.parametrize(
    "args", [["--version"], ["--help"], ["push", "--help"], ["serve", "--help"]]
)
def test_help_loads_click_and_no_engine(bare, args):
    new = loaded_by_command(*args) - bare
    assert libraries(new) == {"click"}
    assert not new & SLOW
    assert not {name for name in new if name.startswith(("backends", "transfer.engine"))}


def test_loading_the_engine_loads_no_store_and_no_metadata_of_packages(bare):
    new = loaded("import transfer; transfer.Engine") - bare
    assert {"anyio", "tenacity"} <= libraries(new) <= ENGINE - {"crc32c"}
    assert not new & {"argparse", "http", "importlib.metadata"}
    assert not {name for name in new if name.startswith(("backends", "transfer.cli"))}


def test_a_local_copy_loads_one_store_and_no_display(bare, tmp_path):
    (tmp_path / "from").write_bytes(b"content")
    state = f"import os; os.environ['TRANSFER_STATE_DIR'] = {str(tmp_path / 'state')!r}"
    argv = ["transfer", "push", str(tmp_path / "from"), str(tmp_path / "to")]
    new = loaded(f"{state}; sys.argv = {argv!r}; from transfer.cli import main; main()") - bare
    assert {"click", "tenacity"} <= libraries(new) <= ENGINE | {"click"}
    stores = {name for name in new if name.startswith("backends.")}
    assert not {name for name in stores if not name.startswith(LOCAL)}
    assert "transfer.coordinator" not in new
    assert (tmp_path / "to").read_bytes() == b"content"
