from __future__ import annotations

import pytest

from transfer.sizes import GIB, KIB, MIB, TIB, format_seconds, format_size, parse_size


def test_units_are_powers_of_1024():
    assert (KIB, MIB, GIB, TIB) == (1 << 10, 1 << 20, 1 << 30, 1 << 40)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", MIB),
        ("512b", 512),
        ("1k", KIB),
        ("16MiB", 16 * MIB),
        ("16M", 16 * MIB),
        ("16 mb", 16 * MIB),
        (" 100MB ", 104_857_600),
        ("1.5g", 3 * GIB // 2),
        ("5GiB", 5 * GIB),
        ("2TB", 2 * TIB),
        ("0.5KiB", 512),
        ("9007199254740993.0", 2**53 + 1),
        ("1" + "0" * 400 + ".0", 10**400),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "MiB", "-1", "+1", "1e6", "1.5", "0.3k", ".5g", "1.g", "1 M B", "1PiB", "1,5g", "0x10"],
)
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match=r"size|whole number"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (KIB, "1 KiB"),
        (1536, "1.50 KiB"),
        (MIB, "1 MiB"),
        (16 * MIB, "16 MiB"),
        (GIB, "1 GiB"),
        (TIB, "1 TiB"),
        (3 * GIB // 2, "1.50 GiB"),
        (5 * TIB, "5 TiB"),
        (2048 * TIB, "2048 TiB"),
        (-2 * MIB, "-2 MiB"),
    ],
)
def test_sizes_are_shown_in_the_largest_unit(size: int, text: str):
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.5, "9.5 s"),
        (10, "10 s"),
        (10.5, "10 s"),
        (12.3, "12 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3600, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations_are_shown_in_two_units_at_most(seconds: float, text: str):
    assert format_seconds(seconds) == text
