"""V4 signatures against an independent implementation, and against the canonical form by hand."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from gcloud.aio.storage import blob

from backends.gcs.signing import KeySigner, prepare
from transfer.errors import CredentialsError
from transfer.signing import quote_key

EMAIL = "robot@project.iam.gserviceaccount.com"
NOW = 1_760_000_000.0
NAMES = ["plain", "a b/c+d=e&f?g#h%i", "ünï/名前", "tilde~!$'()*,;:@"]


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem_of(key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def theirs(key, monkeypatch):
    """Return gcloud-aio-storage's signed URL, made at the same moment."""
    moment = datetime.fromtimestamp(NOW, UTC)
    frozen = SimpleNamespace(
        datetime=SimpleNamespace(now=lambda _: moment), timezone=SimpleNamespace(utc=UTC)
    )
    monkeypatch.setattr(blob, "datetime", frozen)
    monkeypatch.setattr(blob, "HOST", "storage.googleapis.com")
    token = SimpleNamespace(service_data={"client_email": EMAIL, "private_key": pem_of(key)})
    bucket = SimpleNamespace(name="bucket", storage=SimpleNamespace(token=token))

    async def sign(name, method, query, headers):
        made = blob.Blob(bucket, name, {"size": 0})
        return await made.get_signed_url(
            900, headers=dict(headers), query_params=dict(query), http_method=method
        )

    return sign


def parts_of(url: str) -> tuple[str, dict[str, list[str]]]:
    return url.partition("?")[0], parse_qs(urlsplit(url).query, keep_blank_values=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "asked",
    [
        ("GET", {}, {}),
        ("POST", {"uploads": ""}, {}),
        ("PUT", {"partNumber": "7", "uploadId": "a/b+c=~"}, {"x-goog-hash": "crc32c=aaaaaa=="}),
        ("GET", {"max-parts": "9", "uploadId": "x"}, {"x-goog-if-generation-match": "12"}),
    ],
)
async def test_signatures_are_those_of_gcloud_aio_storage(key, theirs, name, asked):
    method, query, headers = asked
    url = f"https://storage.googleapis.com/bucket/{quote_key(name)}"
    unsigned = prepare(
        method, url, email=EMAIL, now=NOW, lifetime=900, query=query, headers=headers
    )
    ours = unsigned.signed(await KeySigner(EMAIL, pem_of(key)).sign(unsigned.text))
    assert parts_of(ours) == parts_of(await theirs(name, method, query, headers))


async def test_the_canonical_form_is_the_documented_one(key):
    """Written out by hand after "Canonical requests": values keep their case."""
    query = {"uploadId": "u+1", "partNumber": "3"}
    unsigned = prepare(
        "PUT",
        "http://127.0.0.1:8080/bucket/a%20b",
        email=EMAIL,
        now=NOW,
        lifetime=60,
        query=query,
        headers={"X-Goog-Hash": "crc32c=AbCd", "x-goog-meta-note": "  two   words "},
    )
    stamp = datetime.fromtimestamp(NOW, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/auto/storage/goog4_request"
    signed = "host;x-goog-hash;x-goog-meta-note"
    canonical = (
        "PUT\n/bucket/a%20b\n"
        "X-Goog-Algorithm=GOOG4-RSA-SHA256"
        f"&X-Goog-Credential={quote(f'{EMAIL}/{scope}', safe='')}"
        f"&X-Goog-Date={stamp}&X-Goog-Expires=60&X-Goog-SignedHeaders={quote(signed, safe='')}"
        "&partNumber=3&uploadId=u%2B1\n"
        "host:127.0.0.1:8080\nx-goog-hash:crc32c=AbCd\nx-goog-meta-note:two words\n\n"
        f"{signed}\nUNSIGNED-PAYLOAD"
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert unsigned.text.decode() == f"GOOG4-RSA-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = await KeySigner(EMAIL, pem_of(key)).sign(unsigned.text)
    key.public_key().verify(signature, unsigned.text, padding.PKCS1v15(), hashes.SHA256())
    assert unsigned.signed(signature).endswith(f"&X-Goog-Signature={signature.hex()}")


@pytest.mark.parametrize(("asked", "given"), [(0.2, "1"), (1e9, "604800"), (59.9, "59")])
def test_a_lifetime_is_what_google_takes(asked, given):
    unsigned = prepare("GET", "https://h/b/k", email=EMAIL, now=NOW, lifetime=asked)
    assert parts_of(unsigned.url)[1]["X-Goog-Expires"] == [given]


@pytest.mark.parametrize("pem", ["", "nonsense", pem_of(ec.generate_private_key(ec.SECP256R1()))])
def test_what_is_no_rsa_key_is_refused(pem):
    with pytest.raises(CredentialsError, match="no RSA key") as caught:
        KeySigner(EMAIL, pem)
    assert "PRIVATE KEY" not in str(caught.value)
