from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import transfer

ROOT = Path(transfer.__file__).parent


@pytest.mark.parametrize("name", transfer.__all__)
def test_public_name_is_there(name: str):
    found = getattr(transfer, name)
    assert found.__name__ == name
    assert found.__module__.startswith("transfer.")


def test_public_names_are_listed_once_and_in_order():
    assert transfer.__all__ == sorted(set(transfer.__all__))


def test_names_for_the_type_checker_are_the_same():
    """The facade imports lazily: the list, the table and the imports must not drift apart."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    homes = {
        name.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("transfer.")
        for name in node.names
    }
    assert homes == transfer._HOMES
    assert set(homes) == set(transfer.__all__)


def test_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        transfer.Nothing  # noqa: B018


def test_star_import_gives_the_public_names():
    code = "from transfer import *; print(*sorted(n for n in dir() if not n.startswith('_')))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == transfer.__all__


def test_package_says_that_it_is_typed():
    assert (ROOT / "py.typed").exists()
