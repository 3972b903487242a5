"""What a later run must know to go on with a transfer: noted, recalled, written as a command.

A record holds a source, a target and how they were reached; never who was let
in. What would change the meaning of the transfer (an object that must not be
replaced, a content that is expected) is noted too, and comes back as flags.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from transfer.locations import recorded
from transfer.redaction import redact
from transfer.registry import typed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transfer.engine.report import Options
    from transfer.journal import Record
    from transfer.settings import Settings

# Settings without which the same words would name another place.
_PLACES = ("s3_endpoint_url", "tracking_uri")
_SWITCHES = ("no_clobber", "require_verified")


def remembered(settings: Settings, options: Options) -> tuple[tuple[str, str], ...]:
    """Return what is noted of how a run was set up, by the names of fields."""
    places = {name: address_of(getattr(settings, name)) for name in _PLACES}
    noted = [(name, address) for name, address in places.items() if address]
    noted += [(name, "true") for name in _SWITCHES if getattr(options, name)]
    if options.expect is not None:
        noted.append(("expect", str(options.expect)))
    if options.metadata:
        noted.append(("metadata", json.dumps(dict(options.metadata))))
    return tuple(noted)


def recalled(record: Record, settings: Settings) -> Settings:
    """Return settings with which a record's source and target are the places that they were."""
    noted = dict(record.settings)
    changes: dict[str, Any] = {
        name: noted.get(name)
        for name in _PLACES
        if address_of(getattr(settings, name)) != noted.get(name)
    }
    return replace(settings, **changes) if changes else settings


def is_pull(record: Record) -> bool:
    """Tell whether the target is on this machine."""
    return record.target.startswith("/")


def places_of(record: Record) -> tuple[str, str]:
    """Return source and target as they are typed."""
    return typed(recorded(record.source)), typed(recorded(record.target))


def flags_of(record: Record) -> dict[str, str | bool | tuple[str, ...]]:
    """Return the flags that the command needs to go on, by their names with underscores."""
    noted = dict(record.settings)
    flags: dict[str, str | bool | tuple[str, ...]] = {}
    if "s3_endpoint_url" in noted and "s3:" in (record.source[:3], record.target[:3]):
        flags["endpoint_url"] = noted["s3_endpoint_url"]
    flags |= {name: True for name in _SWITCHES if name in noted}
    if "expect" in noted:
        flags["expect"] = noted["expect"]
    if "metadata" in noted:
        pairs: dict[str, str] = json.loads(noted["metadata"])
        flags["metadata"] = tuple(f"{name}={value}" for name, value in pairs.items())
    return flags


def resumption_of(record: Record) -> Iterator[str]:
    """Yield the words of the command that goes on with a transfer."""
    yield from ("transfer", "pull" if is_pull(record) else "push")
    for name, value in flags_of(record).items():
        yield from words_of(name, value)
    yield from places_of(record)


def words_of(name: str, value: str | bool | tuple[str, ...] | None) -> Iterator[str]:  # noqa: FBT001 - a flag's value
    """Yield a flag as it is typed; nothing for one that is not set."""
    option = f"--{name.replace('_', '-')}"
    match value:
        case True:
            yield option
        case str():
            yield from (option, value)
        case tuple():
            for item in value:
                yield from (option, item)
        case _:
            return


def address_of(url: str | None) -> str | None:
    """Return a URL as it may be written down, without user and password; None for what is none."""
    if not url or "://" not in url:
        return None
    return redact(url).removesuffix("?…")
