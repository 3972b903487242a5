"""Trying settings out against a real endpoint: real transfers of random bytes, bounded, undone.

Each trial is an ordinary push or pull of one file, with its own engine. What was
put there is deleted whatever happens, and the local files are in a temporary
folder. The file is as large as the largest trial may be; smaller ones move less.
"""

from __future__ import annotations

import os
import resource
import secrets
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from transfer.advice import CONNECTIONS, PART_SIZES, Surroundings, Trial, next_settings
from transfer.engine import Engine
from transfer.engine.report import Options
from transfer.errors import NotFoundError, TransferError, UsageError
from transfer.events import Retrying
from transfer.mover.threads import open_mover
from transfer.processors import usable_processors
from transfer.registry import locate, open_root
from transfer.sizes import MIB, format_size
from transfer.store import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transfer.events import Event
    from transfer.settings import Settings
    from transfer.store import Store

# A transfer that does not count learns how fast it is about; trials are to take AIM seconds.
FIRST = 16 * MIB
AIM = 3.0
LOOKS = 5
_LEARNING = CONNECTIONS[1], PART_SIZES[0]
# Deleting must not hang where the network has gone, in seconds.
TO_CLEAN_UP = 15.0
_SLOW_DOWN = ("slowdown", "slow down", "throttl", "too many requests", "429", "503")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a measurement may take: seconds in all, and bytes sent in all."""

    seconds: float
    size: int


@dataclass(slots=True)
class Findings:
    """What was measured; `left` are objects that could not be deleted."""

    around: Surroundings
    trials: list[Trial] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def of(self, *, upload: bool) -> list[Trial]:
        """Return the trials of one direction, in their order."""
        return [trial for trial in self.trials if trial.upload is upload]


async def try_out(
    url: str,
    settings: Settings,
    bounds: Bounds,
    *,
    on_trial: Callable[[Trial], None],
    findings: Callable[[Findings], None],
) -> None:
    """Measure uploads to and downloads from below a URL; half of the time for each.

    `findings` is given the object that fills up, so that an interruption loses
    nothing. Raises the TransferError of a trial that failed.
    """
    location = locate(url)
    if bounds.size < FIRST:
        raise UsageError(f"a measurement needs at least {format_size(FIRST)}")
    prefix = f"{location.key.rstrip('/')}/" if location.key.strip("/") else ""
    # No folder of its own: in a store that has folders, that one would stay.
    prefix += f"transfer-bench-{secrets.token_hex(4)}-"
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as folder:
        async with (
            open_mover(settings) as mover,
            open_root(location, Context(settings, mover)) as store,
        ):
            bench = _Trials(location.root, prefix, store, settings, bounds, Path(folder), on_trial)
            await bench.run(findings)


@dataclass(slots=True)
class _Trials:
    root: str
    prefix: str
    store: Store
    settings: Settings
    bounds: Bounds
    folder: Path
    on_trial: Callable[[Trial], None]
    sent: int = 0
    keys: dict[str, int] = field(default_factory=dict[str, int])
    throttled: int = 0
    rate: float = 0.0

    async def run(self, show: Callable[[Findings], None]) -> None:
        began = anyio.current_time()
        latency = await self._latency()
        read, write = await anyio.to_thread.run_sync(_disk_rates, self.folder)
        found = Findings(Surroundings(latency, usable_processors(), read, write))
        show(found)
        try:
            await self._direction(found, began + self.bounds.seconds / 2, upload=True)
            await self._direction(found, began + self.bounds.seconds, upload=False)
        finally:
            with anyio.move_on_after(TO_CLEAN_UP, shield=True):
                await self._clean_up(found)
            found.left += [f"{self.root}/{key}" for key in self.keys]

    async def _latency(self) -> float:
        """Return the least time to the answer that there is no such object."""
        times = []
        for _ in range(LOOKS):
            started = time.perf_counter()
            try:
                await self.store.stat(self.prefix + "nothing")
            except NotFoundError:
                times.append(time.perf_counter() - started)
        return min(times, default=0.0)

    async def _direction(self, found: Findings, end: float, *, upload: bool) -> None:
        """Walk through the settings until it is enough, or the time or the bytes are used up."""
        with anyio.move_on_at(end):
            if upload:
                self.rate = (await self._trial(*_LEARNING, FIRST, upload=True)).rate
            while (wanted := next_settings(found.of(upload=upload))) is not None:
                size = self._size(upload=upload)
                if size is None or anyio.current_time() + AIM / 2 > end:
                    return
                trial = await self._trial(*wanted, size, upload=upload)
                self.rate = max(self.rate, trial.rate)
                found.trials.append(trial)
                self.on_trial(trial)

    def _size(self, *, upload: bool) -> int | None:
        """Return the bytes of the next trial; None if there are no more to be spent.

        One trial takes an eighth of the bytes at most, so that there can be several.
        """
        if not upload:
            return max(self.keys.values(), default=None)
        most = max(FIRST, self.bounds.size // 8)
        size = min(max(int(self.rate * AIM) // MIB * MIB, FIRST), most)
        return size if self.sent + size <= self.bounds.size else None

    async def _trial(self, connections: int, part_size: int, size: int, *, upload: bool) -> Trial:
        settings = replace(
            self.settings,
            concurrency=connections,
            upload_part_size=part_size,
            download_part_size=part_size,
            upload_threshold=PART_SIZES[0],
            download_threshold=PART_SIZES[0],
        )
        local = self.folder / "file"
        if upload:
            await anyio.to_thread.run_sync(_make_file, local, size)
            key = f"{self.prefix}{connections}-{part_size}-{size}"
            self.keys[key] = size
            self.sent += size
            ends = str(local), f"{self.root}/{key}"
        else:
            key = max(self.keys, key=lambda key: self.keys[key])
            ends = f"{self.root}/{key}", str(self.folder / "back")
        return await self._timed(settings, connections, ends, size, upload=upload)

    async def _timed(
        self,
        settings: Settings,
        connections: int,
        ends: tuple[str, str],
        size: int,
        *,
        upload: bool,
    ) -> Trial:
        self.throttled = 0
        before, started = _cpu(), time.perf_counter()
        async with Engine(settings) as engine:
            report = await engine.copy(*ends, options=Options(resume=False), on_event=self._watch)
            seconds, cpu = time.perf_counter() - started, _cpu() - before
        (self.folder / "back").unlink(missing_ok=True)
        return Trial(
            upload,
            connections,
            settings.upload_part_size or 0,
            size,
            seconds,
            cpu,
            report.retries,
            self.throttled,
        )

    def _watch(self, event: Event) -> None:
        if isinstance(event, Retrying):
            said = event.error.lower()
            self.throttled += any(word in said for word in _SLOW_DOWN)

    async def _clean_up(self, found: Findings) -> None:
        for key in list(self.keys):
            try:
                await self.store.delete(key)
            except TransferError as error:
                found.left.append(f"{self.root}/{key}: {error}")
            del self.keys[key]


def _make_file(path: Path, size: int) -> None:
    """Make the file that size; what it has already is kept."""
    with path.open("ab") as file:
        file.truncate(min(file.tell(), size))
        file.seek(0, os.SEEK_END)
        while file.tell() < size:
            file.write(os.urandom(min(8 * MIB, size - file.tell())))


def _disk_rates(folder: Path) -> tuple[float, float]:
    """Return bytes per second that the folder's disk reads and writes, synced.

    What was just written is read from memory, as a file to be uploaded often is.
    """
    block, path = os.urandom(8 * MIB), folder / "disk"
    with _timing() as write, path.open("wb") as file:
        for _ in range(8):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    with _timing() as read, path.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass
    path.unlink()
    return 64 * MIB / read[0], 64 * MIB / write[0]


@contextmanager
def _timing() -> Iterator[list[float]]:
    took: list[float] = []
    started = time.perf_counter()
    yield took
    took.append(max(time.perf_counter() - started, 1e-9))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
