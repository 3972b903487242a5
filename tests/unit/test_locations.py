from __future__ import annotations

import os

import pytest

from transfer.errors import UsageError
from transfer.locations import Location, Style, local_path, parse

STYLES = {"file": Style.PATH, "s3": Style.LITERAL, "http": Style.DECODED}


def read(text: str) -> Location:
    return parse(text, STYLES.__getitem__)


@pytest.mark.parametrize(
    ("text", "root", "key"),
    [
        ("s3://bucket", "s3://bucket", ""),
        ("s3://bucket/", "s3://bucket", ""),
        ("s3://bucket/a/b", "s3://bucket", "a/b"),
        ("s3://bucket/a/b/", "s3://bucket", "a/b/"),
        ("S3://Bucket/Key", "s3://Bucket", "Key"),
        ("s3://bucket//a", "s3://bucket", "/a"),
        ("s3://bucket/a?b#c%20d+e", "s3://bucket", "a?b#c%20d+e"),
        ("s3://bucket/a/../b", "s3://bucket", "a/../b"),
        ("http://host:5000/a%20b%2Fc", "http://host:5000", "a b/c"),
        ("http://host/a%2520b", "http://host", "a%20b"),
        ("http://host/a%3Fb%23c", "http://host", "a?b#c"),
        ("http:/a/b", "http:", "a/b"),
        ("http:///a/b", "http:", "a/b"),
    ],
)
def test_urls(text: str, root: str, key: str):
    scheme = root.partition(":")[0]
    assert read(text) == Location(scheme, root, key)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("//a", "/a"),
        ("/", "/"),
        ("/a b%20c?d#e", "/a b%20c?d#e"),
        ("file:///a%20b", "/a b"),
        ("file://localhost/a", "/a"),
        ("file:/a", "/a"),
        ("FILE:///a/", "/a/"),
        ("file:///a?b", "/a?b"),
        ("file:///a%2F..%2Fb", "/b"),
    ],
)
def test_paths(text: str, path: str):
    location = read(text)
    assert (location.scheme, location.root) == ("file", "file:///")
    assert str(location) == local_path(location) == path


@pytest.mark.parametrize("text", ["a", "./a", "a:b", "s3:key", "~"])
def test_relative_paths_start_in_the_working_directory(text: str):
    assert local_path(read(text)) == os.path.abspath(text)  # noqa: PTH100


@pytest.mark.parametrize("text", [".", "..", "./", "a/", "a/..", "s3:a/."])
def test_paths_that_can_only_be_folders(text: str):
    assert read(text).is_folder


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\0b",
        "file://host/a",
        "file://",
        "file://localhost",
        "file:///a%00b",
        "s3://",
        "s3:///a",
        "s3:/bucket/key",
        "http://host/a?b",
        "http://host/a#b",
        "http:/a?b",
        "-",
    ],
)
def test_what_cannot_be_read_is_a_usage_error(text: str):
    with pytest.raises(UsageError):
        read(text)


def test_unknown_scheme_is_left_to_who_knows_them():
    with pytest.raises(KeyError):
        read("gopher://host/a")


@pytest.mark.parametrize(
    ("key", "name", "is_folder"),
    [("", "", True), ("a", "a", False), ("a/b", "b", False), ("a/b/", "b", True)],
)
def test_name_and_kind(key: str, name: str, is_folder: bool):
    location = Location("s3", "s3://bucket", key)
    assert (location.name, location.is_folder) == (name, is_folder)


@pytest.mark.parametrize(
    ("key", "name", "child"),
    [("", "a", "a"), ("a", "b", "a/b"), ("a/", "b", "a/b"), ("a", "", "a/"), ("a/", "", "a/")],
)
def test_child(key: str, name: str, child: str):
    assert Location("s3", "s3://bucket", key).child(name).key == child


def test_password_in_a_root_is_not_shown():
    assert str(Location("http", "http://user:secret@host", "a/b")) == "http://host/a/b"
