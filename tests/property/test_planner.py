"""Whatever the sizes, limits and wishes are, a plan covers the object and keeps to the limits."""

from __future__ import annotations

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from transfer.errors import PlanError, UsageError
from transfer.model import PartLimits, Traits
from transfer.planner import Plan, Preference, auto_part_size, plan
from transfer.sizes import GIB, KIB, MIB, TIB

S3 = PartLimits(5 * MIB, 5 * GIB, 10_000, int(48.8 * TIB))
GCS_LIKE = PartLimits(256 * KIB, 5 * GIB, 10_000, 5 * TIB, granularity=256 * KIB)
AZURE_LIKE = PartLimits(1, 4000 * MIB, 50_000, 4000 * MIB * 50_000)


@st.composite
def odd_limits(draw: st.DrawFn) -> PartLimits:
    """Draw limits as no store has them, but one might; some part size is always allowed."""
    granularity = draw(st.sampled_from([1, 2, 7, 100, KIB, MIB, 3 * MIB]))
    least = draw(st.integers(1, 10 * MIB))
    lowest = -(-least // granularity) * granularity
    most = draw(st.integers(lowest, lowest + draw(st.sampled_from([0, 10, MIB, GIB]))))
    count = draw(st.integers(1, 100_000))
    return PartLimits(least, most, count, draw(st.integers(1, 60 * TIB)), granularity)


LIMITS = st.one_of(st.sampled_from([S3, GCS_LIKE, AZURE_LIKE]), odd_limits())
SIZES = st.one_of(
    st.integers(0, 100),
    st.integers(0, 200 * MIB),
    st.integers(0, 60 * TIB),
    st.sampled_from([limits.max_object for limits in (S3, GCS_LIKE, AZURE_LIKE)]),
)
CONNECTIONS = st.integers(1, 1024)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, Traits, PartLimits, Preference, int]:
    """Draw a question to the planner whose part size, if there is one, the store takes."""
    limits = draw(LIMITS)
    lowest = -(-limits.min_size // limits.granularity)
    highest = limits.max_size // limits.granularity
    asked = draw(st.none() | st.integers(lowest, highest).map(lambda n: n * limits.granularity))
    preference = Preference(asked, draw(st.none() | SIZES), multipart=draw(st.booleans()))
    traits = Traits(max_put=draw(SIZES))
    return draw(SIZES), traits, limits, preference, draw(CONNECTIONS)


def needed(size: int, part_size: int) -> int:
    return -(-size // part_size)


def smallest_that_fits(size: int, limits: PartLimits) -> int:
    least = max(limits.min_size, needed(size, limits.max_count))
    return -(-least // limits.granularity) * limits.granularity


@given(st.integers(0, 10**7), st.integers(1, 10**6))
def test_parts_cover_every_byte_once_and_in_order(size: int, part_size: int):
    assume(size // part_size < 10_000)
    parts = list(Plan(size, part_size).parts())
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))
    assert parts[0].span.start == 0
    assert parts[-1].span.stop == size
    for one, following in itertools.pairwise(parts):
        assert one.span.stop == following.span.start
        assert one.span.size == part_size
    assert parts[-1].span.size <= part_size
    assert parts[-1].span.size > 0 or size == 0


@given(cases())
def test_plan_keeps_to_the_limits(case: tuple[int, Traits, PartLimits, Preference, int]):
    size, traits, limits, preference, connections = case
    try:
        found = plan(size, traits, limits, preference, connections)
    except PlanError:
        return
    assert found.size == size
    if found.part_size is None:
        assert size <= traits.max_put
        return
    assert preference.multipart
    assert size <= limits.max_object
    assert limits.min_size <= found.part_size <= limits.max_size
    assert found.part_size % limits.granularity == 0
    assert 1 <= found.count <= limits.max_count
    assert found.part(found.count).span.stop == size


@given(cases())
def test_size_of_the_user_is_honoured_whenever_it_fits(
    case: tuple[int, Traits, PartLimits, Preference, int],
):
    size, traits, limits, preference, connections = case
    try:
        found = plan(size, traits, limits, preference, connections)
    except PlanError:
        return
    asked = preference.part_size
    if found.part_size is None or asked is None:
        assert found.raised_from is None
    elif needed(size, asked) <= limits.max_count:
        assert (found.part_size, found.raised_from) == (asked, None)
    else:
        assert found.raised_from == asked < found.part_size
        # Whole MiB are nicer, but never more than one step from what is needed.
        least = smallest_that_fits(size, limits)
        assert least <= found.part_size < least + MIB + limits.granularity


@given(cases())
def test_there_is_no_plan_only_if_none_is_possible(
    case: tuple[int, Traits, PartLimits, Preference, int],
):
    size, traits, limits, preference, connections = case
    # A store takes in one PUT no more than it can hold.
    assume(traits.max_put <= limits.max_object)
    possible = (
        preference.multipart
        and size <= limits.max_object
        and smallest_that_fits(size, limits) <= limits.max_size
    )
    try:
        plan(size, traits, limits, preference, connections)
    except PlanError:
        assert not possible
    else:
        assert possible or size <= traits.max_put


@given(cases())
def test_threshold_decides_between_put_and_parts(
    case: tuple[int, Traits, PartLimits, Preference, int],
):
    size, traits, limits, preference, connections = case
    assume(preference.multipart and preference.threshold is not None)
    threshold = preference.threshold or 0
    try:
        found = plan(size, traits, limits, preference, connections)
    except PlanError:
        return
    in_parts = found.part_size is not None
    assert in_parts is (size > traits.max_put or (size >= threshold and size > 0))


@given(LIMITS, SIZES, st.integers(-10, 10 * GIB), CONNECTIONS)
def test_size_that_the_store_does_not_take_is_refused_and_no_other(
    limits: PartLimits, size: int, asked: int, connections: int
):
    takes = limits.min_size <= asked <= limits.max_size and asked % limits.granularity == 0
    try:
        plan(size, Traits(max_put=GIB), limits, Preference(asked), connections)
    except PlanError:
        assert takes
    except UsageError:
        assert not takes
    else:
        assert takes


@given(SIZES, st.integers(0, 60 * TIB))
def test_store_without_parts_gets_one_put_or_nothing(size: int, max_put: int):
    try:
        found = plan(size, Traits(max_put=max_put), None, Preference(), 8)
    except PlanError:
        assert size > max_put
    else:
        assert size <= max_put
        assert found == Plan(size)


@given(SIZES, LIMITS, CONNECTIONS)
def test_auto_gives_a_part_size_that_the_store_takes(
    size: int, limits: PartLimits, connections: int
):
    found = auto_part_size(size, limits, connections)
    assert limits.min_size <= found <= limits.max_size
    assert found % limits.granularity == 0


@given(st.integers(0, 48 * TIB), CONNECTIONS)
def test_auto_on_s3_is_between_5_mib_and_what_mlflow_documents(size: int, connections: int):
    found = auto_part_size(size, S3, connections)
    assert 5 * MIB <= found <= 100 * MIB
    assert found % MIB == 0
