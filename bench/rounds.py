"""Carrying the cases out: files, server, one client after the other, and each result checked."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import material as files
from bench.cases import turns
from bench.measuring import ClientError, measure
from bench.nginx import Nginx, nginx
from bench.peers import Task, environment
from bench.sinks import BUCKET, Sink, sink
from transfer.sizes import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.cases import Case
    from bench.material import Material
    from bench.peers import Peer
    from bench.sinks import Certificate

# A client that is slower than this, in bytes per second, is ended.
SLOWEST = 4 * MIB
_CHECKS = {"md5": "MD5", "sha256": "SHA-256", "checksum": "CRC", "trailer": "CRC (trailer)"}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one peer; times in seconds, memory in bytes, `server` the sink's seconds."""

    case: str
    peer: str
    repeat: int
    wall: float
    user: float
    system: float
    peak: int
    server: float
    requests: int
    connections: int
    bytes: int
    count: int
    checks: str


@dataclass(slots=True)
class Outcome:
    """What a benchmark has found: runs, and for (case, peer) why there is none."""

    runs: list[Run] = field(default_factory=list)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)
    verified: list[str] = field(default_factory=list)

    def leave_out(self, case: Case, peer: Peer, reason: str) -> None:
        self.left_out.setdefault(case.name, {})[peer.name] = reason
        say(f"  {peer.name}: left out: {reason}")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how runs are made; the prefixes put client and server into namespaces.

    `use_congestion` sets the TCP congestion control of both.
    """

    folder: Path
    certificate: Certificate
    repeats: int
    verify: bool = True
    address: str = "127.0.0.1"
    client_prefix: tuple[str, ...] = ()
    server_prefix: tuple[str, ...] = ()
    use_congestion: Callable[[str], None] | None = None
    by_nginx: bool = False

    @contextmanager
    def server(self, *, keep: bool = False) -> Iterator[Sink | Nginx]:
        """Run a server; what a keeping sink has stored is removed at the end."""
        kept = self.folder / "kept"
        with ExitStack() as stack:
            if self.by_nginx:
                yield stack.enter_context(nginx(self.folder, self.certificate))
                return
            if keep:
                kept.mkdir()
                stack.callback(shutil.rmtree, kept)
            yield stack.enter_context(
                sink(
                    self.folder,
                    self.certificate,
                    keep=kept if keep else None,
                    address=self.address,
                    prefix=self.server_prefix,
                )
            )


def carry_out(bench: Bench, cases: Sequence[Case], peers: Sequence[Peer], outcome: Outcome) -> None:
    """Measure all cases; a peer that fails is left out of the rest of its case, by name.

    What there is stands in the outcome even if this is interrupted.
    """
    present = [peer for peer in peers if peer.needs() is not None]
    for load in dict.fromkeys(case.load for case in cases):
        with files.material(bench.folder, load) as made:
            for case in [case for case in cases if case.load == load]:
                say(case.name)
                _carry_out(bench, case, made, present, outcome)


def _carry_out(
    bench: Bench, case: Case, made: Material, present: Sequence[Peer], outcome: Outcome
) -> None:
    if bench.use_congestion is not None:
        bench.use_congestion(case.congestion)
    able = [peer for peer in present if _able(case, peer, outcome)]
    if bench.verify:
        with bench.server(keep=True) as server:
            able = _Turns(bench, server, case, made, outcome).verify(able)
    with bench.server() as server:
        _Turns(bench, server, case, made, outcome).measure(able)


def _able(case: Case, peer: Peer, outcome: Outcome) -> bool:
    reason = peer.cannot(case.load, case.upload)
    if reason:
        outcome.leave_out(case, peer, reason)
    return reason is None


@dataclass(frozen=True, slots=True)
class _Turns:
    """The runs of one case against one server."""

    bench: Bench
    server: Sink | Nginx
    case: Case
    made: Material
    outcome: Outcome

    def verify(self, peers: Sequence[Peer]) -> list[Peer]:
        """Run each once against a server that keeps what it gets, and compare the contents."""
        self._offer()
        good = [peer for peer in peers if self.attempt(peer, -1) is not None]
        self.outcome.verified += [f"{self.case.name}: {peer.name}" for peer in good]
        return good

    def measure(self, peers: Sequence[Peer]) -> None:
        """Run all in turn, and note what it cost."""
        self._offer()
        able = {peer.name: peer for peer in peers}
        for repeat, name in turns(list(able), self.bench.repeats):
            if name in self.outcome.left_out.get(self.case.name, {}):
                continue
            run = self.attempt(able[name], repeat)
            if run is not None:
                self.outcome.runs.append(run)
                say(f"  {repeat + 1}. {name}: {run.wall:.2f} s, CPU {run.user + run.system:.2f} s")

    def _offer(self) -> None:
        if not self.case.upload:
            self.server.register(self.made.offers())

    def attempt(self, peer: Peer, repeat: int) -> Run | None:
        """Run one peer once, in fresh folders; None if it failed or moved something else."""
        target, own = self.bench.folder / "target", self.bench.folder / "client"
        for folder in (target, own):
            folder.mkdir()
        run = None
        try:
            run = self._run(peer, repeat)
            wrong = self._wrong(target, kept=repeat < 0)
        except (ClientError, RuntimeError) as error:
            wrong = str(error)
        finally:
            shutil.rmtree(target)
            shutil.rmtree(own)
        if wrong:
            self.outcome.leave_out(self.case, peer, wrong)
        return None if wrong else run

    def _run(self, peer: Peer, repeat: int) -> Run:
        case, server = self.case, self.server
        server.reset()
        task = _task(self.bench, server, case, self.made)
        if peer.name == "curl" and isinstance(server, Sink):
            task = _helped(task, server, self.made)
        command, env = peer.command(task), environment(peer, task)
        limit = max(60, case.load.bytes / SLOWEST)
        before, prepared = server.cpu(), server.counts()
        prefix = self.bench.client_prefix
        cost = measure(command, env, task.folder, prefix=prefix, limit=limit)
        used, counts = server.cpu() - before, server.counts()
        if peer.name == "curl":
            _finish(task, server if isinstance(server, Sink) else None)
        checks = [text for name, text in _CHECKS.items() if counts[name]]
        return Run(
            case.name,
            peer.name,
            repeat,
            cost.wall,
            cost.user,
            cost.system,
            cost.peak,
            used,
            counts["requests"] - prepared["requests"],
            # One of them was the benchmark's own, to ask for the counts.
            counts["connections"] - prepared["connections"] - 1,
            case.load.bytes,
            case.load.count,
            " and ".join(checks) if case.upload else "",
        )

    def _wrong(self, target: Path, *, kept: bool) -> str | None:
        if not self.case.upload:
            return files.downloaded_wrong(self.made, target)
        if isinstance(self.server, Nginx):
            return "nginx takes no uploads here"
        wrong = files.uploaded_wrong(self.case.load, self.made, self.server.sizes())
        return wrong or (files.stored_wrong(self.made, self.server) if kept else None)


def _task(bench: Bench, server: Sink | Nginx, case: Case, made: Material) -> Task:
    target = bench.folder / "target"
    local = f"{target}/" if made.many else str(target / made.names[0])
    return Task(
        case.load,
        case.upload,
        server.endpoint(tls=case.tls),
        made.local if case.upload else local,
        made.key,
        bench.folder / "client",
        bench.certificate.authority,
        made.names,
    )


def _helped(task: Task, server: Sink, made: Material) -> Task:
    """Do for curl what it cannot: open an upload, and cut the file; neither is measured."""
    load = task.load
    if not task.upload or load.many or load.size <= load.part_size:
        return task
    opened = server.ask("POST", f"/{BUCKET}/{task.key}?uploads").decode()
    upload = re.search("<UploadId>(.*)</UploadId>", opened)[1]  # type: ignore[index]
    cut = files.cut(made, task.folder, load.part_size)
    fields = {name: getattr(task, name) for name in task.__slots__}
    return Task(**(fields | {"cut": tuple(cut), "upload_id": upload}))


def _finish(task: Task, server: Sink | None) -> None:
    """Complete curl's upload, or join the ranges that it has fetched."""
    if task.upload_id and server is not None:
        path = f"/{BUCKET}/{task.key}?uploadId={task.upload_id}"
        listed = server.ask("GET", path).decode()
        document = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in re.findall(
                "<PartNumber>(.*?)</PartNumber>.*?<ETag>(.*?)</ETag>", listed
            )
        )
        server.ask("POST", path, f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>")
    elif not task.upload and not task.load.many:
        target = Path(task.local)
        pieces = sorted(target.parent.iterdir())
        with target.open("wb") as whole:
            for piece in pieces:
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, whole, 8 << 20)
                piece.unlink()


def say(line: str) -> None:
    """Tell how far it is."""
    print(line, file=sys.stderr, flush=True)
