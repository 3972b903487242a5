"""How many connections at once: a climb, one step at a time, by what it brings in goodput.

A single connection on a long and lossy path carries a small part of the line, so
that many are needed; where the line, the server or the processor is the limit,
more cost something and bring nothing. Nobody can tell beforehand. So the number
is doubled as long as that pays; then it holds, and a small step up (or down: what
brings nothing is given back) is tried now and then, more and more seldom. Goodput
that falls by itself is a reason to try more at once: that is what a path looks like
whose connections have lost their first wide windows. A store that throttles halves the
number, and growth is cautious from then on. Attempts that fail are no time for trials.

Only what was seen with all connections busy counts, as in TCP (RFC 7661): a
number that was not used says nothing about itself.
"""

from __future__ import annotations

from dataclasses import dataclass

# A trial pays if goodput grows by this share of what perfect growth would be.
PAYS = 0.2
# Goodput that grows so much from one look to the next does so by itself: windows open.
GROWING = 1.3
# Goodput that is below this share of what the number once gave has fallen by itself.
FALLEN = 0.85
# Goodput that is above this share of it does not fall.
CALMLY = 0.92
# Fewer connections are as good as more if they keep this share of the goodput.
AS_GOOD = 0.95
# Steps: while doubling pays, and afterwards.
LEAP, STEP, BACK = 2.0, 1.25, 0.75
# Seconds: to measure while climbing, and later; for new connections to come into their own.
CLIMBING, HOLDING, SETTLING = 0.15, 0.4, 0.2
# Seconds between trials: at first, and at most, if they bring nothing; before one down.
RARELY, SELDOM, CALM = 2.0, 60.0, 10.0
# Seconds before the end of the climb is doubted: a few are over before that matters.
DOUBTING = 5.0
# The share of that which is waited for where goodput has fallen.
SOONER = 0.25
# Seconds for which further complaints are the same one; and before growing after one.
SAME_COMPLAINT, PENANCE = 2.0, 10.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many connections at once: to begin with, and at most; one is always allowed."""

    start: int = 8
    most: int = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """What is seen at a moment: `busy` connections, and totals that never fall.

    `moved` in bytes; `throttled` counts the store's complaints, `failed` all
    attempts that failed.
    """

    moved: int
    busy: int
    throttled: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the number and the goodput were before it was changed."""

    limit: int
    rate: float
    factor: float


