"""How many worker processes there are, and what is said between them and us."""

from __future__ import annotations

import sys
from threading import Lock
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.local.batches import LocalBatcher
from backends.local.folder import LocalFolder
from backends.s3.batches import S3Batcher
from backends.s3.requests import S3Requests
from transfer.carrying import Arrival, File, Way
from transfer.checksums import Algorithm, checksum_of
from transfer.model import Intent, ObjectInfo, Verified
from transfer.settings import Settings
from transfer.signing import Credentials
from transfer.store import Tls
from transfer.workers import fleet, messages, starting
from transfer.workers.messages import Know, Moving, Ready, Stop, Unpacker, packed

S3 = S3Batcher(
    "s3://bucket",
    S3Requests("http://127.0.0.1/bucket", "here", {}, {"x-amz-storage-class": "COLD"}),
    Credentials("access", "secret"),
    Tls(ca_file="authority.pem"),
    Algorithm.CRC32C,
)
WAY = Way(source_is_local=True, target_is_local=False)
TOLD = [
    Ready(),
    Know(0, b"a store"),
    Stop(7, for_good=True),
    Moving([(1, 100, 2.5), (2, 0, 0.0)]),
    messages.ended(3, 12, [Arrival(0, "crc32c:AAAAAA==", Verified.CONTENT, 0.5)], [1], "KeyError"),
]


@pytest.mark.parametrize(
    ("processors", "wanted", "count"),
    [(1, None, 0), (2, None, 2), (4, None, 4), (64, None, 4), (1, 3, 3), (64, 0, 0), (2, 9, 9)],
)
def test_there_is_one_for_each_processor_up_to_a_few(
    processors: int, wanted: int | None, count: int
):
    assert fleet.workers_for(processors, wanted) == count


def test_a_number_is_begun_with_the_first_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fleet, "usable_processors", lambda: 8)
    auto, asked, none = (
        fleet.Fleet.from_settings(Settings.from_env({"TRANSFER_WORKERS": text}), print)
        for text in ("auto", "1", "0")
    )
    assert auto.waits
    assert auto.worth > 0
    assert (asked.waits, asked.worth) == (True, 0)
    assert not none.waits


@pytest.mark.parametrize(
    ("program", "is_python"),
    [
        ("/usr/bin/python3", True),
        ("/opt/x/bin/python3.12", True),
        ("/usr/bin/pypy3", True),
        ("/usr/bin/python3.13t", True),
        ("/usr/bin/python3-dbg", True),
        ("/usr/bin/uwsgi", False),
        ("/opt/app/pythonic", False),
        ("", False),
        (None, False),
    ],
)
def test_only_an_interpreter_is_started(
    monkeypatch: pytest.MonkeyPatch, program: str | None, is_python: bool
):
    monkeypatch.setattr(sys, "executable", program)
    assert starting.interpreter() == (program if is_python else None)


def test_a_program_with_python_in_it_is_not_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert starting.interpreter() is None


@given(st.lists(st.sampled_from(TOLD), max_size=8), st.integers(1, 50))
def test_messages_arrive_as_they_were_sent_however_they_are_cut(told: list[Any], piece: int):
    line = b"".join(map(packed, told))
    unpacker = Unpacker()
    heard = [
        message
        for start in range(0, len(line), piece)
        for message in unpacker.feed(line[start : start + piece])
    ]
    assert heard == told
    assert [type(message) for message in heard] == [type(message) for message in told]


def test_a_load_is_told_whole():
    checksum = checksum_of(Algorithm.SHA256, b"x")
    files = [
        File(ObjectInfo("a", 5, "version"), "b/a"),
        File(ObjectInfo("\udcff", 0, None, None, checksum), "b/\udcff"),
    ]
    intent = Intent(None, metadata={"name": "value"}, algorithm=Algorithm.CRC32C)
    [heard] = Unpacker().feed(packed(messages.carry(4, (0, 1), WAY, intent, files)))
    assert isinstance(heard, messages.Carry)
    assert (heard.number, heard.source, heard.target, Way(*heard.way)) == (4, 0, 1, WAY)
    assert messages.files_of(heard) == files
    assert messages.intent_of(heard) == intent


def test_what_has_arrived_is_told_whole():
    arrived = [
        Arrival(1, "crc32c:AAAAAA==", Verified.CONTENT, 0.25),
        Arrival(0, "md5:x", Verified.SIZE, 1),
    ]
    [heard] = Unpacker().feed(packed(messages.ended(9, 77, arrived, [2, 3], "")))
    assert isinstance(heard, messages.Ended)
    assert messages.arrivals_of(heard) == arrived
    assert heard[:2] == (9, 77)
    assert (heard.left, heard.trouble) == ([2, 3], "")


def test_what_has_a_lock_in_it_stays_here(tmp_path: Any):
    class Locked:
        def __init__(self) -> None:
            self.lock = Lock()

    there = fleet.Fleet(1, 0, connect_timeout=1, notify=print)
    locked: Any = Locked()
    assert there.portable(locked) is None
    assert there.portable(locked) is None
    local = LocalBatcher(LocalFolder(tmp_path, durable=True, confined=False), together=True)
    for batcher in (local, S3):
        portable = there.portable(batcher)
        assert portable is not None
        assert there.portable(batcher) is portable


