"""Files and functions that stay small enough to be read."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import indent

import pytest

ROOT = Path(__file__).parents[2]
MOST_LINES = 450
MOST_IN_A_FUNCTION = 40
# Tables: the fields of the settings, the columns of the database.
TABLES = {"transfer/settings.py", "transfer/coordinator/migrations/versions/0001_first.py"}

FILES = sorted(
    path for package in ("transfer", "backends") for path in (ROOT / package).rglob("*.py")
)


def too_long(source: str) -> list[str]:
    """Return functions with more lines than allowed, not counting signature and docstring."""
    return [
        f"{node.name} (line {node.lineno}) has {lines} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _lines(node)) > MOST_IN_A_FUNCTION
    ]


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short(path: Path):
    if str(path.relative_to(ROOT)) not in TABLES:
        assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path: Path):
    if str(path.relative_to(ROOT)) not in TABLES:
        assert too_long(path.read_text()) == []


def test_long_function_is_caught_and_its_docstring_is_not_counted():
    body = "    x = 1\n" * MOST_IN_A_FUNCTION
    docstring = '    """Say\n' + "    much\n" * 50 + '    """\n'
    assert too_long(f"def f(\n    a,\n    b,\n):\n{docstring}{body}") == []
    assert too_long(f"async def f():\n{body}    x = 2\n") == ["f (line 1) has 41 lines"]
    assert too_long(f"def f():\n    def g():\n{indent(body, '    ')}        x = 2\n")
    assert too_long(f"def f():\n{docstring}") == []
