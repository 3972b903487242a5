from __future__ import annotations

import base64
import hmac
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest
from azure.storage.blob import BlobSasPermissions, ContainerSasPermissions
from azure.storage.blob._shared_access_signature import BlobSharedAccessSignature

from backends.azure.sas import VERSION, Key, sign, string_to_sign

SECRET = b"a key of sixty-four bytes would be the usual thing; this is one."
EXPIRES = 1_893_456_000.0  # 2030-01-01
KEY = Key("account", SECRET)


def sdk() -> BlobSharedAccessSignature:
    """Return Microsoft's own signer, made to speak our version of the service."""
    signer = BlobSharedAccessSignature("account", base64.b64encode(SECRET).decode())
    signer.x_ms_version = VERSION
    return signer


@pytest.mark.parametrize(
    "name",
    ["a", "deep/er/a b.bin", "100%25.bin", "a%20b", "c#d?e", "a+b=c&d", "名前", "tilde~,;:@$!'()*"],
)
@pytest.mark.parametrize("secure", [True, False])
def test_signature_for_a_blob_is_the_sdks_byte_for_byte(name: str, secure: bool):
    ours = sign(KEY, "con-tainer", name, "cw", expires=EXPIRES, secure=secure)
    theirs = sdk().generate_blob(
        "con-tainer",
        name,
        permission=BlobSasPermissions(create=True, write=True),
        expiry=datetime.fromtimestamp(EXPIRES, UTC),
        protocol="https" if secure else None,
    )
    assert ours == theirs


def test_signature_for_a_container_is_the_sdks_byte_for_byte():
    ours = sign(KEY, "container", None, "rcwdl", expires=EXPIRES)
    theirs = sdk().generate_container(
        "container",
        permission=ContainerSasPermissions.from_string("rcwdl"),
        expiry=datetime.fromtimestamp(EXPIRES, UTC),
        protocol="https",
    )
    assert ours == theirs


def test_each_field_changes_the_signature():
    base = sign(KEY, "c", "b", "r", expires=EXPIRES)
    others = {
        sign(Key("other", SECRET), "c", "b", "r", expires=EXPIRES),
        sign(Key("account", b"other"), "c", "b", "r", expires=EXPIRES),
        sign(KEY, "d", "b", "r", expires=EXPIRES),
        sign(KEY, "c", "d", "r", expires=EXPIRES),
        sign(KEY, "c", "b", "w", expires=EXPIRES),
        sign(KEY, "c", "b", "r", expires=EXPIRES + 1),
        sign(KEY, "c", "b", "r", expires=EXPIRES, secure=False),
    }
    signatures = {parse_qs(query)["sig"][0] for query in {base, *others}}
    assert len(signatures) == 8


def test_delegated_key_is_named_and_signs_the_documented_lines():
    fields = {
        "skoid": "oid",
        "sktid": "tid",
        "skt": "2029-12-31T00:00:00Z",
        "ske": "2030-01-02T00:00:00Z",
        "sks": "b",
        "skv": VERSION,
    }
    query = parse_qs(sign(Key("account", SECRET, fields), "c", "a b", "r", expires=EXPIRES))
    assert {name: query[name] for name in fields} == {n: [v] for n, v in fields.items()}
    # "Create a user delegation SAS", version 2020-12-06 and later.
    lines = [
        *("r", "", "2030-01-01T00:00:00Z", "/blob/account/c/a b"),
        *("oid", "tid", "2029-12-31T00:00:00Z", "2030-01-02T00:00:00Z", "b", VERSION),
        *("", "", "", "", "https", VERSION, "b", "", "", "", "", "", "", ""),
    ]
    signature = hmac.digest(SECRET, "\n".join(lines).encode(), "sha256")
    assert query["sig"] == [base64.b64encode(signature).decode()]


def test_fields_that_are_not_granted_are_empty_lines():
    granted = {"sp": "r", "se": "2030-01-01T00:00:00Z", "sv": VERSION, "sr": "b"}
    text = string_to_sign(granted, "/blob/a/c/b", delegated=False)
    lines = ["r", "", granted["se"], "/blob/a/c/b", "", "", "", VERSION, "b"]
    assert text.split("\n") == [*lines, "", "", "", "", "", "", ""]


def test_key_is_not_shown():
    assert "sixty-four" not in repr(KEY)
