from __future__ import annotations

import math

import pytest

from transfer.cli.flags import CopyFlags, metadata_of, options_of, settings_of
from transfer.errors import UsageError
from transfer.settings import Settings


def flags(**values: object):
    return CopyFlags(pull=False, sources=("a",), target="b", **values)


def test_flags_that_were_not_typed_change_nothing():
    settings = Settings(concurrency=3, upload_part_size=7, stall_timeout=9.0)
    assert settings_of(flags(), settings) == settings


def test_flags_win_over_the_environment():
    settings = settings_of(
        flags(concurrency="5", part_size="16MiB", endpoint_url="http://h:1", timeout="-1"),
        Settings(concurrency=3, upload_part_size=7),
    )
    assert settings == Settings(
        concurrency=5,
        upload_part_size=16 * 1024**2,
        download_part_size=16 * 1024**2,
        s3_endpoint_url="http://h:1",
        stall_timeout=math.inf,
    )


@pytest.mark.parametrize(
    ("name", "text", "flag"),
    [
        ("concurrency", "0", "--concurrency"),
        ("concurrency", "many", "--concurrency"),
        ("concurrency", "", "--concurrency"),
        ("part_size", "12Q", "--part-size"),
        ("part_size", "0", "--part-size"),
        ("part_size", "-5MiB", "--part-size"),
        ("timeout", "0", "--timeout"),
        ("timeout", "-2", "--timeout"),
        ("timeout", "nan", "--timeout"),
    ],
)
def test_a_bad_value_is_a_usage_error_that_names_the_flag(name, text, flag):
    with pytest.raises(UsageError) as caught:
        settings_of(flags(**{name: text}), Settings())
    assert caught.value.message == f"{flag}: {text!r} is not valid"
    assert caught.value.hint


def test_options():
    options = options_of(
        flags(
            include=("*.bin",),
            exclude=("tmp/*",),
            metadata=("a=1", "b=x=y", "c="),
            skip_existing=True,
            no_clobber=True,
            dry_run=True,
        )
    )
    assert (options.chosen.include, options.chosen.exclude) == (("*.bin",), ("tmp/*",))
    assert options.metadata == {"a": "1", "b": "x=y", "c": ""}
    assert (options.skip_existing, options.no_clobber, options.dry_run) == (True, True, True)


@pytest.mark.parametrize("pair", ["a", "=x", ""])
def test_metadata_without_a_name_is_refused(pair):
    with pytest.raises(UsageError, match="NAME=VALUE"):
        metadata_of((pair,))


@pytest.mark.parametrize(("command", "pull"), [("pull", True), ("push", False), ("verify", False)])
def test_the_command_says_which_way(command, pull):
    params = {"sources": ("a", "b"), "target": "c", "include": (), "exclude": (), "metadata": ()}
    assert CopyFlags.from_params(command, params) == CopyFlags(
        pull=pull, compare=command == "verify", sources=("a", "b"), target="c"
    )
