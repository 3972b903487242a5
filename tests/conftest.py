"""What all tests share: nobody blocks the event loop, and time can be played through."""

from __future__ import annotations

import heapq
import inspect
import os
import types
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

# With awscrt installed, the AWS SDK would sign by that, and in another order.
os.environ["BOTO_DISABLE_CRT"] = "true"  # noqa: TID251 - read when botocore is imported

from blockbuster import BlockBuster

from tests.support.left_out import left_out

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterator


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what this run did not show."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple)]
    for line in left_out(reasons, config.getoption("markexpr")):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _nobody_touches_the_users_state(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Give each test a state folder of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture(autouse=True)
def _loop_is_never_blocked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an async test in which our code makes a blocking call on the event loop."""
    if not inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        yield
        return
    guard = BlockBuster(["transfer", "backends"])
    # It asks for the working directory, which costs a microsecond and no disk.
    guard.functions["os.path.abspath"].can_block_in("transfer/locations.py", "_path")
    guard.functions["os.getcwd"].can_block_in("transfer/locations.py", "_path")
    # Its import reads its own version, once in a process.
    guard.functions["io.TextIOWrapper.read"].can_block_in("crc32c/__init__.py", "<module>")
    guard.activate()
    try:
        yield
    finally:
        guard.deactivate()


class PlayedTime:
    """Runs coroutines that await nothing but `sleep`, on a clock that jumps to the next event."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        """Seconds since the start."""
        return self.now

    @types.coroutine
    def sleep(self, seconds: float) -> Generator[float]:
        """Let others run until this much later."""
        yield seconds

    def run(self, *coroutines: Coroutine[float, None, object], limit: float = 1e6) -> list[Any]:
        """Return what each coroutine returned or raised; fail if one is not done at `limit`."""
        order = count()
        waiting = [(self.now, next(order), n, task) for n, task in enumerate(coroutines)]
        results: list[Any] = [None] * len(coroutines)
        while waiting:
            self.now, _, number, task = heapq.heappop(waiting)
            if self.now > limit or next(order) > 1_000_000:
                for *_, left in [(task,), *waiting]:
                    left.close()
                pytest.fail(f"{len(waiting) + 1} tasks are not done after {self.now:.0f} s")
            try:
                pause = task.send(None)
            except StopIteration as done:
                results[number] = done.value
            except Exception as error:  # noqa: BLE001 - the test looks at it
                results[number] = error
            else:
                heapq.heappush(waiting, (self.now + pause, next(order), number, task))
        return results


@pytest.fixture(scope="session")
def played_time() -> type[PlayedTime]:
    """Make a clock for each example of a property."""
    return PlayedTime
