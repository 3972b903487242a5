from __future__ import annotations

import pytest

from transfer.errors import (
    AccessError,
    ConnectionLostError,
    InterruptedTransferError,
    TakenOverError,
    TransferError,
    UnsupportedError,
)
from transfer.machine import (
    Abort,
    Aborted,
    Complete,
    Completed,
    Create,
    Created,
    Failed,
    IllegalEventError,
    Machine,
    Put,
    Send,
    Sent,
    State,
    Stored,
)
from transfer.model import ObjectInfo, Receipt, Upload
from transfer.planner import Plan

UPLOAD = Upload("key", "id", 10, 4)
INFO = ObjectInfo("key", 10)
REFUSED = AccessError("no")
GONE = ConnectionLostError("gone")
STOPPED = InterruptedTransferError("stopped")
TAKEN = TakenOverError("taken")
THREE = Plan(10, 4)


def receipt(number: int) -> Receipt:
    return Receipt(number, 4 if number < 3 else 2, f"e{number}")


def moving(*, keep: bool = False, sends: int = 0) -> Machine:
    machine = Machine(THREE, keep=keep)
    assert machine.next() == Create()
    machine.feed(Created(UPLOAD))
    for number in range(1, sends + 1):
        assert machine.next() == Send(UPLOAD, THREE.part(number))
    return machine


def completing() -> Machine:
    machine = moving(sends=3)
    for number in (2, 3, 1):
        machine.feed(Sent(receipt(number)))
    return machine


def test_single_put():
    machine = Machine(Plan(10))
    assert machine.next() == Put()
    assert machine.next() is None
    machine.feed(Stored(INFO))
    assert (machine.state, machine.info, machine.next()) == (State.DONE, INFO, None)
    assert machine.settled


def test_put_that_fails():
    machine = Machine(Plan(10))
    machine.next()
    machine.feed(Failed(REFUSED))
    assert (machine.state, machine.error) == (State.FAILED, REFUSED)


def test_parts_are_sent_side_by_side_and_completed_in_order():
    machine = completing()
    assert machine.next() == Complete(UPLOAD, (receipt(1), receipt(2), receipt(3)))
    assert machine.next() is None
    machine.feed(Completed(INFO))
    assert (machine.state, machine.info, machine.error) == (State.DONE, INFO, None)


def test_nothing_is_completed_before_the_last_part_is_there():
    machine = moving(sends=3)
    machine.feed(Sent(receipt(3)))
    machine.feed(Sent(receipt(1)))
    assert machine.next() is None
    machine.feed(Sent(receipt(2)))
    assert isinstance(machine.next(), Complete)


def test_parts_of_a_former_run_are_not_sent_again():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Created(UPLOAD, (receipt(2),)))
    assert [machine.next(), machine.next(), machine.next()] == [
        Send(UPLOAD, THREE.part(1)),
        Send(UPLOAD, THREE.part(3)),
        None,
    ]


def test_upload_that_is_already_whole_is_completed_at_once():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Created(UPLOAD, tuple(map(receipt, (1, 2, 3)))))
    assert isinstance(machine.next(), Complete)


def test_part_that_is_not_in_the_plan_does_not_stand_for_one_that_is_missing():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Created(UPLOAD, tuple(map(receipt, (0, 1, 2, 4, 99)))))
    assert machine.next() == Send(UPLOAD, THREE.part(3))
    machine.feed(Sent(receipt(3)))
    assert machine.next() == Complete(UPLOAD, (receipt(1), receipt(2), receipt(3)))


def test_upload_of_a_former_run_stays_cut_as_it_was():
    machine = Machine(Plan(10, 4))
    machine.next()
    machine.feed(Created(Upload("key", "id", 10, 5), (Receipt(1, 5, "e1"),)))
    assert (machine.plan, machine.plan.count) == (Plan(10, 5), 2)
    assert machine.next() == Send(Upload("key", "id", 10, 5), Plan(10, 5).part(2))
    machine.feed(Sent(Receipt(2, 5, "e2")))
    assert isinstance(machine.next(), Complete)


def test_upload_that_does_not_say_how_it_is_cut_is_cut_as_planned():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Created(Upload("key", "id", 10, None)))
    assert machine.plan == THREE


