"""Every setting with its value now: what is secret is only said to be set."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from transfer.cli.exit_codes import OK
from transfer.cli.guard import put
from transfer.redaction import redact
from transfer.settings import Settings, describe, markdown_table
from transfer.sinks.escaping import visible

if TYPE_CHECKING:
    from transfer.settings import Row


def show_settings(*, markdown: bool) -> int:
    """Write the table; `markdown` is the one of the README, which knows no values."""
    if markdown:
        sys.stdout.write(markdown_table())
        return OK
    settings, plain = Settings.load(), Settings()
    rows = list(describe())
    width = max(len(row.name) for row in rows)
    for row in rows:
        value = getattr(settings, row.field)
        changed = value != getattr(plain, row.field)
        put(f"{row.name:<{width}}  {shown(row, value) if changed else default(row)}")
    return OK


def default(row: Row) -> str:
    """Return what holds where nobody set anything."""
    return f"{row.default} (default)" if row.default else "unset"


def shown(row: Row, value: object) -> str:
    """Return a value as it may be shown; of JSON, the names only, and no user in a URL."""
    if row.secret:
        return "set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isinf(value):
        return "-1"
    if isinstance(value, Mapping):
        return "set: " + visible(", ".join(value))
    text = str(value)
    return visible(redact(text) if "://" in text else text)
