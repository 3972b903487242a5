"""kill -9 of the installed command, and of the coordinator, at instants drawn from a seed.

After each kill the same command is run again, in another folder. What must hold:
the content is the source's, nothing is left open, and of what the store had when
the process died, no part is sent again but those that were under way.
"""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from tests.faults.harness import BUCKET, ChaosProxy, StrictStore, network
from tests.faults.harness.kill import Running, Serving, instants, transfer
from tests.support.servers import clean_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

MIB = 1024**2
PART = 5 * MIB
PARTS = 8
CONCURRENCY = 4
_KEY = "large.bin"
# So that most of a run is bytes on their way.
_SETTLED = 0.1
_SLOW = [network.Rate(40 * MIB, way, slice=512 * 1024) for way in ("request", "response")]


@dataclass
class Killed:
    """What came of many kills."""

    kills: int = 0
    too_late: int = 0
    parts_kept: int = 0
    parts_again: int = 0
    most_again: int = 0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.kills} killed ({self.too_late} more had ended before), {self.parts_kept} parts"
            f" were kept, {self.parts_again} sent again, {self.most_again} at most after one kill,"
            f" {len(self.findings)} failed"
        )


@dataclass
class Place:
    """A folder, a store and the file that is moved."""

    folder: Path
    store: StrictStore
    proxy: ChaosProxy
    content: bytes

    @property
    def environ(self) -> dict[str, str]:
        """What the command is set up with."""
        return clean_environment(
            {
                **self.store.environ_for(self.proxy.url),
                "TRANSFER_STATE_DIR": str(self.folder / "state"),
                "TRANSFER_CONCURRENCY": str(CONCURRENCY),
                "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(PART),
                "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(PART),
            }
        )

    @property
    def target(self) -> Path:
        """The file that is pulled."""
        return self.folder / "to" / _KEY

    def line(self, way: str, there: str = f"s3://{BUCKET}/{_KEY}") -> tuple[str, ...]:
        """Return the command's arguments."""
        if way == "pull":
            return way, there, str(self.target)
        return way, str(self.folder / "from" / _KEY), there

    def other_folder(self) -> Path:
        """Return a working directory that nobody was in before."""
        return Path(tempfile.mkdtemp(dir=self.folder))


@asynccontextmanager
async def a_place(parts: int = PARTS) -> AsyncIterator[Place]:
    """Make a file of so many parts, the last one short, and a store."""
    with tempfile.TemporaryDirectory() as folder:
        dice = random.Random(7)
        # In pieces: a number of more than 2 Gbit is too large for `randbytes`.
        pieces = [PART] * (parts - 1) + [PART - 12_345]
        content = b"".join(map(dice.randbytes, pieces))
        (Path(folder) / "from").mkdir()
        (Path(folder) / "from" / _KEY).write_bytes(content)
        async with StrictStore() as store, ChaosProxy(store.port, _SLOW) as proxy:
            yield Place(Path(folder), store, proxy, content)


async def push_kills(count: int, seed: int) -> Killed:
    """Kill a push at random instants, and run it again."""
    result = Killed()
    async with a_place() as place:
        line = place.line("push")
        for moment in await _moments(place, line, seed, count):
            place.store.objects.clear()
            if not await _killed(place, line, moment, result):
                continue
            had = _had(place.store)
            begun = len(place.store.log)
            await _again(place, line, result, f"push killed at {moment:.3f} s")
            _count(result, had, place.store.log[begun:], moment)
            stored = place.store.objects.get(_KEY)
            if stored is None or stored.data != place.content:
                result.findings.append(f"push killed at {moment:.3f} s: another content")
            _nothing_open(place, result, moment)
    return result


async def pull_kills(count: int, seed: int) -> Killed:
    """Kill a pull at random instants, and run it again."""
    result = Killed()
    async with a_place() as place:
        await _how_long(place, place.line("push"))
        line, target = place.line("pull"), place.target
        for moment in await _moments(place, line, seed, count):
            for path in target.parent.iterdir():
                path.unlink()
            ended = not await _killed(place, line, moment, result)
            if target.exists() and target.read_bytes() != place.content:
                result.findings.append(f"pull killed at {moment:.3f} s: half a file is visible")
            if ended:
                continue
            if target.exists():
                # All was done but the end of the process: to run it again is to begin anew.
                continue
            noted, asked = _noted(target.parent), place.store.count("GetObject")
            begun = len(place.store.log)
            await _again(place, line, result, f"pull killed at {moment:.3f} s")
            reads = [e for e in place.store.log[begun:] if e.operation == "GetObject"]
            again = len(reads) - (PARTS - noted)
            result.parts_kept += noted
            result.parts_again += max(0, again)
            result.most_again = max(result.most_again, asked - noted)
            if again > 0:
                result.findings.append(f"{again} parts read again that were there: {moment:.3f} s")
            if asked - noted > CONCURRENCY:
                result.findings.append(f"{asked} parts begun, {noted} noted at {moment:.3f} s")
            if target.read_bytes() != place.content:
                result.findings.append(f"pull killed at {moment:.3f} s: another content")
    return result


async def coordinator_kills(count: int, seed: int) -> Killed:
    """Kill the coordinator while a client pushes, and start it again: the client lives on."""
    result = Killed()
    async with a_place() as place:
        serving = Serving(f"s3://{BUCKET}", environ=place.environ, folder=place.folder)
        async with serving:
            line = place.line("push", f"transfer+http://{serving.address}/{_KEY}")
            for moment in await _moments(place, line, seed, count):
                await _coordinator_killed(place, serving, line, moment, result)
    return result


