"""Writes the generated parts of the README; `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from transfer.settings import markdown_table

README = Path(__file__).parent.parent / "README.md"
BEGIN = "<!-- settings: made by `transfer settings --markdown` -->\n"
END = "<!-- /settings -->"


def with_tables(text: str) -> str:
    """Return the README with its tables as they must be now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{markdown_table()}{END}{after}"


def main() -> None:
    """Write, or say that somebody should."""
    text = README.read_text()
    if "--check" not in sys.argv:
        README.write_text(with_tables(text))
    elif text != with_tables(text):
        sys.exit("the README's tables are not those of the code: python -m bench.readme")


if __name__ == "__main__":
    main()
