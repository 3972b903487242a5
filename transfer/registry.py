"""Which scheme is which store: names only, so that nothing is loaded before it is needed.

This table is the one place in the package that spells the names of the backends.
Other distributions add theirs by an entry point in the group `transfer.stores`
(name: the scheme; value: an opener, see `transfer.store.Opener`).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

import anyio.to_thread

from transfer.content_types import known_types
from transfer.errors import MissingExtraError, UnknownSchemeError
from transfer.locations import Style, parse, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from importlib.metadata import EntryPoint

    from transfer.locations import Location
    from transfer.store import Context, Opener, Store


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the URLs of a scheme are read, who opens them, and the extra that brings the library.

    `rooted` says that a folder of it can be a root by itself.
    """

    opener: str
    style: Style
    extra: str = ""
    rooted: bool = False


BUILTIN: dict[str, Scheme] = {
    "file": Scheme("backends.local.store:open_store", Style.PATH, rooted=True),
    "memory": Scheme("backends.memory:open_store", Style.LITERAL),
    "s3": Scheme("backends.s3.store:open_store", Style.LITERAL, "s3"),
    "sftp": Scheme("backends.sftp.store:open_store", Style.DECODED, "sftp", rooted=True),
    "ftp": Scheme("backends.ftp.store:open_store", Style.DECODED, "ftp", rooted=True),
    "ftps": Scheme("backends.ftp.store:open_store", Style.DECODED, "ftp", rooted=True),
    "http": Scheme("backends.web.store:open_store", Style.DECODED, "webdav"),
    "https": Scheme("backends.web.store:open_store", Style.DECODED, "webdav"),
    "webdav": Scheme("backends.web.store:open_store", Style.DECODED, "webdav"),
    "webdavs": Scheme("backends.web.store:open_store", Style.DECODED, "webdav"),
    "hdfs": Scheme("backends.hdfs.store:open_store", Style.OPTIONAL_HOST, "hdfs"),
    "wasbs": Scheme("backends.azure.store:open_store", Style.LITERAL, "azure"),
    "wasb": Scheme("backends.azure.store:open_store", Style.LITERAL, "azure"),
    "abfss": Scheme("backends.azure.store:open_store", Style.LITERAL, "azure"),
    "az": Scheme("backends.azure.store:open_store", Style.LITERAL, "azure"),
    "gs": Scheme("backends.gcs.store:open_store", Style.LITERAL, "gcs"),
    "mlflow-artifacts": Scheme("backends.coordinated.store:open_store", Style.DECODED),
    "transfer+http": Scheme("backends.coordinated.store:open_store", Style.DECODED),
    "transfer+https": Scheme("backends.coordinated.store:open_store", Style.DECODED),
}


def locate(text: str) -> Location:
    """Read a URL or a path; raises UsageError, UnknownSchemeError."""
    return parse(text, _style_of)


def typed(location: Location) -> str:
    """Return what `locate` reads as this place; user and password are left out."""
    return written(location, _style_of)


def open_root(location: Location, context: Context) -> AbstractAsyncContextManager[Store]:
    """Open the store that a location is in; MissingExtraError if its library is not installed."""
    return _opened(location.scheme, location.root, context)


def open_folder(
    location: Location, context: Context
) -> tuple[AbstractAsyncContextManager[Store], str]:
    """Open a location as a root of its own; return the store and the prefix still to be added.

    Where there are folders, this one becomes the root itself, so that nothing
    above it can be reached; elsewhere a prefix does that.
    """
    if location.scheme in BUILTIN and BUILTIN[location.scheme].rooted:
        root = f"{location.root.rstrip('/')}/{location.key.rstrip('/')}"
        if location.scheme == "file":
            root = f"file:///{location.key.rstrip('/')}"
        return _opened(location.scheme, root, context), ""
    prefix = location.key.strip("/")
    return open_root(location, context), f"{prefix}/" if prefix else ""


@asynccontextmanager
async def _opened(scheme: str, root: str, context: Context) -> AsyncIterator[Store]:
    # Importing an SDK takes half a second, and content types come from files of
    # the system: not on the event loop.
    _, opener = await anyio.to_thread.run_sync(lambda: (known_types(), _opener(scheme)))
    async with opener(root, context) as store:
        yield store


def schemes() -> list[str]:
    """All schemes that a user may want, sorted."""
    return sorted({*BUILTIN, *_plugged()} - {"memory"})


def _style_of(scheme: str) -> Style:
    if scheme in BUILTIN:
        return BUILTIN[scheme].style
    if scheme in _plugged():
        return Style.LITERAL
    raise UnknownSchemeError(
        f"no store is known for {scheme}:", hint=f"known are a path, {', '.join(schemes())}"
    )


def _opener(scheme: str) -> Opener:
    if scheme not in BUILTIN:
        return cast("Opener", _plugged()[scheme].load())
    entry = BUILTIN[scheme]
    module, _, name = entry.opener.partition(":")
    try:
        return cast("Opener", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        if not entry.extra:
            raise
        raise MissingExtraError(
            f"{scheme}:// needs the module {error.name}",
            hint=f"pip install 'multipart-transfer[{entry.extra}]'",
        ) from error


def _plugged() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow, and seldom needed

    return {point.name: point for point in entry_points(group="transfer.stores")}
