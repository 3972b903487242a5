from __future__ import annotations

import pytest

from backends.azure.requests import blob_path, block_path, container_path, put_headers
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import BadKeyError, UsageError
from transfer.model import Intent


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a/b", "/c/a/b"),
        ("with space", "/c/with%20space"),
        ("100%.bin", "/c/100%25.bin"),
        ("a%20b", "/c/a%2520b"),
        ("c#d?e", "/c/c%23d%3Fe"),
        ("a+b=c&d", "/c/a%2Bb%3Dc%26d"),
        ("tilde~", "/c/tilde~"),
        ("é", "/c/%C3%A9"),
    ],
)
def test_names_are_encoded_once(key: str, path: str):
    assert blob_path("c", key) == path


@pytest.mark.parametrize("key", ["", "x" * 1025, "\udcff"])
def test_what_cannot_be_a_name_is_refused(key: str):
    with pytest.raises(BadKeyError):
        blob_path("c", key)


def test_name_of_a_thousand_wide_characters_is_fine():
    assert blob_path("c", "名" * 1024).count("%") == 3 * 1024


def test_block_id_is_encoded_in_the_query():
    assert block_path("c", "k", "a+/=") == "/c/k?comp=block&blockid=a%2B%2F%3D"


def test_query_of_a_container_leaves_out_what_is_none():
    assert container_path("$web") == "/$web"
    path = container_path("c", comp="list", prefix="a b/&", marker=None)
    assert path == "/c?comp=list&prefix=a%20b%2F%26"


def test_put_says_all_that_a_blob_is_given():
    checksum = checksum_of(Algorithm.MD5, b"x")
    intent = Intent(1, metadata={"run_id": "7"}, no_clobber=True, checksum=checksum)
    assert put_headers("a.json", intent) == {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-meta-run_id": "7",
        "x-ms-meta-transfer_upload": intent.nonce,
        "x-ms-blob-content-type": "application/json",
        "If-None-Match": "*",
        "Content-MD5": checksum.base64,
    }
    other = Intent(1, content_type="a/b", checksum=checksum_of(Algorithm.CRC32C, b"x"))
    assert put_headers("a", other) == {
        "x-ms-blob-type": "BlockBlob",
        "x-ms-blob-content-type": "a/b",
    }


@pytest.mark.parametrize(
    ("name", "value"), [("run-id", "7"), ("", "7"), ("a", "é"), ("a", "b\r\nc")]
)
def test_metadata_that_azure_cannot_keep_is_refused(name: str, value: str):
    with pytest.raises(UsageError, match="cannot be metadata of a blob"):
        put_headers("a", Intent(1, metadata={name: value}))


@pytest.mark.parametrize("content_type", ["a/b\r\nx-ms-meta-a: b", "é"])
def test_content_type_that_is_none_is_refused(content_type: str):
    with pytest.raises(UsageError, match="is no content type"):
        put_headers("a", Intent(1, content_type=content_type))
