from __future__ import annotations

from typing import Any, cast

import pytest

from backends.authority import Authority, authority_of, parse_root
from transfer.errors import UsageError
from transfer.locations import Style, parse
from transfer.redaction import redact
from transfer.settings import Settings
from transfer.store import Context


@pytest.mark.parametrize(
    ("root", "read"),
    [
        ("sftp://host", Authority("sftp", "host")),
        ("sftp://host:22", Authority("sftp", "host", 22)),
        ("sftp://user@host/a b/c", Authority("sftp", "host", None, "user", None, "a b/c")),
        ("ftp://u:p%40ss%2Fw%3A@h:2121/", Authority("ftp", "h", 2121, "u", "p@ss/w:", "")),
        ("ftp://u:a:b@h", Authority("ftp", "h", None, "u", "a:b")),
        ("ftps://[::1]:990/x/", Authority("ftps", "::1", 990, None, None, "x")),
        ("sftp://dom%5Cuser@h/100%25", Authority("sftp", "h", None, "dom\\user", None, "100%25")),
    ],
)
def test_authorities_are_read(root: str, read: Authority):
    assert parse_root(root) == read


@pytest.mark.parametrize(
    "root",
    [
        "sftp://",
        "sftp:///path",
        "sftp://host:port",
        "sftp://host:0",
        "sftp://host:70000",
        "sftp://:secret@host",
        "sftp://user:se/cret@host",
        "ftp://[::1/x",
        "ftp://u:se%0D%0Acret@host",
    ],
)
def test_what_cannot_be_read_is_refused_without_showing_it(root: str):
    with pytest.raises(UsageError) as caught:
        parse_root(root)
    assert "secret" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_paths_are_absolute():
    assert parse_root("sftp://h").path_of("a/b") == "/a/b"
    assert parse_root("sftp://h/root").path_of("a/b") == "/root/a/b"
    assert parse_root("sftp://h/root").path_of("") == "/root/"


@pytest.mark.parametrize(
    ("root", "shown"),
    [
        ("sftp://user:secret@host:22/a", "sftp://user@host:22/a"),
        ("ftp://us%40er:secret@host", "ftp://us%40er@host"),
        ("ftps://[::1]:990/", "ftps://[::1]:990"),
    ],
)
def test_no_password_is_shown(root: str, shown: str):
    read = parse_root(root)
    assert read.url == shown
    assert "secret" not in repr(read)
    assert "secret" not in redact(root)
    assert "secret" not in str(parse(root, lambda _: Style.DECODED))


def test_user_is_part_of_a_place_and_a_password_that_is_not_encoded_is_never_shown():
    assert redact("sftp://user:12@host/a") == "sftp://user@host/a"
    assert redact("sftp://user:12#34@host/a") == "<not a URL>"
    assert redact("https://token@host/a") == "https://host/a"


def test_password_of_the_settings_stands_in_for_one_in_the_url():
    notices: list[str] = []
    settings = Settings(store_password="from settings")
    context = Context(settings, cast("Any", None), notify=notices.append)
    assert authority_of("sftp://u@h", context).password == "from settings"
    assert notices == []
    assert authority_of("sftp://u:mine@h", context).password == "mine"
    [notice] = notices
    assert "mine" not in notice
    assert "from settings" not in repr(settings)
