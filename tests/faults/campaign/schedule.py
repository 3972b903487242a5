"""A schedule as a value: drawn from a seed, written as JSON, read again.

Times are counted in requests, never in seconds, so that a schedule means the
same on any machine: "the third UploadPart", "byte 900 of the second connection".
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from tests.faults.campaign.cheap import PART
from tests.faults.campaign.menu import draw_fault

if TYPE_CHECKING:
    from pathlib import Path

MOST_FAULTS = 12


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong; what `args` mean, the menu says for each name.

    `on` is an operation of the store, and `nth` which of its requests.
    """

    kind: str
    name: str
    on: str = ""
    nth: int = 1
    args: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        more = f" {self.args}" if self.args else ""
        place = f" at {self.on} {self.nth}" if self.on else ""
        return f"{self.kind} {self.name}{place}{more}"


@dataclass(frozen=True)
class Schedule:
    """What is moved, how, and what goes wrong.

    `old` is the size of what is at the target before, None for nothing; `end`
    says what is done with what is left over in the end: "finish" or "give up".
    """

    seed: int
    way: str
    route: str
    personality: str
    size: int
    old: int | None
    checksum: str
    concurrency: int
    no_clobber: bool
    resume: bool
    durable: bool
    end: str
    faults: tuple[Fault, ...]

    def but(self, **changes: Any) -> Self:
        """Return the same with some things different."""
        return replace(self, **changes)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read it."""
        content = json.loads(text)
        content.pop("found", None)
        faults = tuple(Fault(**one) for one in content.pop("faults"))
        return cls(faults=faults, **content)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read one of the corpus."""
        return cls.from_json(path.read_text())

    def __str__(self) -> str:
        old = "" if self.old is None else f" over {self.old} bytes"
        flags = [
            *(["no-clobber"] if self.no_clobber else []),
            *([] if self.resume else ["no-resume"]),
            *(["durable"] if self.durable else []),
        ]
        head = (
            f"seed {self.seed}: {self.way} {self.size} bytes{old} by {self.route},"
            f" {self.personality}, {self.checksum}, {self.concurrency} at once,"
            f" {self.end} {' '.join(flags)}"
        )
        return "\n  ".join([head, *map(str, self.faults)])


def drawn(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    dice = random.Random(seed)
    way = dice.choice(["push", "push", "push", "pull", "pull"])
    route = dice.choice(["s3", "s3", "s3", "coordinator"])
    size = _size(dice)
    count = min(MOST_FAULTS, 1 + int(dice.expovariate(0.45)))
    faults = [Fault(**draw_fault(dice, way, route, size)) for _ in range(count)]
    return Schedule(
        seed=seed,
        way=way,
        route=route,
        personality=dice.choice(["aws"] * 3 + ["kms", "express", "r2"] + ["ceph", "rclone"] * 2),
        size=size,
        old=dice.choice([None, None, 0, 100, size]),
        checksum=dice.choice(["auto"] * 4 + ["crc32c", "crc64nvme", "md5", "none"]),
        concurrency=dice.choice([1, 2, 4, 4]),
        no_clobber=dice.random() < 0.1,
        resume=dice.random() < 0.85,
        durable=dice.random() < 0.3,
        end=dice.choice(["finish", "finish", "finish", "give up"]),
        faults=tuple(faults),
    )


def _size(dice: random.Random) -> int:
    """A few parts mostly; the edges of a part too."""
    edges = [0, 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 1]
    if dice.random() < 0.3:
        return dice.choice(edges)
    return dice.randrange(PART + 1, 7 * PART)
