"""Byte for byte what botocore makes; it is the authority that every store was tested with."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as SdkCredentials
from botocore.session import Session

from transfer.signing import MAX_LIFETIME, Credentials, authorize, presign, quote_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOW = 1_700_000_000.0
REGION = "eu-central-1"
# AWS's own example key: made up.
ACCESS, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzE/+=//token=="
BUCKET = "bucket"
ENDPOINT = "https://s3.example.com"

KEYS = [
    "key",
    "a/b/c.bin",
    "with space",
    "~tilde",
    "a+b",
    "100%",
    "%20",
    "ünï/日本語/🙂",
    "a=b&c?d#e",
    "a//b",
    "../up/./here",
    "/leading",
    "trailing/",
    "quote\"'()*!,;:@$",
    "-._~",
    "line\nbreak",
]
UPLOAD_IDS = ["2~abc", "VXBsb2FkIElE/+==", "a.b-c_d", "id with space"]


@pytest.fixture(scope="module", autouse=True)
def _stopped_clock_and_nobodys_settings() -> Iterator[None]:
    stopped = dt.datetime.fromtimestamp(NOW, dt.UTC)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:  # noqa: TID251
            patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setattr(botocore.auth, "get_current_datetime", lambda: stopped)
        yield


class Sdk:
    """What botocore makes, from credentials and an endpoint, untouched by the machine."""

    def __init__(self) -> None:
        self._session = Session()
        self._clients: dict[object, object] = {}

    def url(
        self,
        operation: str,
        params: dict[str, object],
        *,
        token: str | None = None,
        endpoint: str = ENDPOINT,
        lifetime: int = 900,
        method: str | None = None,
    ) -> str:
        if (endpoint, token) not in self._clients:
            self._clients[endpoint, token] = self._session.create_client(
                "s3",
                region_name=REGION,
                endpoint_url=endpoint,
                verify=True,
                aws_access_key_id=ACCESS,
                aws_secret_access_key=SECRET,
                aws_session_token=token,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    request_checksum_calculation="when_required",
                ),
            )
        client = self._clients[endpoint, token]
        return client.generate_presigned_url(  # type: ignore[attr-defined,no-any-return]
            operation, Params={"Bucket": BUCKET, **params}, ExpiresIn=lifetime, HttpMethod=method
        )


@pytest.fixture(scope="module")
def sdk() -> Sdk:
    return Sdk()


def ours(
    method: str,
    key: str,
    *,
    token: str | None = None,
    endpoint: str = ENDPOINT,
    lifetime: float = 900,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> str:
    return presign(
        method,
        f"{endpoint}/{BUCKET}/{quote_key(key)}",
        credentials=Credentials(ACCESS, SECRET, token),
        region=REGION,
        now=NOW,
        lifetime=lifetime,
        query=query,
        headers=headers,
    )


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("key", KEYS)
def test_get_object(sdk: Sdk, key: str, token: str | None):
    assert ours("GET", key, token=token) == sdk.url("get_object", {"Key": key}, token=token)


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("key", KEYS)
def test_put_object(sdk: Sdk, key: str, token: str | None):
    assert ours("PUT", key, token=token) == sdk.url("put_object", {"Key": key}, token=token)


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("upload_id", UPLOAD_IDS)
def test_upload_part(sdk: Sdk, upload_id: str, token: str | None):
    params = {"Key": "a b/+~%", "PartNumber": 10_000, "UploadId": upload_id}
    query = {"partNumber": "10000", "uploadId": upload_id}
    theirs = sdk.url("upload_part", params, token=token)
    assert ours("PUT", "a b/+~%", query=query, token=token) == theirs


@pytest.mark.parametrize("token", [None, TOKEN])
def test_length_is_bound(sdk: Sdk, token: str | None):
    params = {"Key": "key", "PartNumber": 1, "UploadId": "id", "ContentLength": 5_242_880}
    query = {"partNumber": "1", "uploadId": "id"}
    headers = {"Content-Length": "5242880"}
    made = ours("PUT", "key", query=query, headers=headers, token=token)
    assert sorted_query(made) == sorted_query(sdk.url("upload_part", params, token=token))
    assert "X-Amz-SignedHeaders=content-length%3Bhost" in made


def test_other_headers_are_bound(sdk: Sdk):
    params = {
        "Key": "key",
        "ContentType": "application/x-tar; version=1",
        "ContentLength": 7,
        "ExpectedBucketOwner": "123456789012",
        "IfNoneMatch": "*",
        "ServerSideEncryption": "aws:kms",
        "ChecksumCRC32C": "4waSgw==",
    }
    headers = {
        "Content-Type": "application/x-tar; version=1",
        "Content-Length": "7",
        "x-amz-expected-bucket-owner": "123456789012",
        "If-None-Match": "*",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-checksum-crc32c": "4waSgw==",
    }
    theirs = sdk.url("put_object", params)
    assert sorted_query(ours("PUT", "key", headers=headers)) == sorted_query(theirs)


def sorted_query(url: str) -> tuple[str, list[tuple[str, list[str]]]]:
    parts = urlsplit(url)
    return parts.path, sorted(parse_qs(parts.query).items())


def test_spaces_in_a_header_are_folded():
    one = ours("PUT", "key", headers={"content-type": "text/plain;  charset=x "})
    assert one == ours("PUT", "key", headers={"Content-Type": "text/plain; charset=x"})


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://localhost:9000",
        "http://localhost:80",
        "https://host:443",
        "https://host:80",
        "http://host:443",
        "http://127.0.0.1:5000",
        "http://[::1]:9000",
    ],
)
def test_host_and_port(sdk: Sdk, endpoint: str):
    assert ours("GET", "key", endpoint=endpoint) == sdk.url(
        "get_object", {"Key": "key"}, endpoint=endpoint
    )


@pytest.mark.parametrize("lifetime", [1, 3600, MAX_LIFETIME])
def test_lifetime(sdk: Sdk, lifetime: int):
    theirs = sdk.url("get_object", {"Key": "key"}, lifetime=lifetime)
    assert ours("GET", "key", lifetime=lifetime) == theirs


def test_lifetime_is_cut_to_what_the_store_accepts():
    assert ours("GET", "key", lifetime=1e9) == ours("GET", "key", lifetime=MAX_LIFETIME)
    assert "X-Amz-Expires=604800" in ours("GET", "key", lifetime=1e9)


def test_head_and_delete(sdk: Sdk):
    assert ours("HEAD", "key") == sdk.url("head_object", {"Key": "key"})
    assert ours("DELETE", "key") == sdk.url("delete_object", {"Key": "key"})


def test_signing_key_is_that_of_the_day(sdk: Sdk, monkeypatch: pytest.MonkeyPatch):
    tomorrow = NOW + 86_400
    monkeypatch.setattr(
        botocore.auth,
        "get_current_datetime",
        lambda: dt.datetime.fromtimestamp(tomorrow, dt.UTC),
    )
    ours("GET", "key")  # puts the key of today into the cache
    made = presign(
        "GET",
        f"{ENDPOINT}/{BUCKET}/key",
        credentials=Credentials(ACCESS, SECRET),
        region=REGION,
        now=tomorrow,
        lifetime=900,
    )
    assert made == sdk.url("get_object", {"Key": "key"})


def test_anything_signed_changes_the_signature():
    def signature(url: str) -> str:
        return url.rpartition("X-Amz-Signature=")[2]

    made = {
        signature(url)
        for url in (
            ours("GET", "key"),
            ours("PUT", "key"),
            ours("PUT", "key2"),
            ours("PUT", "key", headers={"content-length": "1"}),
            ours("PUT", "key", headers={"content-length": "2"}),
            ours("PUT", "key", query={"partNumber": "1"}),
            ours("PUT", "key", query={"partNumber": "2"}),
            ours("PUT", "key", lifetime=901),
            ours("PUT", "key", token=TOKEN),
            ours("PUT", "key", endpoint="https://other.example.com"),
        )
    }
    assert len(made) == 10


def test_secret_and_token_are_not_in_the_repr():
    shown = repr(Credentials(ACCESS, SECRET, TOKEN))
    assert SECRET not in shown
    assert TOKEN not in shown
    assert ACCESS not in shown


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("endpoint", [ENDPOINT, "http://127.0.0.1:9000", "https://x.example:443"])
@pytest.mark.parametrize(
    ("method", "key", "query", "headers", "body"),
    [
        ("GET", "a b/ü", {}, {}, b""),
        ("HEAD", "key", {}, {"x-amz-checksum-mode": "ENABLED"}, b""),
        ("POST", "key", {"uploads": ""}, {"x-amz-meta-name": "two  blanks"}, b""),
        ("POST", "key", {"uploadId": UPLOAD_IDS[1]}, {"If-None-Match": "*"}, b"<Complete/>"),
        ("GET", "", {"prefix": "a/ü +", "list-type": "2"}, {}, b""),
    ],
)
def test_header_is_what_the_sdk_makes(  # noqa: PLR0917 - a table
    method: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    endpoint: str,
    token: str | None,
):
    url, made = authorize(
        method,
        f"{endpoint}/{BUCKET}/{quote_key(key)}",
        credentials=Credentials(ACCESS, SECRET, token),
        region=REGION,
        now=NOW,
        query=query,
        headers=headers,
        body=body,
    )
    request = AWSRequest(method, url, headers=headers, data=body)
    # As its S3 client does over TLS or not, with this it signs the body.
    request.context["payload_signing_enabled"] = True
    botocore.auth.S3SigV4Auth(SdkCredentials(ACCESS, SECRET, token), "s3", REGION).add_auth(request)
    theirs = {name.lower(): value for name, value in request.headers.items()}
    assert {name.lower(): value for name, value in made.items()} == theirs
