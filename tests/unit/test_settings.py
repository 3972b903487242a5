from __future__ import annotations

import math
from dataclasses import fields

import pytest

from transfer.errors import UsageError
from transfer.settings import Settings, describe, markdown_table
from transfer.sizes import MIB

ROWS = {row.field: row for row in describe()}


def read(name: str, text: str) -> Settings:
    return Settings.from_env({name: text})


def test_empty_environment_gives_the_defaults():
    assert Settings.from_env({}) == Settings()


def test_defaults_are_those_of_the_documentation():
    settings = Settings()
    assert (settings.concurrency, settings.attempts) == (None, 8)
    assert settings.max_memory == 64 * 1024 * 1024
    assert (settings.stall_timeout, settings.connect_timeout) == (60.0, 10.0)
    assert (settings.url_lifetime, settings.outage_patience) == (900.0, 900.0)
    assert (settings.request_timeout, settings.presigned_download_lifetime) == (120.0, 300.0)
    assert (settings.durability, settings.s3_addressing_style) == ("batch", "auto")
    switches = settings.tracking_insecure_tls, settings.s3_ignore_tls, settings.db_echo
    assert not any(switches)


def test_empty_value_is_unset():
    assert read("TRANSFER_CONCURRENCY", "") == Settings()


def test_foreign_variables_do_not_matter():
    assert (
        Settings.from_env({"PATH": "/bin", "MLFLOW_UNKNOWN": "x", "transfer_x": "y"}) == Settings()
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRANSFER_CONCURENCY", "TRANSFER_CONCURRENCY"),
        ("TRANSFER_PARTSIZE", "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"),
        ("TRANSFER_TIMEOUT", "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT"),
    ],
)
def test_misspelt_name_is_an_error_with_the_right_one(name, meant):
    with pytest.raises(UsageError, match=f"unknown setting {name}") as caught:
        read(name, "4")
    assert caught.value.hint == f"did you mean {meant}?"


def test_name_that_is_like_no_other_points_to_the_table():
    with pytest.raises(UsageError) as caught:
        read("TRANSFER_QQQQQQQQQQQ", "4")
    assert "README" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true", "enable_upload", True),
        ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "False", "enable_upload", False),
        ("MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD", "1", "enable_download", True),
        ("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "0", "upload_threshold", 0),
        ("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "16MiB", "upload_part_size", 16 * MIB),
        ("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "1", "upload_part_size", 1),
        ("MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE", "104857600", "download_part_size", 100 * MIB),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "-1", "stall_timeout", math.inf),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "0.5", "stall_timeout", 0.5),
        ("MLFLOW_GCS_DEFAULT_TIMEOUT", "-1", "gcs_timeout", math.inf),
        ("MLFLOW_GCS_DEFAULT_TIMEOUT", "30", "gcs_timeout", 30.0),
        ("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "262144", "gcs_upload_chunk", MIB // 4),
        ("MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE", "104857600", "gcs_download_chunk", 100 * MIB),
        ("TRANSFER_CONCURRENCY", "1024", "concurrency", 1024),
        ("TRANSFER_CONCURRENCY", "auto", "concurrency", None),
        ("TRANSFER_OUTAGE_PATIENCE", "0", "outage_patience", 0.0),
        ("TRANSFER_DURABILITY", "none", "durability", "none"),
        ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "path", "s3_addressing_style", "path"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", '{"ACL": "private"}', "s3_extra_args", {"ACL": "private"}),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0", "request_retries", 0),
        ("HTTPS_PROXY", "http://proxy:1", "https_proxy", "http://proxy:1"),
        ("https_proxy", "http://proxy:1", "https_proxy", "http://proxy:1"),
    ],
)
def test_values_are_read(name: str, text: str, field: str, value: object):
    assert getattr(read(name, text), field) == value


