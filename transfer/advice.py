"""From trials of an endpoint to advice: which settings to try next, which were best, and why.

The number of connections is raised while that pays, then the part size is, at
the best number: two short walks instead of a grid, since a trial costs seconds
and bytes. What limits the best trial is argued from what was seen beside it,
in the order of how sure it is: the server's own word, the processor, the disk,
and last whether more connections have carried more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from transfer.sizes import MIB, format_size

if TYPE_CHECKING:
    from collections.abc import Sequence

CONNECTIONS = (4, 8, 16, 32, 64)
PART_SIZES = (8 * MIB, 16 * MIB, 32 * MIB, 64 * MIB)
# A step that brings less than this is noise, or not worth the connections.
PAYS = 1.1


@dataclass(frozen=True, slots=True)
class Trial:
    """One transfer of `size` bytes; `cpu` in seconds of processor time, over all cores."""

    upload: bool
    connections: int
    part_size: int
    size: int
    seconds: float
    cpu: float
    retries: int = 0
    throttled: int = 0

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.size / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the trials ran in: seconds to an answer, and what the local disk reaches alone."""

    latency: float
    cores: int
    disk_read: float
    disk_write: float


class Limit(StrEnum):
    """What keeps a transfer from being faster."""

    THROTTLED = "server throttles"
    PROCESSOR = "processor"
    DISK = "disk"
    LATENCY = "latency or loss"
    BANDWIDTH = "network or server"
    UNKNOWN = "unknown"


def next_settings(trials: Sequence[Trial]) -> tuple[int, int] | None:
    """Return (connections, part size) to try next for one direction; None when it is enough."""
    if not trials:
        return CONNECTIONS[0], PART_SIZES[0]
    walked = [trial for trial in trials if trial.part_size == PART_SIZES[0]]
    later = [trial for trial in trials if trial.part_size != PART_SIZES[0]]
    step = _next_of(CONNECTIONS, [trial.connections for trial in walked])
    if not later and step is not None and _still_pays(walked):
        return step, PART_SIZES[0]
    start = best(walked)
    larger = [start, *later]
    part = _next_of(PART_SIZES, [trial.part_size for trial in larger])
    if part is not None and _still_pays(larger):
        return start.connections, part
    return None


def _next_of(steps: Sequence[int], taken: Sequence[int]) -> int | None:
    return next((step for step in steps if step > max(taken)), None)


def _still_pays(trials: Sequence[Trial]) -> bool:
    """Whether the last step was no disappointment; a server that throttles is not pressed on."""
    last = trials[-1]
    if last.throttled:
        return False
    return len(trials) < 2 or last.rate > max(trial.rate for trial in trials[:-1]) * PAYS


def best(trials: Sequence[Trial]) -> Trial:
    """Return the fastest, or what is as fast with fewer connections and smaller parts."""
    most = max(trial.rate for trial in trials)
    good = [trial for trial in trials if trial.rate * PAYS >= most]
    return min(good, key=lambda trial: (trial.connections, trial.part_size))


def limit_of(trials: Sequence[Trial], around: Surroundings) -> tuple[Limit, str]:
    """Return what limits the best trial of one direction, and the reason for saying so."""
    top = max(trials, key=lambda trial: trial.rate)
    disk = around.disk_read if top.upload else around.disk_write
    busy = top.cpu / top.seconds / around.cores
    throttled = sum(trial.throttled for trial in trials)
    if throttled:
        return Limit.THROTTLED, f"{throttled} requests were answered with a wish to slow down"
    if busy > 0.8:
        return Limit.PROCESSOR, f"this process kept {busy:.0%} of {around.cores} cores busy"
    if 0.7 * disk < top.rate < 1.3 * disk:  # beyond that, the disk was measured badly
        verb = "read" if top.upload else "written"
        return Limit.DISK, f"the local disk alone has {verb} {format_size(disk)}/s"
    return _limit_of_network(trials, top, around)


def _limit_of_network(
    trials: Sequence[Trial], top: Trial, around: Surroundings
) -> tuple[Limit, str]:
    tried = {trial.connections for trial in trials}
    if len(tried) == 1:
        return Limit.UNKNOWN, "there was time for one number of connections only"
    enough = best(trials).connections
    if enough == max(tried):
        each = format_size(top.rate / top.connections)
        reason = (
            f"more connections have carried more, up to {enough}, each {each}/s with"
            f" {around.latency * 1000:.0f} ms to an answer"
        )
        return Limit.LATENCY, reason
    return Limit.BANDWIDTH, f"more than {enough} connections have not carried more"
