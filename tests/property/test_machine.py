"""A shell that does anything a shell can do, in any order, and what must hold whatever it does."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from hypothesis import event, given, settings
from hypothesis import strategies as st

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
    Command,
    Complete,
    Completed,
    Create,
    Created,
    Event,
    Failed,
    Machine,
    Put,
    Send,
    Sent,
    State,
    Stored,
)
from transfer.model import ObjectInfo, Receipt, Upload
from transfer.planner import Plan

UPLOAD = Upload("key", "id", None, None)
INFO = ObjectInfo("key", 100)
ERRORS = st.sampled_from(
    [AccessError, ConnectionLostError, TakenOverError, UnsupportedError, TransferError]
)
PLANS = st.one_of(
    st.builds(Plan, st.integers(0, 100)),
    st.builds(Plan, st.integers(0, 60), st.integers(1, 20)),
)


class Shell:
    """Carries out commands as luck has it, and checks each as it is handed out."""

    def __init__(self, data: st.DataObject, plan: Plan, *, keep: bool, failures: bool) -> None:
        self.data = data
        self.plan = plan
        self.keep = keep
        self.failures = failures
        self.machine = Machine(plan, keep=keep)
        self.flying: list[Command] = []
        self.handed_out: list[Command] = []
        self.sent: set[int] = set()
        self.opened = False
        self.unsupported_at_create = False

    def draw_error(self) -> TransferError:
        return self.data.draw(ERRORS, label="error")("it failed")

    def take(self) -> bool:
        command = self.machine.next()
        if command is None:
            return False
        self.check(command)
        self.handed_out.append(command)
        self.flying.append(command)
        return True

    def check(self, command: Command) -> None:
        sends = [c.part.number for c in self.handed_out if isinstance(c, Send)]
        others = [c for c in self.flying if not isinstance(c, Send)]
        assert not others, "nothing else while a Put, Create, Complete or Abort is under way"
        match command:
            case Put():
                assert self.plan.part_size is None or self.unsupported_at_create
                assert not self.opened
            case Create():
                assert self.handed_out == []
                assert self.plan.part_size is not None
            case Send(_, part):
                assert self.opened
                assert part.number not in sends
                assert part.number not in self.sent
                assert part == self.plan.part(part.number)
                assert not any(isinstance(c, Complete | Abort) for c in self.handed_out)
            case Complete(_, receipts):
                assert not self.flying
                numbers = [receipt.number for receipt in receipts]
                assert numbers == list(range(1, self.plan.count + 1)) == sorted(self.sent)
                assert not any(isinstance(c, Complete | Abort) for c in self.handed_out)
            case Abort():
                assert not self.flying
                assert self.opened
                assert not any(isinstance(c, Abort) for c in self.handed_out)
            case _:
                assert_never(command)

    def land(self) -> None:
        index = self.data.draw(st.integers(0, len(self.flying) - 1), label="which lands")
        command = self.flying.pop(index)
        self.machine.feed(self.outcome(command))

    def outcome(self, command: Command) -> Event:
        if self.failures and self.data.draw(st.integers(0, 5), label="luck") == 0:
            error = self.draw_error()
            if isinstance(command, Create):
                self.unsupported_at_create = isinstance(error, UnsupportedError)
            return Failed(error, command.part.number if isinstance(command, Send) else None)
        match command:
            case Put():
                return Stored(INFO)
            case Create():
                return self.created()
            case Send(_, part):
                self.sent.add(part.number)
                return Sent(Receipt(part.number, part.span.size, "e"))
            case Complete():
                return Completed(INFO)
            case Abort():
                return Aborted()
            case _:
                assert_never(command)

    def created(self) -> Event:
        if self.data.draw(st.integers(0, 9), label="is it there") == 0:
            return Stored(INFO)
        self.opened = True
        # An upload that a former run has opened is cut as that one wanted it.
        part_size = self.data.draw(st.none() | st.integers(1, 20), label="cut as")
        upload = replace(UPLOAD, part_size=part_size)
        self.plan = Plan(self.plan.size, part_size) if part_size else self.plan
        # A store may list anything under an upload, parts of nobody too.
        numbers = self.data.draw(st.sets(st.integers(0, self.plan.count + 2)), label="found")
        self.sent |= numbers & set(range(1, self.plan.count + 1))
        return Created(upload, tuple(Receipt(number, 1, "e") for number in sorted(numbers)))

    def step(self) -> None:
        if not self.flying or self.data.draw(st.booleans(), label="start another"):
            if self.take():
                return
            assert self.flying, f"{self.machine!r} hangs"
        self.land()


def play(shell: Shell, stop: tuple[int, TransferError] | None) -> None:
    """Run to the end; a stop comes after so many steps."""
    bound = 4 * (shell.plan.size + 1) + 20
    for number in range(bound):
        if stop is not None and number == stop[0]:
            shell.machine.stop(stop[1])
        if shell.machine.settled:
            break
        shell.step()
    assert shell.machine.settled, f"{shell.machine!r} is not done after {bound} steps"


STOPS = st.none() | st.tuples(
    st.integers(0, 30), st.sampled_from([InterruptedTransferError("out"), AccessError("no")])
)


@settings(max_examples=500)
@given(st.data(), PLANS, st.booleans(), STOPS)
def test_every_transfer_comes_to_a_right_end(
    data: st.DataObject, plan: Plan, keep: bool, stop: tuple[int, TransferError] | None
):
    shell = Shell(data, plan, keep=keep, failures=True)
    play(shell, stop)
    machine = shell.machine
    event(str(machine.state))
    assert machine.next() is None
    assert not shell.flying
    aborts = sum(isinstance(command, Abort) for command in shell.handed_out)
    assert machine.state in {State.DONE, State.FAILED, State.KEPT}
    if machine.state is State.DONE:
        assert (machine.info, machine.error, aborts) == (INFO, None, 0)
    else:
        assert machine.error is not None
    if machine.state is State.KEPT:
        assert machine.error is not None
        assert isinstance(machine.error, TakenOverError) or (keep and machine.error.resumable)
        assert machine.upload is not None
        # An Abort may have been asked for before it turned out whose the upload is.
        assert aborts <= isinstance(machine.error, TakenOverError)
    if machine.state is State.FAILED:
        assert aborts == (1 if shell.opened else 0)


@given(st.data(), PLANS, st.booleans())
def test_without_failures_everything_arrives(data: st.DataObject, plan: Plan, keep: bool):
    shell = Shell(data, plan, keep=keep, failures=False)
    play(shell, None)
    assert shell.machine.state is State.DONE


@given(st.data(), PLANS, st.integers(0, 30), st.booleans())
def test_interruption_keeps_what_was_opened_if_asked_to(
    data: st.DataObject, plan: Plan, after: int, keep: bool
):
    shell = Shell(data, plan, keep=keep, failures=False)
    play(shell, (after, InterruptedTransferError("out")))
    if shell.machine.state is not State.DONE:
        expected = State.KEPT if keep and shell.opened else State.FAILED
        assert shell.machine.state is expected


@given(st.data(), PLANS, STOPS)
def test_put_stands_in_only_for_a_create_that_is_not_supported(
    data: st.DataObject, plan: Plan, stop: tuple[int, TransferError] | None
):
    shell = Shell(data, plan, keep=True, failures=True)
    play(shell, stop)
    kinds = [type(command) for command in shell.handed_out]
    if plan.part_size is None:
        assert set(kinds) <= {Put}
    elif Put in kinds:
        assert kinds == [Create, Put]
        assert shell.unsupported_at_create


@given(st.data(), PLANS, st.booleans(), STOPS)
def test_asking_twice_changes_nothing(
    data: st.DataObject, plan: Plan, keep: bool, stop: tuple[int, TransferError] | None
):
    """An idle `next` must leave no trace: the scheduler asks whenever it has a slot."""
    shell = Shell(data, plan, keep=keep, failures=True)
    for number in range(4 * (plan.size + 1) + 20):
        if stop is not None and number == stop[0]:
            shell.machine.stop(stop[1])
        if shell.machine.settled:
            return
        while shell.take():
            pass
        before = repr(shell.machine), shell.machine.state
        assert shell.machine.next() is None
        assert (repr(shell.machine), shell.machine.state) == before
        assert shell.flying, "nothing under way and nothing to do"
        shell.land()
    raise AssertionError("not settled")
