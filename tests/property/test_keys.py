"""No key that is let through can leave its root, whatever a later reader makes of it."""

from __future__ import annotations

import posixpath
from urllib.parse import quote, unquote, unquote_to_bytes

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transfer.errors import BadKeyError
from transfer.keys import MAX_KEY_BYTES, check_key, check_prefix, relative_path, within


def _encoded(text: str, times: int, safe: str) -> str:
    """Percent-encode, dots too: `quote` never does."""
    for _ in range(times):
        text = quote(text, safe=safe)
        if "." not in safe:
            text = text.replace(".", "%2e")
    return text


# Made of what traversals are made of, so that many examples come near to one.
PIECES = ["..", ".", "/", "\\", "%", "2e", "2E", "2f", "5c", "25", "00", "0a", "a", "é", " "]
HOSTILE = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
ENCODED = st.builds(
    _encoded,
    st.lists(st.sampled_from(["..", ".", "/", "\\", "a", "\0"]), max_size=8).map("".join),
    st.integers(0, 4),
    st.sampled_from(["", "/", "."]),
)
ANY = st.text(max_size=40) | HOSTILE | ENCODED
LEGITIMATE = st.lists(
    st.text(
        st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\%"),
        min_size=1,
        max_size=12,
    ).filter(lambda segment: segment not in {".", ".."}),
    min_size=1,
    max_size=6,
).map("/".join)


def readings(key: str) -> list[str]:
    """Return what readers may see: decoded any number of times, backslashes as slashes or not."""
    found = [key]
    while (decoded := unquote(found[-1], errors="surrogateescape")) != found[-1]:
        found.append(decoded)
    return [*found, *(text.replace("\\", "/") for text in found)]


@settings(max_examples=2000)
@given(ANY)
def test_no_reading_of_an_accepted_key_leaves_the_root(key: str):
    try:
        check_key(key)
    except BadKeyError:
        return
    for text in readings(key):
        assert "\0" not in text
        assert not text.startswith("/")
        segments = text.split("/")
        assert ".." not in segments
        assert "." not in segments
        assert "" not in segments
        assert posixpath.normpath(f"/root/{text}") == f"/root/{text}"


@settings(max_examples=1000)
@given(ANY)
def test_key_comes_back_as_it_is_or_not_at_all(key: str):
    said = ""
    try:
        assert check_key(key) is key
        assert len(key.encode()) <= MAX_KEY_BYTES
    except BadKeyError as error:
        said = str(error)
    assert said.isprintable()


@given(LEGITIMATE)
def test_legitimate_key_is_accepted(key: str):
    assume(len(key.encode()) <= MAX_KEY_BYTES)
    assert check_key(key) == key
    assert check_prefix(key + "/") == key + "/"
    assert relative_path(key) == key


@given(LEGITIMATE, st.text("0123456789abcdefgxyz %#?+~", max_size=8))
def test_percent_signs_are_no_crime(key: str, tail: str):
    text = f"{key} 100%{tail}"
    assume(len(text.encode()) <= MAX_KEY_BYTES)
    harmless = not any(
        char in set("/\\.") or not char.isprintable()
        for char in unquote_to_bytes(f"%{tail}").decode("latin-1")
    )
    assume(harmless)
    assert check_key(text) == text


@given(LEGITIMATE, LEGITIMATE)
def test_key_below_a_prefix_is_within_it(prefix: str, rest: str):
    assert within(f"{prefix}/{rest}", prefix)
    assert within(f"{prefix}/{rest}", f"{prefix}/")
    assert within(prefix, prefix)
    assert within(rest, "")


@given(LEGITIMATE, LEGITIMATE)
def test_within_compares_whole_segments(key: str, prefix: str):
    below = key.split("/")[: prefix.count("/") + 1] == prefix.split("/")
    assert within(key, prefix) is below


@given(LEGITIMATE, st.text(st.characters(exclude_characters="/"), min_size=1, max_size=5))
def test_name_that_only_begins_like_the_prefix_is_not_within_it(prefix: str, more: str):
    assert not within(prefix + more, prefix)
    assert not within(f"{prefix}{more}/x", prefix)


@settings(max_examples=1000)
@given(ANY)
def test_path_from_a_store_stays_in_its_folder(key: str):
    try:
        relative_path(key)
    except BadKeyError:
        return
    for text in (key, key.replace("\\", "/")):
        assert within(posixpath.normpath(f"/root/x/{text}"), "/root/x")
    assert "\0" not in key
    assert posixpath.join("/root", key) == f"/root/{key}"


@pytest.mark.parametrize("depth", range(1, 8))
def test_depth_of_the_encoding_does_not_matter(depth: int):
    with pytest.raises(BadKeyError):
        check_key("a/" + _encoded("..", depth, "") + "/b")
