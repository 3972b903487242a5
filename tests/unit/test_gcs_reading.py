"""What Cloud Storage says in headers and resources, and what we say to it."""

from __future__ import annotations

import mimetypes

import pytest

from backends.gcs.headers import checksum_of_headers, info_of_headers, info_of_resource
from backends.gcs.presigner import check_gcs_key, hash_header, object_headers
from backends.gcs.resumable import GRANULARITY, received
from transfer.checksums import Algorithm, Checksum, checksum_of
from transfer.errors import BadKeyError, ProtocolError
from transfer.model import Intent

CRC = checksum_of(Algorithm.CRC32C, b"content")
RESOURCE = {
    "name": "a/b",
    "size": "12",
    "generation": "1700000000000001",
    "updated": "2026-01-02T03:04:05.678Z",
    "crc32c": CRC.base64,
    "contentType": "text/plain",
}


@pytest.mark.parametrize(
    "header",
    [f"crc32c={CRC.base64}", f"crc32c={CRC.base64},md5=abc", f"md5=abc, crc32c={CRC.base64}"],
)
def test_the_crc_is_found_in_x_goog_hash(header):
    assert checksum_of_headers({"x-goog-hash": header}) == CRC


@pytest.mark.parametrize("header", ["", "md5=abc", "crc32c=", "crc32c=!!", "crc32c=AAAA"])
def test_what_is_no_crc_is_none(header):
    assert checksum_of_headers({"x-goog-hash": header}) is None


def test_headers_describe_an_object():
    info = info_of_headers(
        "k",
        {
            "content-length": "12",
            "x-goog-generation": "77",
            "etag": '"e"',
            "last-modified": "Fri, 02 Jan 2026 03:04:05 GMT",
            "x-goog-hash": f"crc32c={CRC.base64}",
        },
    )
    assert (info.size, info.version, info.checksum) == (12, "77", CRC)
    assert info.modified == 1767323045


def test_the_length_is_that_which_is_stored():
    info = info_of_headers("k", {"content-length": "3", "x-goog-stored-content-length": "9"})
    assert info.size == 9
    with pytest.raises(ProtocolError):
        info_of_headers("k", {})


def test_a_resource_describes_an_object():
    info = info_of_resource(RESOURCE)
    assert (info.key, info.size, info.version) == ("a/b", 12, "1700000000000001")
    assert info.modified == pytest.approx(1767323045.678)
    assert info.checksum == CRC


@pytest.mark.parametrize("lost", ["name", "size", "generation"])
def test_a_resource_that_lacks_something_is_none(lost):
    with pytest.raises(ProtocolError):
        info_of_resource({name: value for name, value in RESOURCE.items() if name != lost})


@pytest.mark.parametrize(
    ("header", "offset"),
    [
        ("", 0),
        ("bytes=0-0", 0),
        (f"bytes=0-{GRANULARITY - 1}", GRANULARITY),
        (f"bytes=0-{GRANULARITY}", GRANULARITY),
        ("bytes=0-99999999999", 4 * GRANULARITY),
        ("bytes=5-9", 0),
        ("nonsense", 0),
    ],
)
def test_an_upload_goes_on_at_whole_granules(header, offset):
    assert received(header, 4 * GRANULARITY + 10) == offset


@pytest.mark.parametrize(
    "key", ["", ".", "..", "a\nb", "a\rb", "x" * 1025, "\udc80", ".well-known/acme-challenge/x"]
)
def test_keys_that_google_refuses(key):
    with pytest.raises(BadKeyError):
        check_gcs_key(key)


@pytest.mark.parametrize("key", ["a", "a/../b", "x" * 1024, "100%", "a?b#c", "é", "a//b"])
def test_keys_are_literal(key):
    check_gcs_key(key)


def test_hashes_that_google_knows_are_sent():
    assert hash_header(CRC) == {"x-goog-hash": f"crc32c={CRC.base64}"}
    assert hash_header(checksum_of(Algorithm.MD5, b""))["x-goog-hash"].startswith("md5=")
    assert hash_header(Checksum(Algorithm.SHA1, bytes(20))) == {}
    assert hash_header(None) == {}


def test_an_object_bears_our_mark_and_its_type():
    mimetypes.init()
    intent = Intent(1, metadata={"run": "17"}, nonce="ab" * 16)
    assert object_headers("a.json", intent) == {
        "x-goog-meta-run": "17",
        "x-goog-meta-transfer-upload": "ab" * 16,
        "Content-Type": "application/json",
    }
    assert object_headers("a", intent)["Content-Type"] == "application/octet-stream"
