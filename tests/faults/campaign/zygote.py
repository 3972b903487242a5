"""Processes that die: forked from one that has everything loaded, so that a death costs little.

`python -m tests.faults.campaign.zygote FOLDER` reads a line of JSON for each run,
forks, and says the child's number and, later, how it ended. The child runs the
engine as any program would, in the same hurry as the rest; it may be killed at
any moment, or kills itself at a failpoint: before or after the nth call of a
function at which the journal, the file or the upload changes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import Process


class Zygote:
    """The parent of processes that die; one child at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Process | None = None
        self.child = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.aclose()

    async def _started(self) -> tuple[Process, BufferedByteReceiveStream]:
        """Start it when it is first needed: many schedules kill nobody."""
        if self._process is None:
            self._process = await anyio.open_process(
                [sys.executable, "-m", "tests.faults.campaign.zygote"],
                stderr=None,
            )
            assert self._process.stdout is not None
            self._lines = BufferedByteReceiveStream(self._process.stdout)
        return self._process, self._lines

    async def run(self, order: Mapping[str, Any]) -> dict[str, Any] | None:
        """Let a child run; return what it says in the end, None if it was killed."""
        process, lines = await self._started()
        assert process.stdin is not None
        result = self._folder / "result.json"
        result.unlink(missing_ok=True)
        order = {**order, "result": str(result)}
        await process.stdin.send(json.dumps(order).encode() + b"\n")
        self.child = int(await lines.receive_until(b"\n", 1000))
        try:
            await lines.receive_until(b"\n", 1000)
        except anyio.get_cancelled_exc_class():
            self.kill()
            # How it ended is said all the same, and not to whoever comes next.
            with anyio.CancelScope(shield=True):
                await lines.receive_until(b"\n", 1000)
            raise
        finally:
            self.child = 0
        return json.loads(result.read_text()) if result.exists() else None

    def kill(self) -> bool:
        """kill -9 of the child, if there is one."""
        if not self.child:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.child, signal.SIGKILL)
            return True
        return False


def die_at(name: str, nth: int, when: str) -> None:
    """Make this process kill itself at a failpoint."""
    owner, attribute = failpoints()[name]
    function = getattr(owner, attribute)
    count = 0

    def due() -> bool:
        nonlocal count
        count += 1
        return count == nth

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, attribute, _dying(function, due, die, when))


def _dying(function: Callable[..., Any], due: Callable[[], bool], die, when: str):
    from inspect import iscoroutinefunction

    if iscoroutinefunction(function):

        async def dying(*arguments: Any, **more: Any) -> Any:
            now = due()
            if now and when == "before":
                die()
            result = await function(*arguments, **more)
            if now:
                die()
            return result

        return dying

    def dying_at_once(*arguments: Any, **more: Any) -> Any:
        now = due()
        if now and when == "before":
            die()
        result = function(*arguments, **more)
        if now:
            die()
        return result

    return dying_at_once


def failpoints() -> dict[str, tuple[type, str]]:
    """Return where a process can be told to die, by name."""
    from backends.partial_file import PartialFile
    from backends.s3.parts import S3Parts
    from transfer.journal import Entry

    journal = {f"journal.{name}": (Entry, name) for name in ("begin", "note", "touch", "forget")}
    file = {f"file.{name}": (PartialFile, name) for name in ("create", "note", "publish", "remove")}
    parts = {f"parts.{name}": (S3Parts, name) for name in ("create", "complete", "abort")}
    return {**journal, **file, **parts}


def _child(order: dict[str, Any]) -> None:
    from tests.faults.campaign import plants
    from tests.faults.campaign.telling import told
    from transfer.engine import Engine, Options
    from transfer.settings import Settings

    if order.get("failpoint"):
        die_at(**order["failpoint"])

    async def run() -> dict[str, Any]:
        async with Engine(Settings(**order["settings"])) as engine:
            report = await engine.run(
                order["source"], order["target"], options=Options(**order["options"])
            )
        return told(report)

    with plants.planted(order["plants"]):
        said = anyio.run(run)
    Path(order["result"]).write_text(json.dumps(said))


def main() -> None:
    """Fork for each line of the standard input."""
    from tests.faults.campaign.cheap import hurried

    with hurried():
        for line in sys.stdin.buffer:
            child = os.fork()
            if not child:
                code = 1
                try:
                    _child(json.loads(line))
                    code = 0
                finally:
                    sys.stderr.flush()
                    os._exit(code)
            print(child, flush=True)
            _, status = os.waitpid(child, 0)
            print(status, flush=True)


if __name__ == "__main__":
    main()
