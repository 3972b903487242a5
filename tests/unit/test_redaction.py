from __future__ import annotations

import pytest

from transfer.redaction import host_of, redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/b/k?X-Amz-Signature=secret", "https://host/b/k?…"),
        ("https://host:9000/b/k", "https://host:9000/b/k"),
        ("https://user:password@host/k", "https://host/k"),
        ("https://user@host:1/k?a=b", "https://host:1/k?…"),
        ("https://host/k#fragment", "https://host/k"),
        ("https://[::1]:9000/k", "https://[::1]:9000/k"),
        ("s3://bucket", "s3://bucket"),
        ("wasbs://box@acc.blob.core.windows.net/k", "wasbs://box@acc.blob.core.windows.net/k"),
        ("abfss://box@acc.dfs.core.windows.net", "abfss://box@acc.dfs.core.windows.net"),
        (
            "wasbs://box:secret@acc.blob.core.windows.net/k?sig=secret",
            "wasbs://box@acc.blob.core.windows.net/k?…",
        ),
        ("mlflow-artifacts:", "mlflow-artifacts:"),
    ],
)
def test_query_fragment_and_user_are_not_shown(url: str, shown: str):
    assert redact(url) == shown


@pytest.mark.parametrize("url", ["https://host:port/k", "https://[::1/k", "https://u:p/w@host/k"])
def test_what_cannot_be_taken_apart_is_not_shown_at_all(url: str):
    assert redact(url) == "<not a URL>"
    assert host_of(url) == "<not a URL>"


def test_text_that_is_no_url_is_not_shown():
    assert redact("a bearer token") == "<not a URL>"


def test_name_of_a_bucket_is_shown_as_it_is():
    assert redact("s3://MyBucket") == "s3://MyBucket"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:password@host:9000/k?q", "host:9000"),
        ("https://host/k", "host"),
        ("file:///k", ""),
    ],
)
def test_host_is_shown_without_user(url: str, host: str):
    assert host_of(url) == host
