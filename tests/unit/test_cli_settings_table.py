from __future__ import annotations

import math
from types import MappingProxyType

import pytest
from click.testing import CliRunner

from transfer.cli.app import app
from transfer.cli.settings_table import default, shown
from transfer.settings import describe, markdown_table

ROWS = {row.name: row for row in describe()}


def run(*args: str, **env: str):
    return CliRunner().invoke(app, ["settings", *args], env=env)


def test_the_markdown_is_the_readmes():
    assert run("--markdown").stdout == markdown_table()


def test_every_setting_is_shown_with_its_value():
    result = run(
        TRANSFER_CONCURRENCY="17",
        MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT="-1",
        MLFLOW_S3_IGNORE_TLS="true",
    )
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert result.exit_code == 0
    assert set(lines) == set(ROWS)
    assert lines["TRANSFER_CONCURRENCY"] == "17"
    assert lines["MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"] == "-1"
    assert lines["MLFLOW_S3_IGNORE_TLS"] == "true"
    assert lines["TRANSFER_MAX_MEMORY"] == "64 MiB (default)"


def test_no_secret_is_shown():
    result = run(
        TRANSFER_TOKEN="hush",
        MLFLOW_TRACKING_PASSWORD="hush",
        HTTPS_PROXY="http://me:hush@proxy:3128",
        MLFLOW_S3_UPLOAD_EXTRA_ARGS='{"SSECustomerKey": "hush"}',
    )
    assert "hush" not in result.output
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["TRANSFER_TOKEN"] == "set"
    assert lines["HTTPS_PROXY"] == "http://proxy:3128"
    assert lines["MLFLOW_S3_UPLOAD_EXTRA_ARGS"] == "set: SSECustomerKey"


def test_a_misspelt_setting_is_a_usage_error():
    result = run(TRANSFER_CONCURENCY="17")
    assert result.exit_code == 2
    assert "did you mean TRANSFER_CONCURRENCY?" in result.stderr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (False, "false"),
        (math.inf, "-1"),
        ("a\x1b", "a\\x1b"),
        (MappingProxyType({"A": 1, "B": 2}), "set: A, B"),
        (None, "None"),
    ],
)
def test_values(value, text):
    assert shown(ROWS["TRANSFER_CONCURRENCY"], value) == text


def test_defaults():
    assert default(ROWS["TRANSFER_CONCURRENCY"]) == "auto (default)"
    assert default(ROWS["MLFLOW_TRACKING_URI"]) == "unset"
