"""The files that are moved: random content, made once for each load, and compared after."""

from __future__ import annotations

import base64
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from crc32c import crc32c

from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.cases import Load
    from bench.sinks import Sink

# What is written before a run, so that the tree that is pushed is all there is.
PREFIX = "data/"


@dataclass(frozen=True, slots=True)
class Material:
    """The files of one load: their folder, names and checksums."""

    folder: Path
    names: tuple[str, ...]
    sums: tuple[str, ...]
    many: bool

    @property
    def local(self) -> str:
        """What a client is given: the file, or the folder with a slash."""
        return f"{self.folder}/" if self.many else str(self.folder / self.names[0])

    @property
    def key(self) -> str:
        """The same in the store."""
        return PREFIX if self.many else PREFIX + self.names[0]

    @property
    def keys(self) -> list[str]:
        return [PREFIX + name for name in self.names]

    def offers(self) -> dict[str, tuple[Path, str]]:
        """Return what a sink is to offer for download."""
        return {
            PREFIX + name: (self.folder / name, crc)
            for name, crc in zip(self.names, self.sums, strict=True)
        }


@contextmanager
def material(folder: Path, load: Load) -> Iterator[Material]:
    """Make the files of a load below a folder; they are removed at the end."""
    free = shutil.disk_usage(folder).free
    if free < 3 * load.bytes:
        raise RuntimeError(
            f"{load.name} needs {3 * load.bytes >> 20} MiB below {folder}, {free >> 20} are free:"
            " choose another --folder or smaller loads"
        )
    source = folder / "source"
    source.mkdir()
    names = tuple(f"{number:05d}" for number in range(load.count))
    try:
        sums = tuple(_write(source / name, load.size) for name in names)
        yield Material(source, names, sums, load.many)
    finally:
        shutil.rmtree(source)


def _write(path: Path, size: int) -> str:
    crc = 0
    with path.open("wb") as file:
        for start in range(0, size, 8 * MIB):
            block = os.urandom(min(8 * MIB, size - start))
            crc = crc32c(block, crc)
            file.write(block)
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def crc_of(path: Path) -> str:
    """Return the base64 CRC-32C of a file."""
    crc = 0
    with path.open("rb") as file:
        while block := file.read(8 * MIB):
            crc = crc32c(block, crc)
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def downloaded_wrong(made: Material, target: Path) -> str | None:
    """Return what is wrong with a download, None if all files are there and equal."""
    found = sorted(path.name for path in target.iterdir())
    if found != sorted(made.names):
        return f"{len(found)} files arrived, {len(made.names)} were asked for"
    for name, crc in zip(made.names, made.sums, strict=True):
        if crc_of(target / name) != crc:
            return f"{name} has other content"
    return None


def uploaded_wrong(load: Load, made: Material, sizes: dict[str, int]) -> str | None:
    """Return what is wrong with an upload by what the sink has counted, None if nothing."""
    if sorted(sizes) != sorted(made.keys):
        return f"{len(sizes)} objects arrived, {len(made.keys)} were sent"
    wrong = [key for key, size in sizes.items() if size != load.size]
    return f"{wrong[0]} has {sizes[wrong[0]]} bytes, {load.size} were sent" if wrong else None


def stored_wrong(made: Material, kept: Sink) -> str | None:
    """Return what is wrong with the content that a keeping sink has, None if nothing."""
    answers = kept.read(made.keys)
    for name, crc, answer in zip(made.names, made.sums, answers, strict=True):
        found = 0
        while block := answer.read(8 * MIB):
            found = crc32c(block, found)
        if answer.status != 200 or base64.b64encode(found.to_bytes(4, "big")).decode() != crc:
            return f"{name} was stored with other content"
    return None


def cut(made: Material, folder: Path, part_size: int) -> Sequence[Path]:
    """Cut the one file of a load into part files, for clients that send whole files only."""
    paths = []
    with Path(made.local).open("rb") as file:
        while block := file.read(part_size):
            paths.append(folder / f"part{len(paths) + 1:05d}")
            paths[-1].write_bytes(block)
    return paths