async def _coordinator_killed(
    place: Place, serving: Serving, line: Sequence[str], moment: float, result: Killed
) -> None:
    place.store.objects.clear()
    place.store.log.clear()
    async with transfer(*line, environ=place.environ, folder=place.other_folder()) as run:
        await _at(place, run, moment)
        late = run.code is not None
        await serving.kill()
        await serving.start()
        code = await run.ended(120)
    result.too_late += late
    result.kills += not late
    if code:
        result.findings.append(f"coordinator killed at {moment:.3f} s: {run.text}")
    stored = place.store.objects.get(_KEY)
    if stored is None or stored.data != place.content:
        result.findings.append(f"coordinator killed at {moment:.3f} s: another content")
    sent = [entry.part for entry in place.store.seen("UploadPart", status=200)]
    again = len(sent) - len(set(sent))
    result.parts_again += again
    result.most_again = max(result.most_again, again)
    if again > CONCURRENCY:
        result.findings.append(f"{again} parts were sent again after {moment:.3f} s")
    _nothing_open(place, result, moment)


async def cut_at(share: float, parts: int) -> Killed:
    """Kill a push through a coordinator when so much has arrived; go on elsewhere."""
    result = Killed(kills=1)
    async with a_place(parts) as place:
        serving = Serving(f"s3://{BUCKET}", environ=place.environ, folder=place.folder)
        async with serving:
            line = place.line("push", f"transfer+http://{serving.address}/{_KEY}")
            folder = place.other_folder()
            async with transfer(*line, environ=place.environ, folder=folder) as run:
                wanted = int(share * parts)
                await run.kill_when(
                    lambda: place.store.count("UploadPart", status=200) >= wanted, 600
                )
            had = _had(place.store)
            begun = len(place.store.log)
            await _again(place, line, result, f"push cut at {share:.0%}")
            _count(result, had, place.store.log[begun:], 0.0)
            if place.store.objects[_KEY].data != place.content:
                result.findings.append("another content")
            _nothing_open(place, result, 0.0)
    return result


async def _moments(place: Place, line: Sequence[str], seed: int, count: int) -> Sequence[float]:
    """Return instants counted from the first request, as long as an undisturbed run has some."""
    place.store.log.clear()
    await _how_long(place, line)
    began, ended = place.store.log[0].began, place.store.log[-1].ended
    return instants(seed, count, ended - began)


async def _how_long(place: Place, line: Sequence[str]) -> None:
    async with transfer(*line, environ=place.environ, folder=place.other_folder()) as run:
        code = await run.ended(120)
    if code:
        raise RuntimeError(f"without a kill it ended in {code}: {run.text}")


async def _killed(place: Place, line: Sequence[str], moment: float, result: Killed) -> bool:
    """Run the command and kill it; tell whether that was in time."""
    place.store.log.clear()
    async with transfer(*line, environ=place.environ, folder=place.other_folder()) as run:
        await _at(place, run, moment)
        run.kill()
        code = await run.ended()
    # What it had sent and the proxy not yet passed on must not count as sent later.
    await place.proxy.cut()
    await anyio.sleep(_SETTLED)
    result.too_late += code == 0
    result.kills += code != 0
    return code != 0


async def _at(place: Place, run: Running, moment: float) -> None:
    """Wait until so many seconds after the first request, or the end."""
    await run.until(lambda: run.code is not None or place.store.log)
    with anyio.move_on_after(moment):
        while run.code is None:  # noqa: ASYNC110 - the process says nothing when it ends
            await anyio.sleep(0.001)


def _noted(folder: Path) -> int:
    """Return how many parts of an unfinished download are written down."""
    notes = [path.read_text() for path in folder.glob(".transfer-*.receipts")]
    lines = [line for text in notes for line in text.splitlines(keepends=True)]
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return len({fields[0] for fields in found if len(fields) > 1})


async def _again(place: Place, line: Sequence[str], result: Killed, what: str) -> None:
    async with transfer(*line, environ=place.environ, folder=place.other_folder()) as run:
        code = await run.ended(600)
    if code:
        result.findings.append(f"{what}, then ended in {code}: {run.text}")


def _had(store: StrictStore) -> set[tuple[str, int]]:
    """The parts that the store has of what is open."""
    return {(upload.id, number) for upload in store.open_uploads for number in upload.parts}


def _count(result: Killed, had: set[tuple[str, int]], log, after: float) -> None:
    sent = [(e.upload_id, e.part) for e in log if e.operation == "UploadPart"]
    again = [part for part in sent if part in had]
    result.parts_kept += len(had) - len(set(again))
    result.parts_again += len(again)
    result.most_again = max(result.most_again, len(again))
    uploads = {upload for upload, _ in sent}
    gone_on = not had or not uploads or uploads <= {upload for upload, _ in had}
    if len(again) > CONCURRENCY:
        result.findings.append(f"{len(again)} parts were sent again after {after:.3f} s")
    if not gone_on:
        result.findings.append(f"it began anew after {after:.3f} s, {len(had)} parts were there")


def _nothing_open(place: Place, result: Killed, after: float) -> None:
    """One that was opened in the very moment of the kill, without a part, nobody knows of."""
    for upload in place.store.open_uploads:
        if upload.parts:
            result.findings.append(f"an upload with parts is open after {after:.3f} s")
    place.store.shelf.uploads.clear()
