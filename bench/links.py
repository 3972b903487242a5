"""A shaped link: two network namespaces with a wide area between them. Needs root.

The link itself is a program of ours (link.c), because many kernels are built
without netem; TCP is the kernel's own at both ends, and its congestion control
is set, never assumed: on a lossy path it decides more than any client does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.programs import program
from bench.servers import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENT_ADDRESS, SERVER_ADDRESS = "10.77.0.1", "10.77.0.2"
_ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")
_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
# What a router in front of such a rate may hold.
QUEUE_MS = 50


@dataclass(frozen=True, slots=True)
class Link:
    """One-way delay in ms, loss of packets in percent, rate in Mbit/s; the same both ways."""

    delay: float
    loss: float
    rate: float

    def __str__(self) -> str:
        return (
            f"{2 * self.delay:g} ms round trip, {self.loss:g} % loss each way,"
            f" {self.rate:g} Mbit/s, {QUEUE_MS} ms of queue"
        )


def parse_link(text: str) -> Link:
    """Return the link in "25,0.05,1000" (ms one way, percent, Mbit/s); ValueError if none."""
    match = re.fullmatch(r"([\d.]+)(?:ms)?,([\d.]+)%?,([\d.]+)(?:M|Mbit)?", text.strip())
    if match is None or float(match[3]) <= 0 or float(match[2]) >= 100:
        msg = f"{text!r} is no link: write DELAY_MS,LOSS_PERCENT,RATE_MBIT, such as 25,0.05,1000"
        raise ValueError(msg)
    return Link(*map(float, match.groups()))


def why_not() -> str | None:
    """Return why no link can be made here, None if it can."""
    if os.geteuid() != 0:
        return "a shaped link needs root: it makes network namespaces"
    if not Path("/dev/net/tun").exists():
        return "a shaped link needs /dev/net/tun, which this kernel or container does not have"
    if shutil.which("ip") is None:
        return "a shaped link needs the program ip (Debian: iproute2)"
    return None


def check_congestion(names: Sequence[str]) -> None:
    """Raise ValueError for congestion control that the kernel does not have."""
    known = _AVAILABLE.read_text().split()
    for name in names:
        if name and name not in known:
            msg = f"no congestion control {name!r} in this kernel: it has {', '.join(known)}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class Ends:
    """The two namespaces: what to put before a command to run it at an end."""

    client: tuple[str, ...]
    server: tuple[str, ...]

    def use(self, congestion: str) -> None:
        """Set the congestion control of both ends; it must have been allowed."""
        for end in (self.client, self.server):
            _run([*end, "sysctl", "-qw", f"net.ipv4.tcp_congestion_control={congestion}"])


@contextmanager
def shaped(link: Link, folder: Path) -> Iterator[Ends]:
    """Make the namespaces and the link between them; all is gone afterwards."""
    names = [f"bench{os.getpid()}{end}" for end in "cs"]
    with ExitStack() as stack:
        _allow_all(stack)
        for name in names:
            _run(["ip", "netns", "add", name])
            stack.callback(_run, ["ip", "netns", "del", name])
            _run(["ip", "-n", name, "link", "set", "lo", "up"])
        figures = [f"{value:g}" for value in (link.delay, link.loss, link.rate, QUEUE_MS)]
        log = folder / "link.log"
        command = [str(program("link")), *names, "wan0", *figures]
        stack.enter_context(running(command, log, os.environ))
        _wait_until_ready(log)
        for name, address in zip(names, (CLIENT_ADDRESS, SERVER_ADDRESS), strict=True):
            _run(["ip", "-n", name, "addr", "add", f"{address}/24", "dev", "wan0"])
            _run(["ip", "-n", name, "link", "set", "wan0", "up", "txqueuelen", "20000"])
            # What the kernel remembers of a path would pass from one client to the next.
            _run(["ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1"])
        ends = [("ip", "netns", "exec", name) for name in names]
        yield Ends(*ends)


def _allow_all(stack: ExitStack) -> None:
    """Congestion control that only root may use would be refused in a namespace."""
    before = _ALLOWED.read_text()
    _ALLOWED.write_text(_AVAILABLE.read_text())
    stack.callback(_ALLOWED.write_text, before)


def _wait_until_ready(log: Path) -> None:
    for _ in range(200):
        if "ready" in log.read_text():
            return
        time.sleep(0.02)
    raise RuntimeError(f"the link has not started: {log.read_text()}")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
