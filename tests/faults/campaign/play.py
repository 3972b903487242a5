"""One schedule played: runs while things go wrong, then one in peace, then the books are closed."""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import anyio

from backends import partial_file
from backends.marks import MARK_LENGTH
from backends.s3.parts import S3Parts
from tests.faults.campaign import invariants
from tests.faults.campaign.menu import LIES, network_fault
from tests.faults.campaign.plants import planted
from tests.faults.campaign.telling import told
from tests.faults.campaign.world import URL_LIFETIME, new_content
from tests.faults.harness.refusals import Hangup
from transfer.coordinator import reaper
from transfer.engine import Engine, Options
from transfer.errors import TransferError
from transfer.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tests.faults.campaign.schedule import Fault, Schedule
    from tests.faults.campaign.world import World
    from tests.faults.harness.rules import Rule

# Seconds that a run may take here, where every pause is short.
DEADLINE = 20.0
_MOST_RUNS = 4
_OUTAGE = 0.03


@dataclass
class Outcome:
    """What came of a schedule; `findings` is empty if all is well."""

    schedule: Schedule
    findings: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    runs: list[dict[str, Any]] = field(default_factory=list)
    requests: int = 0
    # Left by a process that was killed before it could note them, or opened by a request
    # whose answer was lost: nobody knows of them.
    unknown: int = 0


