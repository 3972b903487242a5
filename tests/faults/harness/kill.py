"""The installed command as a process, and how it dies: at an instant, at a line, at a request.

A process has a group of its own, and its output goes to a file, which survives it.
All waiting is async, so that a `StrictStore` on the same loop goes on serving.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sysconfig
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio

from bench.servers import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

COMMAND = str(Path(sysconfig.get_path("scripts")) / "transfer")
_TICK = 0.002


def instants(seed: int, count: int, longest: float) -> list[float]:
    """Return moments to kill at, in seconds from the start: the same for the same seed."""
    dice = random.Random(seed)
    return [dice.uniform(0, longest) for _ in range(count)]


class Running:
    """A process under way; `log` is the file with what it says, on both of its outputs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit code; minus the number of the signal that killed it; None while it runs."""
        return self.process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)

    async def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end; TimeoutError if that does not come."""
        await self.until(lambda: self.code is not None, seconds)
        return self.process.returncode

    async def until_line(self, pattern: str, seconds: float = 30.0) -> str:
        """Wait until it has said a whole line; return it. TimeoutError, also if it ends before."""
        found: list[str] = []

        def there() -> bool:
            over = self.code is not None  # before looking at what it has said
            said = self.text if over else self.text.rpartition("\n")[0]
            found[:] = [line for line in said.splitlines() if re.search(pattern, line)]
            return bool(found) or over

        await self.until(there, seconds)
        if not found:
            raise TimeoutError(f"it ended without saying {pattern!r}:\n{self.text}")
        return found[0]

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until something is true; TimeoutError, with what was said, if it never is."""
        try:
            with anyio.fail_after(seconds):
                while not condition():  # noqa: ASYNC110 - conditions are the test's own
                    await anyio.sleep(_TICK)
        except TimeoutError:
            raise TimeoutError(f"still waiting after {seconds} s:\n{self.text}") from None

    async def kill_after(self, seconds: float) -> int:
        """Let it run so long, then kill -9; return its code (its own, if it was faster)."""
        with suppress(TimeoutError):
            await self.ended(seconds)
        self.kill()
        return await self.ended()

    async def kill_when(self, condition: Callable[[], object], seconds: float = 30.0) -> int:
        """Kill -9 as soon as something is true, such as a count of requests; return its code."""
        await self.until(lambda: self.code is not None or condition(), seconds)
        self.kill()
        return await self.ended()

    async def kill_at_line(self, pattern: str, seconds: float = 30.0) -> int:
        """Kill -9 as soon as it says something; return its code."""
        await self.until_line(pattern, seconds)
        self.kill()
        return await self.ended()


@asynccontextmanager
async def running(
    arguments: Sequence[str], environ: Mapping[str, str], folder: Path, name: str = "command"
) -> AsyncIterator[Running]:
    """Run a program in a folder while the block lasts; what is left of it then is killed."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting takes a millisecond
            list(arguments),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    run = Running(process, log)
    try:
        yield run
    finally:
        run.kill()
        process.wait()


def transfer(*arguments: str, environ: Mapping[str, str], folder: Path, name: str = "transfer"):
    """Run the command: `async with transfer("push", file, url, environ=..., folder=...)`."""
    return running([COMMAND, *map(str, arguments)], environ, folder, name)


class Serving:
    """`transfer serve`, which can be stopped, killed and started again where it was.

    `async with Serving("s3://tests/x", environ=..., folder=...) as serving:`; its
    port, its database and its signing key stay the same.
    """

    def __init__(
        self, destination: str, *options: str, environ: Mapping[str, str], folder: Path
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.environ = {"TRANSFER_SIGNING_KEY": "ab" * 32, **environ}
        self._folder = folder
        self._arguments = [
            *("serve", "--artifacts-destination", destination, "--port", str(self.port)),
            *("--backend-store-uri", f"sqlite:///{folder / 'sessions.db'}", *options),
        ]
        self._run: Running | None = None
        self._context = None

    @property
    def run(self) -> Running:
        """The process."""
        assert self._run is not None, "it is not started"
        return self._run

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start it, and wait until it answers."""
        self._context = transfer(
            *self._arguments, environ=self.environ, folder=self._folder, name="serve"
        )
        self._run = await self._context.__aenter__()
        with anyio.fail_after(30):
            while not await answers(self.port):
                if self._run.code is not None:
                    raise RuntimeError(f"the coordinator ended:\n{self._run.text}")
                await anyio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; return its code."""
        self.run.signal(number)
        return await self._end()

    async def kill(self) -> int:
        """kill -9; return its code."""
        if self._context is None:
            return 0
        self.run.kill()
        return await self._end()

    async def _end(self) -> int:
        code = await self.run.ended(15)
        if self._context is not None:
            await self._context.__aexit__(None, None, None)
        self._context = None
        return code


async def answers(port: int) -> bool:
    """Tell whether a coordinator on this machine answers as one that is well."""
    try:
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"GET /health HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            return b" 200 " in (await stream.receive(1024)).split(b"\r\n")[0]
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
