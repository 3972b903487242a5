"""The commands of the coordinator; its libraries are an extra that may be missing."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from transfer.cli.exit_codes import OK
from transfer.cli.guard import put, tell
from transfer.errors import MissingExtraError
from transfer.settings import Settings
from transfer.sinks.escaping import visible

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence


def serve_until_stopped(params: Mapping[str, Any]) -> int:
    """Run a coordinator with the options that were typed."""
    with _server_extra():
        from transfer.coordinator.serve import ServeOptions, serve

    values = {name: value for name, value in params.items() if name != "verbose"}
    values["allowed_hosts"] = split_hosts(params["allowed_hosts"] or ())
    serve(ServeOptions(**values), Settings.load())
    return OK


def create_token(uri: str | None, name: str, prefix: str, *, read_only: bool) -> int:
    """Make a token; it alone goes to standard output, so that a script can keep it."""
    with _server_extra():
        from transfer.coordinator import tokens

    put(tokens.create_token(Settings.load(), uri, name, prefix, read_only=read_only))
    tell("this is shown only now; clients set it as TRANSFER_TOKEN")
    return OK


def list_tokens(uri: str | None) -> int:
    """Show all tokens as a table."""
    with _server_extra():
        from transfer.coordinator import tokens

    head = ("ID", "NAME", "PREFIX", "ACCESS", "CREATED")
    rows = [
        (
            row.id,
            visible(row.name),
            visible(row.prefix) or "(all keys)",
            "read" if row.read_only else "read, write",
            f"{datetime.fromtimestamp(row.created, UTC):%Y-%m-%d %H:%M} UTC",
        )
        for row in tokens.list_tokens(Settings.load(), uri)
    ]
    for line in aligned([head, *rows]):
        put(line)
    return OK


def revoke_token(uri: str | None, token_id: str) -> int:
    """Make a token worthless."""
    with _server_extra():
        from transfer.coordinator import tokens

    tokens.revoke_token(Settings.load(), uri, token_id)
    tell(f"{visible(token_id)} is revoked")
    return OK


def split_hosts(values: Iterable[str]) -> tuple[str, ...]:
    """Return host names given one by one, or several with commas."""
    return tuple(host.strip() for value in values for host in value.split(",") if host.strip())


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines, with the columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


@contextmanager
def _server_extra() -> Generator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "transfer":
            raise
        raise MissingExtraError(
            f"the coordinator needs the module {error.name}",
            hint="pip install 'multipart-transfer[server]'",
        ) from error
