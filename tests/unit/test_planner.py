from __future__ import annotations

import pytest

from transfer.errors import PlanError, UsageError
from transfer.model import Part, PartLimits, Span, Traits
from transfer.planner import (
    COARSE,
    FINE,
    Grain,
    Plan,
    Preference,
    auto_part_size,
    check_part_size,
    grain_of,
    plan,
)
from transfer.sizes import GIB, KIB, MIB, TIB

S3 = PartLimits(5 * MIB, 5 * GIB, 10_000, int(48.8 * TIB))
TRAITS = Traits(max_put=5 * GIB)
AUTO = Preference()


def cut(size: int, preference: Preference = AUTO, limits: PartLimits | None = S3) -> Plan:
    return plan(size, TRAITS, limits, preference, connections=8)


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 16 * MIB - 1])
def test_small_object_goes_in_one_put(size: int):
    assert cut(size) == Plan(size)
    assert cut(size).count == 0


@pytest.mark.parametrize(
    ("size", "part_size", "count"),
    [
        (16 * MIB, 5 * MIB, 4),
        (GIB, 32 * MIB, 32),
        (3 * GIB, 96 * MIB, 32),
        (4 * GIB, 100 * MIB, 41),
        (400 * GIB, 100 * MIB, 4096),
    ],
)
def test_auto_gives_each_connection_several_parts(size: int, part_size: int, count: int):
    found = cut(size)
    assert (found.part_size, found.count, found.raised_from) == (part_size, count, None)


def test_auto_that_would_give_too_many_parts_is_not_called_raised():
    found = cut(10 * TIB)
    assert found.part_size == 1049 * MIB
    assert found.count <= 10_000
    assert found.raised_from is None


def test_size_of_the_user_is_honoured_exactly():
    found = cut(GIB, Preference(part_size=7 * MIB + 1))
    assert found.part_size == 7 * MIB + 1
    assert found.raised_from is None


def test_object_no_larger_than_the_part_size_of_the_user_needs_no_parts():
    preference = Preference(part_size=10 * MIB)
    assert cut(10 * MIB, preference).part_size is None
    assert cut(10 * MIB + 1, preference).count == 2


def test_size_of_the_user_that_gives_too_many_parts_is_raised_and_said():
    found = cut(50_000 * MIB + 1, Preference(part_size=5 * MIB))
    assert (found.part_size, found.raised_from) == (6 * MIB, 5 * MIB)
    assert cut(50_000 * MIB, Preference(part_size=5 * MIB)).raised_from is None


def test_raised_size_is_in_whole_mib_unless_only_less_fits():
    limits = PartLimits(1, 1000, 10, 10_000)
    found = plan(9_995, Traits(max_put=1), limits, Preference(part_size=10), 1)
    assert (found.part_size, found.count, found.raised_from) == (1000, 10, 10)


@pytest.mark.parametrize(
    ("part_size", "says"),
    [
        (5 * MIB - 1, "below the store's minimum of 5 MiB"),
        (1, "below the store's minimum"),
        (5 * GIB + 1, "above the store's maximum of 5 GiB"),
    ],
)
def test_size_of_the_user_outside_the_limits_is_refused(part_size: int, says: str):
    for size in (1, GIB):
        with pytest.raises(UsageError, match=says):
            cut(size, Preference(part_size=part_size))


def test_granularity_binds_the_user_and_auto():
    limits = PartLimits(256 * KIB, TIB, 10_000, 5 * TIB, granularity=256 * KIB)
    with pytest.raises(UsageError, match="no multiple of 256 KiB"):
        check_part_size(8 * MIB + 1, limits)
    check_part_size(8 * MIB + 256 * KIB, limits)
    raised = plan(5 * TIB, TRAITS, limits, Preference(part_size=256 * KIB), 8)
    assert raised.part_size is not None
    assert raised.part_size % limits.granularity == 0


@pytest.mark.parametrize("threshold", [0, 1])
def test_threshold_of_the_user_is_the_smallest_object_in_parts(threshold: int):
    assert cut(1, Preference(threshold=threshold)).count == 1
    assert cut(0, Preference(threshold=threshold)).count == 0


