from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from transfer.sizes import GIB, KIB, MIB, TIB, format_size, parse_size

UNITS = st.sampled_from([("", 1), ("K", KIB), ("MiB", MIB), ("gb", GIB), ("TiB", TIB)])


@given(st.integers(0, 10**30), UNITS)
def test_whole_numbers_are_read_exactly(number: int, unit: tuple[str, int]):
    assert parse_size(f"{number}{unit[0]}") == number * unit[1]
    assert parse_size(f" {number} {unit[0]} ") == number * unit[1]


@given(st.integers(0, 10**12), st.integers(0, 1023), UNITS)
def test_binary_fractions_are_read_exactly(whole: int, fraction: int, unit: tuple[str, int]):
    if unit[1] > 1:
        decimals = str(fraction * 10**10 // 1024).zfill(10)
        assert parse_size(f"{whole}.{decimals}{unit[0]}") * 1024 == (
            (whole * 1024 + fraction) * unit[1]
        )


@given(st.integers(0, 1023), st.sampled_from([1, KIB, MIB, GIB, TIB]))
def test_what_is_shown_without_rounding_is_read_back(number: int, scale: int):
    size = number * scale
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 2**60))
def test_what_is_shown_is_never_far_off(size: int):
    number, unit = format_size(size).split(" ")
    scale = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}[unit]
    assert abs(float(number) * scale - size) <= 0.006 * scale
    assert size < KIB or size >= scale


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_a_value_error(text: str):
    with contextlib.suppress(ValueError):
        assert parse_size(text) >= 0
