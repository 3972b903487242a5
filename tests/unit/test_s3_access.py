"""What the settings say of a bucket is what the SDK would have said."""

from __future__ import annotations

import os

import pytest

from backends.s3.access import access_by_settings
from backends.s3.sdk import find_access
from transfer.settings import Settings

KNOWN = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "MLFLOW_S3_ENDPOINT_URL": "http://localhost:9000",
}


@pytest.fixture(autouse=True)
def _nobodys_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:  # noqa: TID251
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    for name, value in KNOWN.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"AWS_SESSION_TOKEN": "token"},
        {"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "path"},
        {"MLFLOW_S3_ENDPOINT_URL": "https://minio.example.com/"},
        {"MLFLOW_S3_ENDPOINT_URL": "https://minio.example.com:9443/s3"},
        {"MLFLOW_S3_ENDPOINT_URL": "https://127.0.0.1:9443"},
        {"TRANSFER_PUBLIC_ENDPOINT_URL": "https://public.example.com"},
    ],
)
@pytest.mark.parametrize("bucket", ["bucket", "with.dots", "Upper_Case"])
async def test_settings_say_what_the_sdk_says(
    bucket: str, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env(KNOWN | more)
    known, asked = access_by_settings(bucket, settings), await find_access(bucket, settings)
    assert known is not None
    assert (known.base, known.public) == (asked.base, asked.public)
    assert known.signing.region == asked.signing.region
    assert await known.signing.keyring.current() == await asked.signing.keyring.current()
    assert known.signing.put_headers == asked.signing.put_headers


@pytest.mark.parametrize(
    "changed",
    [
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"AWS_DEFAULT_REGION": ""},
        {"MLFLOW_S3_ENDPOINT_URL": ""},
        {"MLFLOW_S3_ENDPOINT_URL": "localhost:9000"},
        {"MLFLOW_S3_ENDPOINT_URL": "http://user:secret@localhost"},
        {"MLFLOW_S3_ENDPOINT_URL": "http://localhost/?x=1"},
        {"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "virtual"},
        {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"StorageClass": "GLACIER"}'},
    ],
)
def test_what_the_settings_do_not_say_the_sdk_is_asked(changed: dict[str, str]):
    assert access_by_settings("bucket", Settings.from_env(KNOWN | changed)) is None


def test_bucket_that_is_an_arn_is_the_sdks_business():
    arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint:mine"
    assert access_by_settings(arn, Settings.from_env(KNOWN)) is None


async def test_extra_arguments_become_headers_of_the_sdks_model():
    extra = {"MLFLOW_S3_UPLOAD_EXTRA_ARGS": '{"StorageClass": "GLACIER", "Metadata": {"A": "b"}}'}
    access = await find_access("bucket", Settings.from_env(KNOWN | extra))
    assert access.signing.put_headers == {"x-amz-storage-class": "GLACIER", "x-amz-meta-a": "b"}
