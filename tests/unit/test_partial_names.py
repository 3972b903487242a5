from __future__ import annotations

import pytest

from backends.partial_file import aside_name, is_ours

NONCE = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.bin", "a.bin.before-01234567"),
        ("x" * 255, "x" * 200 + ".before-01234567"),
        ("名" * 85, "名" * 66 + ".before-01234567"),
        ("\udcff", ".before-01234567"),
    ],
)
def test_what_steps_aside_has_a_name_that_fits_and_is_no_leftover(name: str, wanted: str):
    assert aside_name(name, NONCE) == wanted
    assert not is_ours(wanted)
