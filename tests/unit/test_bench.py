"""The pure half of the benchmark."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bench import presigning
from bench.cases import FULL, Case, Load, cases, parse_load, series, turns
from bench.command import loads_of, parser
from bench.compare import changes, shown
from bench.links import Link, parse_link
from bench.peers import PEERS, Task, named
from bench.results import Results
from bench.rounds import Run
from bench.summary import rows, slopes, spread
from bench.tables import document
from transfer.sizes import GIB, KIB, MIB

if TYPE_CHECKING:
    from pathlib import Path

CASE = Case(Load(1, 2 * GIB), upload=True, tls=False)


def run(peer: str, repeat: int = 0, wall: float = 1.0, cpu: float = 1.0, case: Case = CASE) -> Run:
    return Run(
        case.name,
        peer,
        repeat,
        wall,
        cpu * 0.75,
        cpu * 0.25,
        50 * MIB,
        0.1,
        130,
        8,
        case.load.bytes,
        case.load.count,
        "CRC",
    )


def results(*runs: Run, known: tuple[Case, ...] = (CASE,)) -> Results:
    peers = dict.fromkeys(run.peer for run in runs)
    return Results(
        "2026-01-01T00:00:00+00:00",
        {"processor": "P", "cores": "2", "memory": "4 GiB", "system": "S", "kernel": "K"}
        | {"python": "3.11"},
        dict.fromkeys(peers, "1.0"),
        {"repeats": 2, "network": "loopback", "server": "s", "files": "f", "load_before": 0.0},
        {case.name: case for case in known},
        list(runs),
        {CASE.name: {"minio": "it fell | over\nbadly"}},
        {"s5cmd": "make bench installs it"},
    )


@pytest.mark.parametrize(
    ("text", "load"),
    [
        ("2GiB", Load(1, 2 * GIB)),
        ("1x2GiB", Load(1, 2 * GIB)),
        ("100x20MiB", Load(100, 20 * MIB)),
        ("10000x16KiB", Load(10_000, 16 * KIB, 32)),
    ],
)
def test_load_is_read(text: str, load: Load):
    assert parse_load(text) == load
    assert parse_load(load.name) == load


@pytest.mark.parametrize("text", ["", "0x1MiB", "2x", "twoxMiB", "1x0"])
def test_bad_load_is_refused(text: str):
    with pytest.raises(ValueError, match=r"load|size"):
        parse_load(text)


def test_label_says_what_is_not_as_usual():
    assert Load(1, GIB).label == "1x1GiB"
    assert Load(1, GIB, 4, 8 * MIB).label == "1x1GiB c4 p8MiB"
    assert Load(1000, 16 * KIB, 32).label == "1000x16KiB"


def test_all_cases_of_a_load_stand_together():
    made = cases(FULL[:2], ["up", "down"], ["plain", "tls"])
    assert len({case.name for case in made}) == 8
    assert [case.load for case in made] == [FULL[0]] * 4 + [FULL[1]] * 4


def test_series_differ_in_one_thing():
    base = Load(1, GIB)
    assert {load.part_size for load in series("parts", base)} >= {8 * MIB, 64 * MIB}
    assert {replace(load, part_size=0) for load in series("parts", base)} == {
        replace(base, part_size=0)
    }
    with pytest.raises(KeyError):
        series("colours", base)


def test_every_peer_has_its_turn_before_any_has_its_second_and_each_begins_once():
    order = list(turns(["a", "b", "c"], 3))
    assert [peer for _, peer in order] == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert [repeat for repeat, _ in order] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert list(turns([], 2)) == []


def test_arguments_change_all_loads():
    options = parser().parse_args(["--load", "8MiB,3x16MiB", "-c", "2", "-p", "5MiB"])
    assert loads_of(options) == [Load(1, 8 * MIB, 2, 5 * MIB), Load(3, 16 * MIB, 2, 5 * MIB)]


def test_with_defaults_nobody_is_told_how(tmp_path: Path):
    (load,) = loads_of(parser().parse_args(["--load", "64MiB", "--defaults"]))
    assert load.label == "1x64MiB defaults"
    task = Task(load, True, "http://x:1", "/in/a", "a", tmp_path, tmp_path / "ca.pem")
    able = [peer for peer in PEERS if peer.cannot(load, True) is None]
    assert {peer.name for peer in PEERS} - {peer.name for peer in able} == {"curl"}
    typed = {peer.name: peer.command(task) for peer in able}
    assert "-c" not in typed["transfer"]
    assert "--numworkers" not in typed["s5cmd"]
    assert "--transfers" not in typed["rclone"]
    assert typed["obstore"][-3:] == ["0", "0", "1"]
    assert "max_concurrent" not in (tmp_path / "aws.ini").read_text()


@pytest.mark.parametrize("text", ["25,0.05,1000", "25ms,0.05%,1000M"])
def test_link_is_read(text: str):
    assert parse_link(text) == Link(25, 0.05, 1000)


@pytest.mark.parametrize("text", ["25", "25,0.05", "25,0.05,0", "25,100,10", "a,b,c"])
def test_bad_link_is_refused(text: str):
    with pytest.raises(ValueError, match=r"no link|float"):
        parse_link(text)


def test_peers_are_chosen_by_how_their_names_begin():
    assert [peer.name for peer in named("s5,curl")] == ["s5cmd", "curl"]
    assert named(None) == PEERS
    with pytest.raises(ValueError, match="no peer 'nobody'"):
        named("nobody")


def test_presigned_urls_are_compared_with_botocore_s(monkeypatch: pytest.MonkeyPatch):
    assert "| botocore |" in presigning.measured(3, 1)
    monkeypatch.setattr(presigning, "presign", lambda *_, **__: "https://elsewhere/")
    with pytest.raises(RuntimeError, match="part 1 is signed as botocore does not"):
        presigning.measured(3, 1)


def test_spread_is_the_median_with_its_range():
    found = spread([3, 1, 2, 10])
    assert (found.middle, found.least, found.most) == (2.5, 1, 10)
    with pytest.raises(ValueError, match="nothing"):
        spread([])


def test_costs_are_counted_by_gib_and_the_cheapest_comes_first():
    found = rows(CASE, [run("dear", cpu=4), run("cheap", cpu=1), run("cheap", 1, cpu=3)])
    assert [row.peer for row in found] == ["cheap", "dear"]
    assert found[0].cpu.middle == 1
    assert found[0].runs == 2
    assert found[1].user == pytest.approx(1.5)


def test_costs_of_small_files_are_counted_by_thousands():
    case = Case(Load(10_000, 16 * KIB, 32), upload=False, tls=True)
    [row] = rows(case, [run("a", cpu=5, case=case)])
    assert row.cpu.middle == 0.5


def test_slope_tells_start_up_from_what_a_gib_costs():
    small, large = (Case(Load(1, size * GIB), upload=True, tls=False) for size in (1, 4))
    runs = [
        run("a", wall=0.5 + 0.25, cpu=0.8 + 0.2, case=small),
        run("a", wall=0.5 + 1.0, cpu=0.8 + 0.8, case=large),
        run("only small", case=small),
    ]
    [slope] = slopes({case.name: case for case in (small, large)}, runs)
    assert slope.peer == "a"
    assert slope.cpu == pytest.approx(0.2)
    assert slope.cpu_start == pytest.approx(0.8)
    assert slope.wall == pytest.approx(0.25)
    assert slope.wall_start == pytest.approx(0.5)


def test_no_slope_between_cases_that_differ_in_more_than_size():
    small = Case(Load(1, GIB), upload=True, tls=False)
    large = Case(Load(1, 4 * GIB), upload=True, tls=True)
    known = {case.name: case for case in (small, large)}
    assert slopes(known, [run("a", case=small), run("a", case=large)]) == []


def test_results_survive_being_written():
    found = results(run("transfer"), run("curl"))
    assert Results.from_json(found.to_json()) == found


@pytest.mark.parametrize("text", ["{}", "[]", '{"format": 99}', "nonsense"])
def test_what_is_no_result_is_refused(text: str):
    with pytest.raises(ValueError, match=r"result|Expecting"):
        Results.from_json(text)


def test_document_says_when_where_and_what_is_missing():
    text = document(results(run("transfer"), run("curl")), "title")
    assert "2026-01-01, P, 2 cores" in text
    assert "| transfer | 1.00 (1.00-1.00) |" in text
    assert "Left out: minio: it fell / over badly" in text
    assert "s5cmd (make bench installs it)" in text


def _change(old: Results, new: Results, measure: str) -> object:
    return next(change for change in changes(old, new) if change.measure == measure)


def test_slower_run_is_found():
    old = results(*(run("transfer", turn, wall=1) for turn in range(5)))
    new = results(*(run("transfer", turn, wall=1.5) for turn in range(5)))
    assert _change(old, new, "wall").slower(0.1)
    assert not _change(old, new, "CPU").slower(0.1)
    assert "SLOWER 1x2GiB up http: transfer: wall x1.50" in shown(changes(old, new), 0.1)
    assert not _change(new, old, "wall").slower(0.1)


def test_machine_that_is_slower_for_everybody_is_no_regression():
    peers = ("transfer", "curl", "rclone")
    old = results(*(run(peer, turn, wall=1) for peer in peers for turn in range(3)))
    new = results(*(run(peer, turn, wall=1.5) for peer in peers for turn in range(3)))
    change = _change(old, new, "wall")
    assert change.drift == 1.5
    assert not change.slower(0.1)


def test_one_bad_run_of_five_is_no_regression():
    old = results(*(run("transfer", turn) for turn in range(5)))
    new = results(*(run("transfer", turn, wall=9 if turn == 2 else 1) for turn in range(5)))
    assert not _change(old, new, "wall").slower(0.1)


def test_peer_of_another_version_is_no_control():
    peers = ("transfer", "curl", "rclone")
    old = results(*(run(peer, turn, wall=1) for peer in peers for turn in range(3)))
    new = results(*(run(peer, turn, wall=1.5) for peer in peers for turn in range(3)))
    new = replace(new, versions=dict.fromkeys(peers, "2.0"))
    assert _change(old, new, "wall").slower(0.1)
