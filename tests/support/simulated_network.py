"""A network in memory, on which decisions about connections can be tried in no time.

Fluid in steps of a few milliseconds, not packet by packet: each connection has a
window that grows as slow start and CUBIC (RFC 9438) say, and shrinks when a packet
of it is lost, by chance or because the queue of the line is full. What all windows
send passes the line, which has a rate, a delay and a queue; a connection may have
a limit of its own, and so may the server, which then throttles. On one machine,
each further connection costs a little of what the processor can do.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from transfer.pacing import Bounds, Pacer, Sample
from transfer.stragglers import Flight, Stragglers

if TYPE_CHECKING:
    from collections.abc import Callable

PACKET = 1448
STEP = 0.005
MIB = 1 << 20


@dataclass(frozen=True)
class Path:
    """The way to a server: bytes per second, seconds, share of packets lost, bytes of queue.

    `each` is what one connection gets at most; `overhead` the share of the rate
    that every connection beyond the first costs all of them; with more than
    `most` connections, the server refuses parts, and `thinks` for so long about
    each; of `slow` connections (numbers from 1), each has a limit of its own.
    """

    rate: float
    rtt: float = 0.001
    loss: float = 0.0
    queue: float = 4 * MIB
    each: float = math.inf
    overhead: float = 0.0
    most: int | None = None
    thinks: float = 0.0
    congestion: str = "cubic"
    slow: dict[int, float] = field(default_factory=dict)


LOOPBACK = Path(2.5e9, 0.00005, queue=64 * MIB, overhead=0.004)
DATA_CENTRE = Path(1.25e9, 0.001, each=90e6, thinks=0.02, queue=8 * MIB)
LOSSY = Path(118e6, 0.05, 0.0005, queue=6 * MIB, thinks=0.001)
HOME = Path(1.25e6, 0.03, queue=0.3 * MIB, thinks=0.03)


class Window:
    """The congestion window of one connection, in packets."""

    def __init__(self, path: Path, dice: random.Random) -> None:
        self.path = path
        self.size = 10.0
        self._dice = dice
        self._threshold = math.inf
        self._top = 0.0
        self._since = 0.0
        self._deaf_until = 0.0

    def sent(self, packets: float, now: float, rtt: float, *, dropped: float) -> None:
        """Packets were sent; the queue dropped a share of them."""
        if self.path.congestion == "bbr":
            self.size = min(self.size * 2 ** (packets / max(self.size, 1)), 4000.0)
            return
        lost = 1 - (1 - self.path.loss) ** packets * (1 - dropped) ** packets
        if now >= self._deaf_until and self._dice.random() < lost:
            self._top = self.size
            self.size = max(2.0, self.size * 0.7)
            self._threshold = self.size
            self._since = now
            self._deaf_until = now + rtt
        elif self.size < self._threshold:
            self.size += packets
        elif packets > 0:
            self._cubic(now, rtt)

    def _cubic(self, now: float, rtt: float) -> None:
        elapsed = now - self._since
        bottom = math.cbrt(self._top * 0.3 / 0.4)
        cubic = 0.4 * (elapsed - bottom) ** 3 + self._top
        friendly = 0.7 * self._top + 0.53 * elapsed / rtt
        self.size = max(self.size, cubic, friendly)


@dataclass
class Line:
    """One connection, and the part that it carries, if any."""

    number: int
    window: Window
    part: int = 0
    left: float = 0.0
    began: float = 0.0
    ready: float = 0.0
    carrying: bool = False
    carried: float = 0.0
    cuts: int = 0


@dataclass
class Outcome:
    """What became of a transfer; `limits` has each number of connections with its time."""

    seconds: float = 0.0
    limits: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0
    cut: int = 0

    @property
    def last(self) -> int:
        return self.limits[-1][1]


class Network:
    """Carries parts over connections; `tick` is its clock."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.path = path
        self.now = 0.0
        self.moved = 0.0
        self.lines: list[Line] = []
        self.refused = 0
        self._opened = 0
        self._queued = 0.0
        self._dice = random.Random(seed)

    @property
    def busy(self) -> list[Line]:
        return [line for line in self.lines if line.carrying]

    def start(self, part: int, size: float, *, fresh: bool = False, cuts: int = 0) -> None:
        """Send a part, on an idle connection if there is one."""
        idle = [line for line in self.lines if not line.carrying]
        if idle and not fresh:
            line = idle[-1]
            line.ready = self.now + self.path.rtt / 2
        else:
            self._opened += 1
            line = Line(self._opened, Window(self.path, self._dice))
            line.ready = self.now + 1.5 * self.path.rtt
            self.lines.append(line)
        line.part, line.left, line.carried = part, size, 0.0
        line.began, line.carrying, line.cuts = self.now, True, cuts

    def stop(self, line: Line) -> None:
        """Close a connection in the middle of its part: what it has carried was for nothing."""
        self.moved -= line.carried
        self.lines.remove(line)

    def tick(self) -> tuple[list[Line], list[Line]]:
        """Let a moment pass; return the connections whose parts arrived, and were refused."""
        self.now += STEP
        path = self.path
        sending = [line for line in self.busy if line.ready <= self.now and line.left > 0]
        rate = path.rate * max(0.1, 1 - path.overhead * len(sending))
        rtt = path.rtt + self._queued / rate
        wanted = {id(line): self._wanted(line, rtt) for line in sending}
        total = sum(wanted.values())
        self._queued = max(0.0, self._queued + total - rate * STEP)
        over = max(0.0, self._queued - path.queue)
        self._queued = min(self._queued, path.queue)
        # What goes into the queue counts as sent: it will arrive.
        share = (total - over) / total if total else 1.0
        for line in sending:
            part = wanted[id(line)] * share
            dropped = over / total if total else 0.0
            line.window.sent(part / PACKET, self.now, rtt, dropped=dropped)
            self._advance(line, part, rtt)
        return self._ended()

    def _wanted(self, line: Line, rtt: float) -> float:
        cap = min(self.path.each, self.path.slow.get(line.number, math.inf)) * STEP
        return min(line.window.size * PACKET * STEP / max(rtt, STEP), line.left, cap)

    def _advance(self, line: Line, count: float, rtt: float) -> None:
        line.left -= count
        line.carried += count
        self.moved += count
        if line.left <= 0.5:
            line.left = 0.0
            line.ready = self.now + rtt + self.path.thinks

    def _ended(self) -> tuple[list[Line], list[Line]]:
        arrived = [line for line in self.busy if not line.left and line.ready <= self.now]
        refused = []
        for line in arrived:
            line.carrying = False
            if self.path.most is not None and len(self.busy) + 1 > self.path.most:
                refused.append(line)
                self.moved -= line.carried
        self.refused += len(refused)
        return [line for line in arrived if line not in refused], refused


