from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transfer.engine.expand import Filter

NAMES = st.text("abc.*?[]! é", min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
GLOBS = st.lists(PATHS, max_size=3).map(tuple)


@given(PATHS, GLOBS, GLOBS)
def test_file_is_moved_if_any_include_and_no_exclude_matches(
    path: str, include: tuple[str, ...], exclude: tuple[str, ...]
):
    included = not include or any(Filter(include=(glob,)).accepts(path) for glob in include)
    excluded = any(not Filter(exclude=(glob,)).accepts(path) for glob in exclude)
    assert Filter(include, exclude).accepts(path) is (included and not excluded)


@given(PATHS, GLOBS, GLOBS)
def test_order_does_not_matter(path: str, include: tuple[str, ...], exclude: tuple[str, ...]):
    one = Filter(include, exclude).accepts(path)
    assert Filter(include[::-1], exclude[::-1]).accepts(path) is one


@given(PATHS, GLOBS)
def test_exclude_is_the_opposite_of_include(path: str, globs: tuple[str, ...]):
    if globs:
        assert Filter(include=globs).accepts(path) is not Filter(exclude=globs).accepts(path)


PLAIN = st.lists(st.text("abc.é ", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@given(PLAIN, PLAIN)
def test_plain_name_matches_itself_its_folder_and_the_name_alone(path: str, glob: str):
    name = path.rpartition("/")[2]
    expected = glob in (path, name) or path.startswith(f"{glob}/")
    assert Filter(include=(glob,)).accepts(path) is expected


@given(PATHS)
def test_star_takes_everything(path: str):
    assert Filter(include=("*",)).accepts(path)
    assert not Filter(exclude=("*",)).accepts(path)
