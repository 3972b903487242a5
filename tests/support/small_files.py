"""Folders of small files, and what is in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_tree(root: Path, count: int, folders: int) -> Path:
    """Make so many files of different sizes, in so many folders; return the root."""
    for number in range(count):
        path = root / f"d{number % folders}" / f"f{number:03}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 31))
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, unfinished ones included."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}