class Play:
    """A schedule in a world; `play` does it all."""

    def __init__(self, world: World, schedule: Schedule, plants: Sequence[str] = ()) -> None:
        self.world = world
        self.schedule = schedule
        self.plants = list(plants)
        self.outcome = Outcome(schedule)
        self.versions = [new_content(schedule)]
        self.old = None if schedule.old is None else bytes([7]) * schedule.old
        self.deleted = False
        self.known: set[str] = set()
        self.said: list[str] = []
        self.stopped = 0
        self._rules: list[tuple[Fault, Rule]] = []
        self._done: Counter[int] = Counter()
        self.killed = False
        self._outages = 0
        self._ahead = 0.0
        self._armed = True
        self._scope: anyio.CancelScope | None = None
        self._calls: Counter[str] = Counter()
        self._group: Any = None

    async def play(self) -> Outcome:
        """Play it, and return what was found."""
        await self.world.reset(self.schedule)
        self._lay_out()
        self._arm()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                with planted(self.plants), self._watched():
                    await self._troubled()
                    await self._disarm()
                    await self._peaceful()
                self._group = None
                group.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            self.finding(f"untyped: {group.exceptions!r}")
        self._count()
        return self.outcome

    def finding(self, text: str) -> None:
        """Note that something is not as it must be."""
        self.outcome.findings.append(text)

    # --- before

    def _lay_out(self) -> None:
        world, schedule = self.world, self.schedule
        if schedule.way == "push":
            world.source.write_bytes(self.versions[0])
            os.utime(world.source, (1_000_000_000, 1_000_000_000))
            if self.old is not None:
                world.put_object(self.old, checksum=False)
        else:
            world.put_object(self.versions[0], checksum=schedule.seed % 2 == 0)
            if self.old is not None:
                world.target.write_bytes(self.old)

    def _arm(self) -> None:
        plans: dict[str, dict[int, list[Any]]] = {"net": {}, "front": {}}
        for fault in self.schedule.faults:
            if fault.kind in plans:
                plans[fault.kind].setdefault(fault.nth, []).append(
                    network_fault(fault.name, **fault.args)
                )
            elif fault.kind == "lie":
                self._rule(fault, LIES[fault.name][0]())
            elif fault.on:
                self._rule(fault, self._trigger(fault))
        self.world.proxy.plan = plans["net"]
        self.world.front.plan = plans["front"]

    def _rule(self, fault: Fault, lie: Any) -> None:
        rule = self.world.store.lies.add(fault.on, lie, nth=fault.nth)
        self._rules.append((fault, rule))

    def _trigger(self, fault: Fault) -> Any:
        act = {
            "source": self._change_source,
            "stop": self._stop,
            "kill": self._kill,
            "outage": self._outage,
            "clock": self._clock,
        }[fault.kind]

        def now() -> None:
            # A request may be late, and what it brings would fall into the peaceful run.
            if self._armed:
                act(fault)

        async def trigger(exchange: Any, work: Any) -> Any:
            if fault.args.get("when") != "after":
                now()
                return await work()
            answer = await work()
            now()
            return answer

        return trigger

    def _hit(self, fault: Fault) -> None:
        self._done[id(fault)] += 1
        self.outcome.hits[
            f"{fault.kind} {fault.name}" if fault.kind != fault.name else fault.kind
        ] += 1

    def _stop(self, fault: Fault) -> None:
        if self._scope is not None:
            self._hit(fault)
            self.stopped += 1
            self._scope.cancel()

    def _kill(self, fault: Fault) -> None:
        if self.world.zygote.kill():
            self._hit(fault)
            raise Hangup(rst=True)

    def _outage(self, fault: Fault) -> None:
        if self._outages:
            return
        self._hit(fault)
        self._outages += 1

        async def outage() -> None:
            await self.world.proxy.down()
            await anyio.sleep(_OUTAGE)
            await self.world.proxy.up_again()
            self._outages -= 1

        self._later(outage)

    def _later(self, act: Any) -> None:
        """Do something on the side; what comes when all is over comes too late."""
        if self._group is not None:
            self._group.start_soon(act)

    def _clock(self, fault: Fault) -> None:
        """For a moment, what was signed is too old."""
        self._hit(fault)
        self._jump(URL_LIFETIME + 1)

        async def back() -> None:
            await anyio.sleep(_OUTAGE)
            self._jump(-self._ahead)

        self._later(back)

    def _jump(self, seconds: float) -> None:
        self._ahead += seconds
        self.world.store.clock.jump(seconds)

    def _change_source(self, fault: Fault) -> None:
        if self.deleted:
            return
        self._hit(fault)
        number = len(self.versions)
        data = self.versions[-1]
        new = {
            "append": data + b"more",
            "truncate": data[: len(data) // 2],
            "flip": data[:-1] + bytes([data[-1] ^ 1]) if data else b"x",
            "rewrite": new_content(self.schedule, number),
            "replace": new_content(self.schedule, number),
            "touch": data,
            "delete": data,
        }[fault.name]
        self.deleted = fault.name == "delete"
        self.versions.append(new)
        if self.schedule.way == "push":
            self._change_file(fault.name, new, number)
        elif self.deleted:
            self.world.store.objects.pop(self.world.key, None)
        else:
            self.world.put_object(new, checksum=bool(number % 2))

    def _change_file(self, name: str, new: bytes, number: int) -> None:
        path = self.world.source
        if name == "delete":
            path.unlink()
            return
        if name == "replace":
            other = path.with_suffix(".new")
            other.write_bytes(new)
            other.replace(path)
        elif name != "touch":
            with path.open("r+b") as file:
                file.truncate(len(new))
                file.write(new)
        # The clock of files ticks slowly: without this, two changes could look like one.
        os.utime(path, (1_000_000_000 + number, 1_000_000_000 + number))

    @contextmanager
    def _watched(self) -> Generator[None]:
        """Learn which uploads this process knows of."""
        create = S3Parts.create

        async def created(parts: S3Parts, key: str, intent: Any) -> Any:
            upload = await create(parts, key, intent)
            self.known.add(upload.id[MARK_LENGTH:])
            return upload

        with patch.object(S3Parts, "create", created):
            yield

    @contextmanager
    def _failing_disk(self) -> Generator[None]:
        with ExitStack() as stack:
            for name in {fault.name for fault in self.schedule.faults if fault.kind == "disk"}:
                home = partial_file if name == "reserve" else os
                failing = partial(self._call, name, getattr(home, name))
                stack.enter_context(patch.object(home, name, failing))
            yield

    def _call(self, name: str, real: Any, *arguments: Any, **more: Any) -> Any:
        self._calls[name] += 1
        for fault in self.schedule.faults:
            if (fault.kind, fault.name, fault.nth) == ("disk", name, self._calls[name]):
                self._hit(fault)
                number = getattr(errno, fault.args["error"])
                raise OSError(number, os.strerror(number))
        return real(*arguments, **more)

    # --- during

    async def _troubled(self) -> None:
        for _ in range(_MOST_RUNS):
            said = await self._run()
            invariants.after_a_run(self, said)
            if said["done"] or not (said["resumable"] or said["ended"] != "report"):
                return

    async def _disarm(self) -> None:
        self._armed = False
        self.world.store.lies.clear()
        self._jump(-self._ahead)
        for proxy in (self.world.proxy, self.world.front):
            proxy.plan = ()
            await proxy.cut()  # what is open has its faults still before it
        self.schedule = self.schedule.but(faults=())

    async def _peaceful(self) -> None:
        await self.world.proxy.up_again()
        if self.schedule.end == "finish" and not self.outcome.runs[-1]["done"]:
            said = await self._run()
            invariants.after_a_run(self, said)
            if said["code"] == "integrity" and self.lied("keep one byte less"):
                # A part that the store listed as whole was found out at the end: the next
                # run trusts none of it, and has to arrive.
                said = await self._run()
                invariants.after_a_run(self, said)
            invariants.after_peace(self, said)
        await self._close_the_books()
        invariants.in_the_end(self)

    async def _close_the_books(self) -> None:
        for record, _ in list(self.journal.records()):
            self.known.add(record.upload.id[MARK_LENGTH:])
        async with Engine(self.world.settings(self.schedule)) as engine:
            collected = await engine.collect(older_than=-1.0)
        for record, error in collected.failed:
            self.finding(f"gc: {record.id} {error}")
        if collected.alive:
            self.finding(f"gc: {collected.alive} taken for alive")
        if self.schedule.route == "coordinator":
            await self._reap()

    async def _reap(self) -> None:
        """Whom a dead client has told nobody of, the coordinator knows."""
        here = self.world.coordinator
        reaped = await reaper.reap(here.uploads, here.database, 0.0)
        for error in reaped.errors:
            self.finding(f"reaper: {error}")

    @property
    def journal(self) -> Journal:
        """The records of this schedule."""
        return Journal.from_settings(self.world.settings(self.schedule))

    async def _run(self) -> dict[str, Any]:
        dying = [
            f for f in self.schedule.faults if f.kind in {"kill", "die"} and not self._done[id(f)]
        ]
        said = await (self._run_child(dying) if dying else self._run_here())
        self.said.append(said["text"])
        self.outcome.runs.append(said)
        return said

    def _places(self) -> tuple[str, str]:
        world = self.world
        if self.schedule.way == "push":
            return str(world.source), world.remote
        return world.remote, str(world.target)

    async def _run_here(self) -> dict[str, Any]:
        options = Options(no_clobber=self.schedule.no_clobber, resume=self.schedule.resume)
        said: dict[str, Any] | None = None
        ended = "interrupted"
        try:
            with (
                anyio.fail_after(DEADLINE),
                anyio.CancelScope() as self._scope,
                self._failing_disk(),
            ):
                async with Engine(self.world.settings(self.schedule)) as engine:
                    report = await engine.run(
                        *self._places(), options=options, on_event=self._heard
                    )
                    said, ended = told(report), "report"
        except TransferError as error:
            said, ended = nothing(str(error)), "report"
            said["code"] = error.code
        except TimeoutError:
            self.finding(f"hang: a run took more than {DEADLINE} s")
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            self.finding(f"untyped: {error!r}")
        finally:
            self._scope = None
        return {**(said or nothing("")), "ended": ended}

    def _heard(self, event: Any) -> None:
        self.said.append(str(event))

    async def _run_child(self, dying: Sequence[Fault]) -> dict[str, Any]:
        points = [fault for fault in dying if fault.kind == "die"]
        source, target = self._places()
        chosen = self.world.settings(self.schedule)
        settings = {one.name: getattr(chosen, one.name) for one in fields(chosen)}
        order = {
            "settings": {n: v for n, v in settings.items() if n != "s3_extra_args"},
            "source": source,
            "target": target,
            "options": {"no_clobber": self.schedule.no_clobber, "resume": self.schedule.resume},
            "plants": self.plants,
            "failpoint": {"name": points[0].name, "nth": points[0].nth, **points[0].args}
            if points
            else None,
        }
        said = None
        before = self.outcome.hits["kill"]
        with anyio.move_on_after(DEADLINE) as scope:
            said = await self.world.zygote.run(order)
        if scope.cancelled_caught:
            self.finding(f"hang: a child took more than {DEADLINE} s")
        killed = self.outcome.hits["kill"] > before
        if said is None and not killed and points:
            self._hit(points[0])
        elif said is None and not killed and not scope.cancelled_caught:
            self.finding("a child died by itself")
        self.killed = self.killed or said is None
        for record, _ in list(self.journal.records()):
            self.known.add(record.upload.id[MARK_LENGTH:])
        for fault in dying:
            self._done[id(fault)] += said is not None  # it had its chance
        return {**(said or nothing("")), "ended": "report" if said else "killed"}

    # --- after

    def _count(self) -> None:
        hits = self.outcome.hits
        for fault, rule in self._rules:
            if fault.kind == "lie" and rule.hits:
                hits[f"lie {fault.name}"] += rule.hits
        for name, proxy in (("net", self.world.proxy), ("front", self.world.front)):
            for fault in proxy.hits:
                hits[f"{name} {type(fault).__name__.lower()}"] += 1
        self.outcome.requests = len(self.world.store.log)

    def lied(self, name: str, operation: str | None = None) -> int:
        """Return how often a lie was told."""
        return sum(
            rule.hits
            for fault, rule in self._rules
            if fault.name == name and operation in {None, fault.on}
        )

    @property
    def flipped(self) -> bool:
        """Whether a bit was changed on the wire."""
        return any(
            type(fault).__name__ == "Flip"
            for proxy in (self.world.proxy, self.world.front)
            for fault in proxy.hits
        )


def nothing(text: str) -> dict[str, Any]:
    """Return what a run says that says nothing."""
    return {
        "done": False,
        "skipped": False,
        "verified": None,
        "code": None,
        "text": text,
        "resumable": False,
        "kept": 0,
        "retries": 0,
    }


async def played(world: World, schedule: Schedule, plants: Sequence[str] = ()) -> Outcome:
    """Play one schedule."""
    return await Play(world, schedule, plants).play()