class Pacer:
    """Says how many connections there may be; tell it what is seen, some times a second."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.limit = bounds.start
        self._climbing = True
        self._trial: _Trial | None = None
        # Since when, and from how many bytes on, the present window counts.
        self._window: tuple[float, int] | None = None
        self._settled = 0.0
        self._rate = 0.0
        self._seen = Sample(0, 0)
        self._pause = RARELY
        self._next_trial = 0.0
        self._changed = 0.0
        self._down = False
        self._hesitating = False
        self._last_look = 0.0
        self._doubted = 0
        self._complained = float("-inf")
        self._penance = PENANCE

    def __repr__(self) -> str:
        return f"<Pacer {self.limit} of {self.bounds.most} at {self._rate:.0f} B/s>"

    def observe(self, now: float, sample: Sample) -> int:
        """Take in what is seen at `now` (seconds, any clock); return the number from now on."""
        before, self._seen = self._seen, sample
        if sample.throttled > before.throttled:
            self._throttled(now)
        elif sample.failed > before.failed or not self._used(sample) or now < self._settled:
            self._window = None
        elif self._window is None:
            self._window = now, sample.moved
        else:
            self._measured(now, sample)
        return self.limit

    def _used(self, sample: Sample) -> bool:
        """Whether all connections are busy, but for some between two parts."""
        return sample.busy >= self.limit - self.limit // 8

    def _measured(self, now: float, sample: Sample) -> None:
        since, moved = self._window or (now, sample.moved)
        if now - since < (CLIMBING if self._climbing else HOLDING):
            return
        self._window = now, sample.moved
        rate = (sample.moved - moved) / (now - since)
        if rate <= 0:
            return
        if self._climbing and rate > GROWING * self._last_look:
            self._last_look = rate
            return
        if self._trial is not None:
            self._judge(self._trial, rate, now)
        else:
            self._hold(rate, now)

    def _judge(self, trial: _Trial, rate: float, now: float) -> None:
        """A trial was measured: keep it, or go back."""
        up, factor = self.limit > trial.limit, self.limit / trial.limit
        wanted = 1 + PAYS * (factor - 1) if up else AS_GOOD
        if rate >= wanted * trial.rate:
            self._keep(trial, rate, now)
        elif self._climbing:
            self._hesitate(trial, rate, now)
        else:
            self._go_back(trial, rate, now)

    def _keep(self, trial: _Trial, rate: float, now: float) -> None:
        """It pays: then a step of the same kind might pay again."""
        up = self.limit > trial.limit
        self._trial, self._hesitating = None, False
        self._rate = rate
        self._pause = RARELY
        self._next_trial = now if up else now + CALM
        if up:
            self._try(trial.factor, now)

    def _hesitate(self, trial: _Trial, rate: float, now: float) -> None:
        """So short a look may be wrong: have another, and doubt that one too, but later."""
        if not self._hesitating:
            self._hesitating = True
            return
        self._trial, self._climbing = None, False
        self._doubted = trial.limit
        self._rate = max(rate, trial.rate)
        self._next_trial = now + DOUBTING

    def _go_back(self, trial: _Trial, rate: float, now: float) -> None:
        """It does not pay; where fewer are much worse, more might be better."""
        up, factor = self.limit > trial.limit, self.limit / trial.limit
        self._trial = None
        self._change(trial.limit, now)
        self._rate = max(rate, trial.rate) if up else trial.rate
        self._pause = min(self._pause * 2, SELDOM)
        self._next_trial = now + self._pause
        if not up and trial.rate >= (1 + PAYS * (1 / factor - 1)) * rate:
            self._try(1 / factor, now)

    def _hold(self, rate: float, now: float) -> None:
        """The number has its goodput measured again: is there a reason to change it?"""
        if not self._rate:
            self._rate = rate
            if self._climbing:
                self._try(LEAP, now)
        elif rate < FALLEN * self._rate and now - self._changed >= SOONER * self._pause:
            self._rate = rate
            if self._complained + self._penance < now:
                self._try(LEAP, now)
        else:
            falling = rate < CALMLY * self._rate
            self._rate = max(self._rate, rate)
            if now >= self._next_trial and not falling:
                self._try_something(now)

    def _try_something(self, now: float) -> None:
        """Up and down in turns, as far as there is a way."""
        if self._doubted:
            factor, self._doubted = self._doubted / self.limit, 0
            self._try(factor, now)
            return
        calm = now - self._changed >= CALM and self.limit > self.bounds.start
        self._down = calm and not (self._down and self.limit < self.bounds.most)
        self._try(BACK if self._down else STEP, now)

    def _try(self, factor: float, now: float) -> None:
        wanted = round(self.limit * factor)
        wanted = max(wanted, self.limit + 1) if factor > 1 else wanted
        wanted = min(max(wanted, 1), self.bounds.most)
        if wanted == self.limit:
            self._climbing = False
            return
        self._trial = _Trial(self.limit, self._rate, factor)
        self._change(wanted, now)

    def _throttled(self, now: float) -> None:
        """Halve the number, once for all that complain at the same time."""
        self._window = self._trial = None
        self._climbing = False
        if now - self._complained < SAME_COMPLAINT:
            return
        again = now - self._complained < 2 * self._penance
        self._penance = min(self._penance * 2, SELDOM) if again else PENANCE
        self._complained = now
        self._rate = 0.0
        self._next_trial = now + self._penance
        self._change(max(1, self.limit // 2), now)

    def _change(self, limit: int, now: float) -> None:
        self.limit = limit
        self._changed = now
        self._last_look = 0.0
        self._window = None
        self._settled = now if self._climbing else now + SETTLING
