from __future__ import annotations

import base64

import pytest

from backends.azure.account import Place, account_of, place_of
from transfer.errors import UsageError
from transfer.settings import Settings

KEY = base64.b64encode(b"key").decode()
SAS = "sv=2021-12-02&sp=rw&sig=hush%3D"
WASBS = "wasbs://con@acc.blob.core.windows.net"


def account(root: str, **environ: str):
    names = {
        "string": "AZURE_STORAGE_CONNECTION_STRING",
        "key": "AZURE_STORAGE_ACCESS_KEY",
        "sas": "AZURE_STORAGE_SAS_TOKEN",
        "account": "AZURE_STORAGE_ACCOUNT",
    }
    settings = Settings.from_env({names[name]: value for name, value in environ.items()})
    return account_of(place_of(root), settings)


@pytest.mark.parametrize(
    ("root", "place"),
    [
        (WASBS, Place("con", "acc", "https://acc.blob.core.windows.net")),
        (
            "wasb://con@acc.blob.core.windows.net",
            Place("con", "acc", "http://acc.blob.core.windows.net"),
        ),
        (
            "abfss://con@acc.dfs.core.windows.net",
            Place("con", "acc", "https://acc.blob.core.windows.net"),
        ),
        (
            "wasbs://$web@acc.blob.core.chinacloudapi.cn",
            Place("$web", "acc", "https://acc.blob.core.chinacloudapi.cn"),
        ),
        (
            "wasbs://con@acc.z12.blob.storage.azure.net",
            Place("con", "acc", "https://acc.z12.blob.storage.azure.net"),
        ),
        ("az://con", Place("con")),
    ],
)
def test_places(root: str, place: Place):
    assert place_of(root) == place


@pytest.mark.parametrize(
    "root",
    [
        "wasbs://con",
        "wasbs://con@acc",
        "wasbs://@acc.blob.core.windows.net",
        "wasbs://con@acc.blob.core.windows.net.evil.example",
        "wasbs://con@acc.blob.evil.example",
        "wasbs://con@evil.example/.blob.core.windows.net",
        "wasbs://con@acc.blob.core.windows.net:444",
        "wasbs://con:hush@acc.blob.core.windows.net",
        "az://con@acc",
    ],
)
def test_places_that_are_none_of_azures_are_usage_errors(root: str):
    with pytest.raises(UsageError) as caught:
        place_of(root)
    assert "hush" not in str(caught.value)


def test_connection_string_wins_over_key_and_token():
    string = f"AccountName=acc;AccountKey={KEY};EndpointSuffix=core.windows.net"
    found = account(WASBS, string=string, key=base64.b64encode(b"other").decode(), sas=SAS)
    assert (found.key, found.sas) == (b"key", None)


def test_key_wins_over_token_and_token_over_an_identity():
    found = account(WASBS, key=KEY, sas=SAS)
    assert (found.key, found.sas) == (b"key", None)
    assert account(WASBS, sas=f"?{SAS}").sas == SAS
    found = account(WASBS)
    assert (found.key, found.sas) == (None, None)
    assert found.endpoint == "https://acc.blob.core.windows.net"


@pytest.mark.parametrize(
    ("string", "name", "endpoint"),
    [
        ("AccountName=acc", "acc", "https://acc.blob.core.windows.net"),
        (
            "defaultendpointsprotocol=http;ACCOUNTNAME=acc;",
            "acc",
            "http://acc.blob.core.windows.net",
        ),
        ("AccountName=acc;EndpointSuffix=x.example", "acc", "https://acc.blob.x.example"),
        ("AccountName=acc;BlobEndpoint=http://h:1/acc/", "acc", "http://h:1/acc"),
        ("BlobEndpoint=http://127.0.0.1:1/acc", "acc", "http://127.0.0.1:1/acc"),
        ("BlobEndpoint=https://acc.blob.x.example/", "acc", "https://acc.blob.x.example"),
    ],
)
def test_connection_string_says_where_the_account_is(string: str, name: str, endpoint: str):
    found = account("az://con", string=string)
    assert (found.name, found.endpoint) == (name, endpoint)


def test_connection_string_without_credentials_leaves_them_to_the_next():
    assert account(WASBS, string="AccountName=acc", sas=SAS).sas == SAS
    assert account(WASBS, string=f"AccountName=acc;SharedAccessSignature={SAS}").sas == SAS


def test_development_storage_is_the_emulators_account():
    found = account("az://con", string="UseDevelopmentStorage=true")
    assert found.endpoint == "http://127.0.0.1:10000/devstoreaccount1"
    assert found.key


def test_account_of_az_is_in_a_variable():
    assert account("az://con", account="acc", key=KEY).name == "acc"
    with pytest.raises(UsageError, match="does not say which account"):
        account("az://con", key=KEY)


def test_url_and_connection_string_must_mean_one_account():
    with pytest.raises(UsageError, match=r"the URL names the account acc, .* the account other"):
        account(WASBS, string=f"AccountName=other;AccountKey={KEY}")


@pytest.mark.parametrize(
    "environ",
    [
        {"string": "hush"},
        {"string": "AccountKey=hush"},
        {"string": "=hush"},
        {"string": "AccountName=acc;AccountKey=hush!"},
        {"string": "AccountName=acc;BlobEndpoint=ftp://hush"},
        {"string": "AccountName=acc;SharedAccessSignature=hush"},
        {"key": "hush!"},
        {"sas": "hush"},
        {"sas": "sig=hush hush"},
    ],
)
def test_what_cannot_be_read_is_a_usage_error_that_does_not_show_it(environ: dict[str, str]):
    with pytest.raises(UsageError) as caught:
        account(WASBS, **environ)
    assert "hush" not in str(caught.value)
    assert "AZURE_STORAGE_" in str(caught.value)


def test_secrets_are_in_no_repr():
    assert "hush" not in repr(account(WASBS, sas=SAS))
    assert "key'" not in repr(account(WASBS, key=KEY))