def test_threshold_works_together_with_a_part_size():
    preference = Preference(part_size=10 * MIB, threshold=100 * MIB)
    assert cut(100 * MIB - 1, preference).count == 0
    assert cut(100 * MIB, preference).count == 10


def test_threshold_above_what_a_put_takes_gives_way():
    assert cut(6 * GIB, Preference(threshold=TIB)).count > 1


def test_no_multipart_is_one_put_or_nothing():
    assert cut(5 * GIB, Preference(multipart=False)) == Plan(5 * GIB)
    with pytest.raises(PlanError, match="would need multipart, which is off"):
        cut(5 * GIB + 1, Preference(multipart=False))


def test_store_without_parts_is_one_put_or_nothing():
    assert cut(5 * GIB, limits=None) == Plan(5 * GIB)
    assert cut(5 * GIB, Preference(part_size=1), limits=None) == Plan(5 * GIB)
    with pytest.raises(PlanError, match="has no multipart uploads"):
        cut(5 * GIB + 1, limits=None)


def test_largest_object():
    assert cut(S3.max_object).count <= 10_000
    with pytest.raises(PlanError, match="the store's limit for one object is"):
        cut(S3.max_object + 1)


def test_object_that_no_number_of_parts_can_hold():
    limits = PartLimits(1, 100, 10, TIB)
    with pytest.raises(PlanError, match="10 parts of at most 100 B do not hold it"):
        plan(1001, Traits(max_put=1), limits, AUTO, 1)


def test_parts_of_a_plan():
    found = Plan(10, 4)
    assert list(found.parts()) == [
        Part(1, Span(0, 4)),
        Part(2, Span(4, 8)),
        Part(3, Span(8, 10)),
    ]
    assert found.part(3) == Part(3, Span(8, 10))


@pytest.mark.parametrize("number", [-1, 0, 4])
def test_part_that_is_not_in_the_plan(number: int):
    with pytest.raises(IndexError):
        Plan(10, 4).part(number)


def test_single_put_has_no_parts():
    assert list(Plan(10).parts()) == []
    with pytest.raises(IndexError):
        Plan(10).part(1)


def test_empty_object_in_parts_has_one_that_is_empty():
    assert list(Plan(0, 4).parts()) == [Part(1, Span(0, 0))]


@pytest.mark.parametrize(
    ("size", "connections", "part_size"),
    [(0, 8, 5 * MIB), (GIB, 1, 100 * MIB), (GIB, 8, 32 * MIB), (GIB, 64, 5 * MIB)],
)
def test_auto_part_size_follows_the_connections(size: int, connections: int, part_size: int):
    assert auto_part_size(size, S3, connections) == part_size


@pytest.mark.parametrize(
    ("others", "grain"),
    [(0, FINE), (160 * MIB - 1, FINE), (160 * MIB, COARSE), (TIB, COARSE)],
)
def test_object_is_cut_fine_unless_others_keep_the_connections_busy(others: int, grain: Grain):
    assert grain_of(20 * MIB, others, 8) is grain


@pytest.mark.parametrize(
    ("size", "part_size", "count"),
    [
        (32 * MIB - 1, None, 0),
        (32 * MIB, 16 * MIB, 2),
        (100 * MIB, 16 * MIB, 7),
        (4 * GIB, 100 * MIB, 41),
    ],
)
def test_object_among_many_is_cut_coarsely(size: int, part_size: int | None, count: int):
    found = plan(size, TRAITS, S3, AUTO, 8, grain=COARSE)
    assert (found.part_size, found.count) == (part_size, count)


def test_part_size_of_the_user_is_honoured_among_many():
    assert plan(20 * MIB, TRAITS, S3, Preference(part_size=8 * MIB), 8, grain=COARSE).count == 3


def test_auto_part_size_keeps_to_narrow_limits():
    assert auto_part_size(GIB, PartLimits(200 * MIB, GIB, 100, TIB), 8) == 200 * MIB
    assert auto_part_size(GIB, PartLimits(1, MIB, 10**6, TIB), 8) == MIB
    assert auto_part_size(GIB, PartLimits(1, 1000, 10**7, TIB, granularity=300), 8) == 900
