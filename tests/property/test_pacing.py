"""Whatever a pacer is told, it keeps to its bounds, and hears the store."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.pacing import Bounds, Pacer, Sample

STEPS = st.lists(
    st.tuples(
        st.floats(0.01, 20.0),  # seconds
        st.integers(0, 10**9),  # bytes
        st.integers(0, 100),  # busy
        st.integers(0, 2),  # throttled
        st.integers(0, 2),  # failed
    ),
    max_size=200,
)
BOUNDS = st.integers(1, 100).flatmap(
    lambda most: st.builds(Bounds, st.integers(1, most), st.just(most))
)


def limits(bounds, steps, start):
    pacer, now = Pacer(bounds), start
    moved = throttled = failed = 0
    for seconds, bytes_, busy, complaints, failures in steps:
        now += seconds
        moved, throttled, failed = moved + bytes_, throttled + complaints, failed + failures
        yield pacer.observe(now, Sample(moved, min(busy, pacer.limit), throttled, failed))


@given(BOUNDS, STEPS)
def test_the_bounds_hold_whatever_happens(bounds, steps):
    assert all(1 <= limit <= bounds.most for limit in limits(bounds, steps, 0.0))


@given(BOUNDS, STEPS)
def test_a_complaint_never_raises_it(bounds, steps):
    before = bounds.start
    for limit, step in zip(limits(bounds, steps, 0.0), steps, strict=True):
        if step[3]:
            assert limit <= before
        before = limit