def test_object_that_turns_out_to_be_there_needs_no_upload():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Stored(INFO))
    assert (machine.state, machine.info) == (State.DONE, INFO)


def test_store_that_has_no_multipart_after_all_gets_one_put():
    machine = Machine(THREE)
    machine.next()
    machine.feed(Failed(UnsupportedError("no such operation")))
    assert machine.next() == Put()
    assert machine.plan == Plan(10)
    machine.feed(Stored(INFO))
    assert (machine.state, machine.error) == (State.DONE, None)


@pytest.mark.parametrize("error", [REFUSED, GONE, STOPPED, TransferError("any")])
def test_nothing_but_unsupported_falls_back_to_a_put(error: TransferError):
    machine = Machine(THREE, keep=True)
    machine.next()
    machine.feed(Failed(error))
    assert (machine.state, machine.error, machine.next()) == (State.FAILED, error, None)


def test_unsupported_falls_back_at_the_beginning_only():
    unsupported = UnsupportedError("no")
    machine = moving(sends=1)
    machine.feed(Failed(unsupported, 1))
    assert machine.next() == Abort(UPLOAD)
    machine = completing()
    machine.next()
    machine.feed(Failed(unsupported))
    assert machine.next() == Abort(UPLOAD)
    machine = Machine(Plan(10))
    machine.next()
    machine.feed(Failed(unsupported))
    assert machine.state is State.FAILED


def test_failed_part_gives_the_upload_up_once_the_others_have_landed():
    machine = moving(sends=2)
    machine.feed(Failed(REFUSED, 1))
    assert (machine.state, machine.next()) == (State.ABORTING, None)
    machine.feed(Sent(receipt(2)))
    assert machine.next() == Abort(UPLOAD)
    assert machine.next() is None
    machine.feed(Aborted())
    assert (machine.state, machine.error, machine.abort_error) == (State.FAILED, REFUSED, None)


def test_first_error_is_the_one_that_counts():
    machine = moving(sends=2)
    machine.feed(Failed(REFUSED, 2))
    machine.feed(Failed(GONE, 1))
    assert machine.error is REFUSED


def test_failed_complete_gives_the_upload_up():
    machine = completing()
    machine.next()
    machine.feed(Failed(REFUSED))
    assert machine.next() == Abort(UPLOAD)


def test_failed_abort_is_noted_beside_the_error():
    machine = moving(sends=1)
    machine.feed(Failed(REFUSED, 1))
    machine.next()
    machine.feed(Failed(GONE))
    assert (machine.state, machine.error, machine.abort_error) == (State.FAILED, REFUSED, GONE)
    assert machine.next() is None


@pytest.mark.parametrize("error", [GONE, STOPPED])
def test_upload_that_may_be_resumed_is_kept(error: TransferError):
    machine = moving(keep=True, sends=2)
    machine.feed(Failed(error, 1))
    assert not machine.settled
    machine.feed(Sent(receipt(2)))
    assert (machine.state, machine.next(), machine.error) == (State.KEPT, None, error)


def test_upload_is_not_kept_for_an_error_that_stays():
    machine = moving(keep=True, sends=1)
    machine.feed(Failed(REFUSED, 1))
    assert machine.next() == Abort(UPLOAD)


@pytest.mark.parametrize("keep", [True, False])
def test_upload_that_somebody_has_taken_over_is_left_alone(keep: bool):
    machine = moving(keep=keep, sends=2)
    machine.feed(Failed(TAKEN, 1))
    machine.feed(Sent(receipt(2)))
    assert (machine.state, machine.next(), machine.error) == (State.KEPT, None, TAKEN)
    machine = completing()
    machine.next()
    machine.feed(Failed(TAKEN))
    assert (machine.state, machine.next(), machine.error) == (State.KEPT, None, TAKEN)


@pytest.mark.parametrize("first", [REFUSED, GONE])
def test_upload_that_somebody_has_taken_over_is_left_alone_whatever_came_before(
    first: TransferError,
):
    machine = moving(sends=2)
    machine.feed(Failed(first, 1))
    machine.feed(Failed(TAKEN, 2))
    assert machine.next() is None
    assert machine.state is State.KEPT


