"""`python -m bench`: the arguments, and what is done with them."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import cases as made_of
from bench import compare as comparison
from bench import plots, report
from bench.links import SERVER_ADDRESS, check_congestion, parse_link, shaped, why_not
from bench.nginx import missing as nginx_missing
from bench.peers import named
from bench.presigning import measured
from bench.results import FOLDER, Results, load_average, machine, read
from bench.rounds import Bench, Outcome, carry_out, say
from bench.sinks import make_certificate
from bench.tables import document
from transfer.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cases import Case, Load
    from bench.links import Ends
    from bench.peers import Peer

_SERVERS = {"sink": "bench/sink.c, which discards what it gets", "nginx": "nginx"}
SERIES = ("size", "parts", "connections", "files")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was typed; returns the exit code."""
    options = parser().parse_args(arguments)
    # Ended like that, it must stop its servers and remove its files all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code: int = options.do(options)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"bench: {error}")
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m bench`; without a word, it runs the benchmark."""
    whole = argparse.ArgumentParser(
        prog="python -m bench", description="Measures transfer beside other programs."
    )
    _run_arguments(whole)
    words = whole.add_subparsers(title="other commands", metavar="")
    peers = words.add_parser("peers", help="which programs are compared, and what is missing")
    peers.set_defaults(do=_list_peers)
    reporting = words.add_parser(
        "report", help="put the results that are kept into docs and README"
    )
    reporting.add_argument("--check", action="store_true", help="only say whether they are there")
    reporting.set_defaults(do=_report)
    presigning = words.add_parser("presigning", help="what a presigned URL costs")
    presigning.add_argument("--count", type=int, default=10_000, help="how many (10000)")
    presigning.add_argument("--repeats", type=int, default=5, help="turns of each (5)")
    presigning.set_defaults(do=_presigning)
    compare = words.add_parser("compare", help="is NEW slower than OLD? exit code 1 if it is")
    compare.add_argument("old", type=Path, metavar="OLD.json")
    compare.add_argument("new", type=Path, metavar="NEW.json")
    compare.add_argument("--threshold", type=float, default=0.1, help="what is too much (0.1)")
    compare.set_defaults(do=_compare)
    return whole


def _run_arguments(to: argparse.ArgumentParser) -> None:
    add = to.add_argument
    add("--quick", action="store_true", help="small loads and 3 runs: some minutes")
    add("--load", help="loads instead of the usual ones: 1x2GiB,10000x16KiB,100x20MiB")
    add("--series", choices=SERIES, help="loads that differ in one thing")
    add("--peers", help="peers by the beginning of their names: transfer,curl")
    add("--direction", default="up,down", help="up,down")
    add("--transport", default="plain,tls", help="plain,tls")
    add("-c", "--connections", type=int, help="for all loads (8; 32 for small files)")
    add("-p", "--part-size", type=parse_size, help="for all loads (16MiB)")
    add("--defaults", action="store_true", help="tell nobody how many connections and what parts")
    add("--repeats", type=int, help="runs of each peer (5)")
    add("--no-verify", action="store_true", help="skip the pass that compares stored contents")
    add("--folder", type=Path, help="where files lie (/dev/shm, else the temporary folder)")
    add("--server", choices=("sink", "nginx"), default="sink", help="nginx: downloads of one file")
    add("--link", type=parse_link, help="DELAY_MS,LOSS_PERCENT,RATE_MBIT one way; needs root")
    add("--congestion", default="cubic,bbr", help="over the link: cubic,bbr")
    add("--name", help="of the files of results")
    add("--out", type=Path, default=FOLDER, help="folder of the results")
    to.set_defaults(do=_run)


def _run(options: argparse.Namespace) -> int:
    chosen, peers = cases_of(options), named(options.peers)
    repeats = options.repeats or (3 if options.quick else 5)
    base = str(options.folder or _usual_folder())
    settings = {
        "repeats": repeats,
        "network": str(options.link or "loopback"),
        "server": _SERVERS[options.server],
        "files": _kind_of(base),
        "load_before": load_average(),
        "series": options.series,
    }
    outcome, code = Outcome(), 0
    try:
        _carry_out(options, Path(base), repeats, chosen, peers, outcome)
    except (KeyboardInterrupt, SystemExit):
        if not outcome.runs:
            raise
        say("interrupted: what was measured is written")
        code = 130
    _write(options, _results(settings, chosen, peers, outcome))
    return code if outcome.runs else 1


def _carry_out(  # noqa: PLR0917 - what was typed, and what it means
    options: argparse.Namespace,
    base: Path,
    repeats: int,
    chosen: Sequence[Case],
    peers: Sequence[Peer],
    outcome: Outcome,
) -> None:
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="transfer-bench-", dir=base)
        folder = Path(stack.enter_context(temporary))
        bench = Bench(
            folder,
            make_certificate(folder, "127.0.0.1", SERVER_ADDRESS),
            repeats,
            verify=not options.no_verify,
            by_nginx=options.server == "nginx",
        )
        if options.link:
            bench = _over(stack.enter_context(shaped(options.link, folder)), bench)
        carry_out(bench, chosen, peers, outcome)


def _over(ends: Ends, bench: Bench) -> Bench:
    return replace(
        bench,
        address=SERVER_ADDRESS,
        client_prefix=ends.client,
        server_prefix=ends.server,
        use_congestion=ends.use,
    )


def cases_of(options: argparse.Namespace) -> list[Case]:
    """Return the cases that the arguments ask for; ValueError for words that mean nothing."""
    directions, loads = _words(options.direction, ("up", "down")), loads_of(options)
    if options.server == "nginx":
        directions, loads = ["down"], [load for load in loads if not load.many]
        if nginx_missing() or options.link or not loads:
            raise ValueError(nginx_missing() or "nginx serves single files, over loopback")
    transports = _words(options.transport, ("plain", "tls"))
    congestions = [""]
    if options.link:
        reason = why_not()
        if reason:
            raise ValueError(reason)
        congestions = options.congestion.split(",")
        check_congestion(congestions)
    return made_of.cases(loads, directions, transports, congestions)


def loads_of(options: argparse.Namespace) -> list[Load]:
    """Return the loads that the arguments ask for."""
    loads = made_of.QUICK if options.quick else made_of.FULL
    if options.load:
        loads = [made_of.parse_load(text) for text in options.load.split(",")]
    changes: dict[str, Any] = {"connections": 0, "part_size": 0} if options.defaults else {}
    if options.connections:
        changes["connections"] = options.connections
    if options.part_size:
        changes["part_size"] = options.part_size
    loads = [replace(load, **changes) for load in loads]
    return made_of.series(options.series, loads[0]) if options.series else loads


def _words(text: str, known: Sequence[str]) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            msg = f"{word!r} is none of {', '.join(known)}"
            raise ValueError(msg)
    return words


def _usual_folder() -> Path:
    """In memory where that can be: a disk would be what is measured."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def _kind_of(folder: str) -> str:
    return "in memory (tmpfs)" if folder.startswith("/dev/shm") else "on disk"  # noqa: S108


def _results(
    settings: dict[str, Any], chosen: Sequence[Case], peers: Sequence[Peer], outcome: Outcome
) -> Results:
    return Results(
        when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        machine=machine(),
        versions={peer.name: peer.version() for peer in peers if peer.needs() is not None},
        settings=settings,
        cases={case.name: case for case in chosen},
        runs=outcome.runs,
        left_out=outcome.left_out,
        missing={peer.name: peer.install for peer in peers if peer.needs() is None},
        verified=outcome.verified,
    )


def _write(options: argparse.Namespace, results: Results) -> None:
    kind = options.series or ("quick" if options.quick else "run")
    name = options.name or f"{results.when[:16].replace(':', '')}-{kind}"
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{name}.json"
    path.write_text(results.to_json())
    text = document(read(path), name)
    path.with_suffix(".md").write_text(text)
    print(text)
    drawn = " and .svg" if plots.draw(read(path), path.with_suffix(".svg")) else ""
    say(f"written: {path}, .md{drawn} beside it")


def _list_peers(options: argparse.Namespace) -> int:
    del options
    for peer in named(None):
        print(f"{peer.name}: {peer.version() if peer.needs() else f'missing: {peer.install}'}")
    return 0


def _report(options: argparse.Namespace) -> int:
    differing = report.write(check=options.check)
    for path in differing:
        print(f"{'differs' if options.check else 'written'}: {path}")
    return 1 if options.check and differing else 0


def _presigning(options: argparse.Namespace) -> int:
    print(measured(options.count, options.repeats), end="")
    print("all of them equal byte for byte")
    return 0


def _compare(options: argparse.Namespace) -> int:
    found = comparison.changes(read(options.old), read(options.new))
    if not found:
        msg = "the two have no case of ours in common"
        raise ValueError(msg)
    print(comparison.shown(found, options.threshold))
    return 1 if any(change.slower(options.threshold) for change in found) else 0