def transferred(
    path: Path,
    size: float,
    part_size: float = 8 * MIB,
    *,
    bounds: Bounds | None = None,
    fixed: int | None = None,
    cutting: bool = True,
    seed: int = 0,
    ends: float = 600.0,
    change: Callable[[Network], None] | None = None,
) -> Outcome:
    """Send `size` bytes in parts with a pacer, or a fixed number of connections."""
    bounds = bounds or (Bounds(fixed, fixed) if fixed else Bounds())
    return _Sending(Network(path, seed), Pacer(bounds), part_size, cutting=cutting).run(
        size, ends, change
    )


class _Sending:
    def __init__(
        self, network: Network, pacer: Pacer, part_size: float, *, cutting: bool = True
    ) -> None:
        self.network = network
        self.pacer = pacer
        self.stragglers = Stragglers()
        self.part_size = part_size
        self.cutting = cutting
        self.outcome = Outcome(limits=[(0.0, pacer.limit)])
        self.waiting: list[tuple[float, int]] = []
        self.seen = 0.0
        self.most_moved = 0.0

    def run(self, size: float, ends: float, change: Callable[[Network], None] | None) -> Outcome:
        network = self.network
        left = math.ceil(size / self.part_size)
        unsent = list(range(left, 0, -1))
        next_look = 0.0
        while left and network.now < ends:
            if change is not None:
                change(network)
            while unsent and len(network.busy) < self.pacer.limit:
                if self.waiting and self.waiting[0][0] <= network.now:
                    unsent.append(self.waiting.pop(0)[1])
                network.start(unsent.pop(), self.part_size)
            arrived, refused = network.tick()
            left -= len(arrived)
            for line in arrived:
                self.stragglers.landed(self.part_size, network.now - line.began)
            unsent += [line.part for line in refused]
            if network.now >= next_look:
                next_look = network.now + 0.05
                self._look(idle=not unsent)
        self.outcome.seconds = network.now
        self.outcome.refused = network.refused
        return self.outcome

    def _look(self, *, idle: bool) -> None:
        network = self.network
        self.most_moved += max(0.0, network.moved - self.seen)
        self.seen = network.moved
        sample = Sample(int(self.most_moved), len(network.busy), network.refused, network.refused)
        limit = self.pacer.observe(network.now, sample)
        if limit != self.outcome.last:
            self.outcome.limits.append((network.now, limit))
        flights = [
            Flight(line.number, int(self.part_size), int(line.carried), line.began, line.cuts)
            for line in network.busy
        ]
        free = self.pacer.limit - len(flights) if idle else 0
        for key in self.stragglers.observe(network.now, flights, free):
            if self.cutting:
                line = next(line for line in network.busy if line.number == key)
                network.stop(line)
                network.start(line.part, self.part_size, fresh=True, cuts=line.cuts + 1)
                self.outcome.cut += 1


def with_bbr(path: Path) -> Path:
    """The same path with a congestion control that does not take each loss for congestion."""
    return replace(path, congestion="bbr", loss=0.0)