def test_upload_is_not_kept_unasked():
    machine = moving(sends=1)
    machine.feed(Failed(GONE, 1))
    assert machine.next() == Abort(UPLOAD)


def test_stop_before_anything_began():
    machine = Machine(THREE)
    machine.stop(STOPPED)
    assert (machine.state, machine.error, machine.next()) == (State.FAILED, STOPPED, None)


def test_stop_while_parts_fly_waits_for_them():
    machine = moving(sends=2)
    machine.stop(STOPPED)
    assert machine.next() is None
    machine.feed(Failed(STOPPED, 1))
    machine.feed(Sent(receipt(2)))
    assert machine.next() == Abort(UPLOAD)


def test_stop_while_nothing_flies_settles_at_once_what_is_kept():
    machine = moving(keep=True)
    machine.stop(STOPPED)
    assert (machine.state, machine.upload) == (State.KEPT, UPLOAD)


def test_stop_while_the_upload_is_being_opened_aborts_it():
    machine = Machine(THREE)
    machine.next()
    machine.stop(STOPPED)
    assert not machine.settled
    machine.feed(Created(UPLOAD))
    assert machine.next() == Abort(UPLOAD)


def test_stop_while_the_upload_is_being_opened_forbids_the_fall_back():
    machine = Machine(THREE)
    machine.next()
    machine.stop(STOPPED)
    machine.feed(Failed(UnsupportedError("no")))
    assert (machine.state, machine.error) == (State.FAILED, STOPPED)


def test_stop_before_complete_gives_up():
    machine = completing()
    machine.stop(STOPPED)
    assert machine.next() == Abort(UPLOAD)


def test_stop_during_complete_comes_too_late_if_that_succeeds():
    machine = completing()
    machine.next()
    machine.stop(STOPPED)
    assert machine.next() is None
    machine.feed(Completed(INFO))
    assert (machine.state, machine.error) == (State.DONE, None)


def test_stop_during_complete_decides_if_that_fails():
    machine = completing()
    machine.next()
    machine.stop(STOPPED)
    machine.feed(Failed(GONE))
    assert machine.error is STOPPED
    assert machine.next() == Abort(UPLOAD)


def test_stop_during_a_put_comes_too_late_if_that_succeeds():
    machine = Machine(Plan(10))
    machine.next()
    machine.stop(STOPPED)
    machine.feed(Stored(INFO))
    assert (machine.state, machine.error) == (State.DONE, None)


def test_stop_of_what_is_settled_changes_nothing():
    machine = Machine(Plan(10))
    machine.next()
    machine.feed(Stored(INFO))
    machine.stop(STOPPED)
    assert (machine.state, machine.error) == (State.DONE, None)


@pytest.mark.parametrize(
    ("machine", "event"),
    [
        (Machine(THREE), Created(UPLOAD)),
        (Machine(THREE), Failed(GONE)),
        (moving(), Sent(receipt(1))),
        (moving(sends=1), Sent(receipt(2))),
        (moving(sends=1), Failed(GONE, 2)),
        (moving(sends=1), Completed(INFO)),
        (moving(sends=1), Aborted()),
        (completing(), Sent(receipt(3))),
        (completing(), Stored(INFO)),
    ],
)
def test_what_cannot_have_happened_is_a_bug(machine: Machine, event: object):
    before = repr(machine)
    with pytest.raises(IllegalEventError):
        machine.feed(event)  # type: ignore[arg-type]
    assert repr(machine) == before


def test_part_lands_once():
    machine = moving(sends=2)
    machine.feed(Sent(receipt(1)))
    with pytest.raises(IllegalEventError):
        machine.feed(Sent(receipt(1)))


def test_repr_shows_where_it_stands():
    machine = moving(sends=2)
    machine.feed(Sent(receipt(1)))
    assert repr(machine) == "<Machine moving: 1 of 3 parts, 1 under way>"


def test_spent_is_what_has_handed_out_its_last_part():
    single = Machine(Plan(10))
    assert not single.spent
    single.next()
    assert single.spent
    machine = moving(sends=2)
    assert not machine.spent
    machine.next()
    assert machine.spent