def test_keys_are_not_shown():
    portable = fleet.Fleet(1, 0, connect_timeout=1, notify=print).portable(S3)
    assert portable is not None
    order = fleet.Order(portable, portable, WAY, Intent(None), [])
    assert b"secret" in portable.pickled
    assert "secret" not in f"{S3} {S3!r} {order} {Know(0, portable.pickled)}"


def test_what_raises_anything_when_it_is_pickled_stays_here():
    class Odd:
        def __reduce__(self) -> Any:
            raise ValueError

    odd: Any = Odd()
    assert fleet.Fleet(1, 0, connect_timeout=1, notify=print).portable(odd) is None


class Line:
    """The end of a line, as other loops than asyncio's own have it."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.ended = False
        self._unpacker = Unpacker()

    def write(self, data: bytes) -> None:
        self.told += self._unpacker.feed(data)

    def write_eof(self) -> None:
        self.ended = True


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def worker(said: list[str], line: Line) -> fleet.Worker:
    worker = fleet.Worker(fleet.Fleet(1, 0, connect_timeout=1, notify=said.append))
    there: Any = line
    worker.connection_made(there)
    worker.data_received(packed(Ready()))
    assert worker.ready
    return worker


def sent_by(worker: fleet.Worker, count: int = 2) -> fleet.SentLoad:
    portable = fleet.Fleet(1, 0, connect_timeout=1, notify=print).portable(S3)
    assert portable is not None
    files = [File(ObjectInfo(f"f{n}", 5), f"f{n}") for n in range(count)]
    return worker.carry(fleet.Order(portable, portable, WAY, Intent(None), files))


def answer(worker: fleet.Worker, sent: fleet.SentLoad, *arrived: int, trouble: str = "") -> None:
    there = [Arrival(number, "", Verified.CONTENT, 0) for number in arrived]
    ended = messages.ended(sent.number, 5, there, [1 - n for n in arrived], trouble)
    worker.data_received(packed(ended))


def test_a_load_is_told_of_and_its_end_is_heard(worker: fleet.Worker, line: Line):
    sent = sent_by(worker)
    worker.data_received(packed(Moving([(sent.number, 3, 7.5), (99, 0, 0)])))
    assert (sent.size, sent.pulse, sent.future.done(), worker.busy) == (3, 7.5, False, 1)
    answer(worker, sent, 1)
    assert sent.future.result() is None
    assert ([arrival.number for arrival in sent.end()[0]], sent.end()[1]) == ([1], [0])
    assert worker.busy == 0
    assert [type(message).__name__ for message in line.told] == ["Know", "Carry"]


def test_what_was_given_up_has_not_arrived_whatever_comes_later(worker: fleet.Worker, line: Line):
    sent = sent_by(worker)
    sent.interrupt()
    sent.abandon()
    assert sent.end() == ([], [0, 1])
    answer(worker, sent, 0, 1)
    assert sent.future.done()
    assert sent.end() == ([], [0, 1])
    assert line.told[-2:] == [Stop(sent.number, for_good=False), Stop(sent.number, for_good=True)]


def test_one_that_brings_nothing_gets_no_more(worker: fleet.Worker, said: list[str]):
    for _ in range(2):
        assert worker.ready
        answer(worker, sent_by(worker))
    assert not worker.ready
    assert said == []


def test_what_we_have_stopped_says_nothing_of_a_worker(worker: fleet.Worker):
    for _ in range(5):
        sent = sent_by(worker)
        sent.interrupt()
        answer(worker, sent)
    assert worker.ready


def test_one_that_has_brought_something_may_fail_as_often_as_the_server_does(worker: fleet.Worker):
    answer(worker, sent_by(worker), 0)
    for _ in range(5):
        answer(worker, sent_by(worker))
    assert worker.ready


def test_one_in_trouble_is_told_of_once(worker: fleet.Worker, said: list[str]):
    first, second = sent_by(worker), sent_by(worker)
    answer(worker, first, trouble="KeyError in x.py, line 3")
    answer(worker, second, trouble="KeyError in x.py, line 3")
    assert not worker.ready
    [notice] = said
    assert "KeyError in x.py, line 3" in notice


def test_one_that_leaves_is_not_ready_any_more_and_hears_nothing(
    worker: fleet.Worker, line: Line, said: list[str]
):
    sent = sent_by(worker)
    worker.hang_up()
    assert line.ended
    assert sent.lost
    assert sent.future.exception() is not None
    told = len(line.told)
    sent.abandon()
    worker.data_received(packed(Ready()))
    assert not worker.ready
    assert len(line.told) == told
    worker.connection_lost(None)
    assert said == []


async def test_who_is_no_interpreter_says_so_if_workers_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
):
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    for worth, count in ((0.5, 0), (0, 1)):
        there = fleet.Fleet(2, worth, connect_timeout=1, notify=said.append)
        await there.begin(())
        assert not there.waits
        assert there.idlest() is None
        assert len(said) == count