def test_upper_case_proxy_wins():
    settings = Settings.from_env({"HTTP_PROXY": "upper", "http_proxy": "lower"})
    assert settings.http_proxy == "upper"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "yes"),
        ("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "0"),
        ("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "-5"),
        ("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "ten"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "0"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "-2"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "nan"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "inf"),
        ("MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT", "a minute"),
        ("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "262143"),
        ("MLFLOW_GCS_UPLOAD_CHUNK_SIZE", "0"),
        ("MLFLOW_GCS_DOWNLOAD_CHUNK_SIZE", "1"),
        ("MLFLOW_GCS_DEFAULT_TIMEOUT", "0"),
        ("TRANSFER_CONNECT_TIMEOUT", "-1"),
        ("TRANSFER_CONCURRENCY", "0"),
        ("TRANSFER_CONCURRENCY", "1025"),
        ("TRANSFER_CONCURRENCY", "8.0"),
        ("TRANSFER_CONCURRENCY", "+-8"),
        ("TRANSFER_OUTAGE_PATIENCE", "-1"),
        ("TRANSFER_OUTAGE_PATIENCE", "nan"),
        ("TRANSFER_OUTAGE_PATIENCE", "inf"),
        ("TRANSFER_OUTAGE_PATIENCE", "long"),
        ("TRANSFER_DURABILITY", "maybe"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{"),
        ("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "[1]"),
    ],
)
def test_value_that_cannot_be_read_names_the_variable(name: str, text: str):
    with pytest.raises(UsageError) as caught:
        read(name, text)
    assert str(caught.value).startswith(f"{name}: '{text}' is not valid; ")


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("TRANSFER_CONCURRENCY", 1, 1024),
        ("TRANSFER_ATTEMPTS", 1, 1000),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", 0, 10),
        ("MLFLOW_SQLALCHEMYSTORE_POOL_SIZE", 1, None),
        ("MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW", 0, None),
        ("MLFLOW_SQLALCHEMYSTORE_POOL_RECYCLE", 1, None),
    ],
)
def test_whole_numbers_have_bounds_and_the_message_says_which(
    name: str, least: int, most: int | None
):
    bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
    read(name, str(least))
    read(name, str(most or 10**9))
    for number in (least - 1, *([most + 1] if most is not None else [])):
        with pytest.raises(UsageError, match=f"write a whole number {bounds}$"):
            read(name, str(number))


def test_secrets_are_in_no_repr_and_in_no_message():
    settings = Settings.from_env({row.name: "hush" for row in ROWS.values() if row.secret})
    assert settings.token == "hush"
    assert "hush" not in repr(settings)


def test_exactly_these_are_secret():
    assert {name for name, row in ROWS.items() if row.secret} == {
        "token",
        "aws_access_key",
        "aws_secret_key",
        "aws_session_token",
        "tracking_token",
        "tracking_password",
        "signing_key",
        "store_password",
        "azure_connection_string",
        "azure_access_key",
        "azure_sas_token",
    }


def test_certificate_and_no_verification_exclude_each_other():
    names = {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}
    with pytest.raises(UsageError, match="exclude each other"):
        Settings.from_env(names)
    Settings.from_env(names | {"MLFLOW_TRACKING_INSECURE_TLS": "false"})


def test_extra_arguments_cannot_be_changed():
    for settings in (Settings(), read("MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{}")):
        with pytest.raises(TypeError):
            settings.s3_extra_args["a"] = 1  # type: ignore[index]


def test_own_token_wins_over_the_one_of_mlflow():
    assert Settings().bearer_token is None
    assert read("MLFLOW_TRACKING_TOKEN", "theirs").bearer_token == "theirs"
    both = {"MLFLOW_TRACKING_TOKEN": "theirs", "TRANSFER_TOKEN": "ours"}
    assert Settings.from_env(both).bearer_token == "ours"


@pytest.mark.parametrize("name", ["TRANSFER_TOKEN", "MLFLOW_TRACKING_TOKEN"])
def test_white_space_around_a_token_does_not_matter(name: str):
    assert read(name, " secret\r\n").bearer_token == "secret"
    assert not read(name, "\n").bearer_token


def test_process_environment_is_read_once_and_whole(monkeypatch: pytest.MonkeyPatch):
    for row in ROWS.values():
        monkeypatch.delenv(row.name, raising=False)
        monkeypatch.delenv(row.name.lower(), raising=False)
    monkeypatch.setenv("TRANSFER_CONCURRENCY", "3")
    assert Settings.load() == Settings(concurrency=3)


def test_every_setting_has_a_variable_of_its_own_and_a_help():
    assert set(ROWS) == {field.name for field in fields(Settings)}
    assert len({row.name for row in ROWS.values()}) == len(ROWS)
    assert all(
        row.help.endswith((".", "`).", "!")) and "\n" not in row.help for row in ROWS.values()
    )


def test_table_has_a_line_for_each_setting_and_shows_defaults():
    lines = markdown_table().splitlines()
    assert len(lines) == len(ROWS) + 2
    assert "| `TRANSFER_CONCURRENCY` | auto |" in markdown_table()
    assert "| `TRANSFER_MAX_MEMORY` | 64 MiB |" in markdown_table()
    assert "| `MLFLOW_S3_IGNORE_TLS` | false |" in markdown_table()
    assert "| `TRANSFER_PUBLIC_URL` | unset |" in markdown_table()
    assert all(line.count("|") == 4 for line in lines)
