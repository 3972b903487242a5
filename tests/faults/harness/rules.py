"""When the store lies: which lie, about which request, the how manieth time.

A lie is an async function around the real work. It is given the exchange and
`work`, which does what was asked for and returns the true answer; what the lie
returns is what the client gets. Where several rules fit one request, the one
added first is the outermost. A new lie is five lines of test code.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from tests.faults.harness.answers import Answer
    from tests.faults.harness.exchange import Exchange

    Work: TypeAlias = Callable[[], Awaitable[Answer]]
    Lie: TypeAlias = Callable[[Exchange, Work], Awaitable[Answer]]


@dataclass
class Rule:
    """A lie and the requests it is told about; `seen` fitted the rule, `hits` were lied to."""

    operations: frozenset[str]
    lie: Lie
    nth: frozenset[int] | None = None
    key: str | None = None
    part: int | None = None
    seen: int = 0
    hits: int = 0

    def fits(self, exchange: Exchange) -> bool:
        """Tell whether the lie is due now; asked exactly once for each request."""
        if "*" not in self.operations and exchange.operation not in self.operations:
            return False
        if self.key not in {None, exchange.key} or self.part not in {None, exchange.entry.part}:
            return False
        self.seen += 1
        due = self.nth is None or self.seen in self.nth
        self.hits += due
        return due


@dataclass
class Dice:
    """Lies by chance, but the same for the same seed, in whatever order requests arrive.

    What happens to a request follows from the seed, its operation, key and part,
    and how often exactly this was asked for; `most` lies are told at all.
    """

    seed: int
    rate: float
    menu: Mapping[str, Sequence[Lie]]
    most: int | None = None
    hits: int = 0
    _seen: Counter[tuple[str, str, int | None]] = field(default_factory=Counter)

    def choose(self, exchange: Exchange) -> Lie | None:
        """Return the lie for a request, if there is one."""
        lies = self.menu.get(exchange.operation, self.menu.get("*", ()))
        what = (exchange.operation, exchange.key, exchange.entry.part)
        self._seen[what] += 1
        dice = random.Random(f"{self.seed} {what} {self._seen[what]}")
        if not lies or dice.random() >= self.rate:
            return None
        if self.most is not None and self.hits >= self.most:
            return None
        self.hits += 1
        return dice.choice(lies)


class Lies:
    """The rules of one store; `store.lies.add("UploadPart", lies.refuse(503), nth=2)`."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.dice: list[Dice] = []

    def add(
        self,
        operations: str | Iterable[str],
        lie: Lie,
        *,
        nth: int | Iterable[int] | None = None,
        key: str | None = None,
        part: int | None = None,
    ) -> Rule:
        """Lie about these operations ("*": all), the nth time each rule fits, or always.

        The rule is returned: it counts. Occurrences begin with 1.
        """
        names = [operations] if isinstance(operations, str) else operations
        times = [nth] if isinstance(nth, int) else nth
        due = None if times is None else frozenset(times)
        rule = Rule(frozenset(names), lie, due, key, part)
        self.rules.append(rule)
        return rule

    def seeded(
        self, seed: int, rate: float, menu: Mapping[str, Sequence[Lie]], most: int | None = None
    ) -> Dice:
        """Lie by chance: at this rate, one of the menu's lies for an operation (or for "*")."""
        dice = Dice(seed, rate, menu, most)
        self.dice.append(dice)
        return dice

    def clear(self) -> None:
        """Tell the truth from now on."""
        self.rules.clear()
        self.dice.clear()

    def about(self, exchange: Exchange) -> list[Lie]:
        """Return the lies about a request, the outermost first."""
        found = [rule.lie for rule in self.rules if rule.fits(exchange)]
        found += [lie for dice in self.dice if (lie := dice.choose(exchange)) is not None]
        return found


def around(lie: Lie, exchange: Exchange, work: Work) -> Work:
    """Return the work with a lie around it."""

    async def lied() -> Answer:
        exchange.entry.lied.append(_name(lie))
        return await lie(exchange, work)

    return lied


def _name(lie: Lie) -> str:
    """Return what a lie is called: after the function that made it, or after itself."""
    name = getattr(lie, "__qualname__", type(lie).__name__)
    return name.removesuffix(".<locals>.lie").rpartition(".")[2]
