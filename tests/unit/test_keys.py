from __future__ import annotations

import pytest

from transfer.errors import BadKeyError
from transfer.keys import MAX_KEY_BYTES, check_key, check_prefix, relative_path, within

LEGITIMATE = [
    "a",
    "models/v1/weights.safetensors",
    "with space/and+plus",
    "100%",
    "50%/a%b",
    "what?/#1",
    "a%20b",
    "a%2Fb",
    "ünï/çødé/日本語/🙂",
    ".hidden/..dots/...",
    "a..b/..c/d..",
    "~user/$HOME/*",
    "C:/windows",
    "x" * MAX_KEY_BYTES,
]
# What has got through checks of this kind elsewhere, raw and encoded.
HOSTILE = [
    "",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "a//b",
    "a/",
    ".",
    "..",
    "./a",
    "a/./b",
    "../a",
    "a/../../b",
    "a/..",
    "..\\a",
    "a\\b",
    "a\\..\\..\\b",
    "%2e%2e/a",
    "%2E%2E%2Fa",
    "..%2fa",
    "a/%2e%2e/b",
    "%252e%252e/a",
    "%25252e%25252e%25252fa",
    "%2%65%2%65/a",
    "a%5c..%5cb",
    "%2fetc/passwd",
    "a%2f%2fb",
    "a%2f",
    "nul\0byte",
    "nul%00byte",
    "nul%2500byte",
    "line\nbreak",
    "line%0abreak",
    "tab\tkey",
    "delete\x7f",
    "next\x85line",
    "lone\ud800surrogate",
    "x" * (MAX_KEY_BYTES + 1),
    "é" * (MAX_KEY_BYTES // 2 + 1),
]


@pytest.mark.parametrize("key", LEGITIMATE)
def test_legitimate_key_comes_back_unchanged(key: str):
    assert check_key(key) is key


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_key_is_refused(key: str):
    with pytest.raises(BadKeyError):
        check_key(key)


def test_longest_key_is_that_of_s3():
    assert MAX_KEY_BYTES == 1024


def test_refusal_shows_the_key_without_control_characters():
    with pytest.raises(BadKeyError) as caught:
        check_key("a\x1b[31m/../b")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31m/../b" in str(caught.value)


def test_refusal_of_a_long_key_is_short():
    with pytest.raises(BadKeyError) as caught:
        check_key("x" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("prefix", ["", "a/", "a/b/", "with space/"])
def test_prefix_comes_back_unchanged(prefix: str):
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", ["/", "//", "a//", "../", "a/../", "a/%2e%2e/", "a\\"])
def test_hostile_prefix_is_refused(prefix: str):
    with pytest.raises(BadKeyError):
        check_prefix(prefix)


def test_prefix_may_come_without_its_slash():
    assert check_prefix("a/b") == "a/b"


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("team/x", "team"), ("team/x/y", "team/"), ("team", "team"), ("any/key", ""), ("a/b", "a/b/")],
)
def test_key_within_a_prefix(key: str, prefix: str):
    assert within(key, prefix)


@pytest.mark.parametrize(
    ("key", "prefix"),
    [("teams/x", "team"), ("tea", "team"), ("x/team", "team"), ("Team/x", "team"), ("a", "a/b")],
)
def test_key_outside_a_prefix(key: str, prefix: str):
    assert not within(key, prefix)


@pytest.mark.parametrize(
    "key", ["a", "a/b c", "..a/b..", "%2e%2e/a", "back\\slash", "line\nbreak", "a\udcffb"]
)
def test_name_from_a_store_that_may_be_a_path(key: str):
    assert relative_path(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/etc",
        "a//b",
        "a/",
        ".",
        "..",
        "./a",
        "../a",
        "a/../b",
        "a\0b",
        "..\\a",
        "a\\..\\..\\b",
        "a/..\\b",
        "a\\.\\b",
    ],
)
def test_name_from_a_store_that_would_leave_its_folder(key: str):
    with pytest.raises(BadKeyError):
        relative_path(key)


def test_name_from_a_store_that_would_be_absolute_with_backslashes_as_separators():
    with pytest.raises(BadKeyError):
        relative_path("\\etc\\passwd")
