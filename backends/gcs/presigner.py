"""Requests of the XML API with their permission: signed URLs, or a token of our own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

from backends.gcs.signing import prepare
from backends.marks import MARK, upload_id
from transfer.checksums import Algorithm
from transfer.content_types import UNKNOWN, content_type_of
from transfer.errors import BadKeyError
from transfer.keys import MAX_KEY_BYTES
from transfer.signing import quote_key, quote_value
from transfer.store import SignedRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from backends.gcs.signing import BlobSigner
    from transfer.checksums import Checksum
    from transfer.model import Intent, ObjectInfo, Part, Upload

IF_GENERATION = "x-goog-if-generation-match"
_HASHES = (Algorithm.CRC32C, Algorithm.MD5)
# Without it, what was stored with gzip is decompressed on its way, and its length is not known.
_AS_STORED = {"Accept-Encoding": "gzip"}
_REFUSED = re.compile(r"[\r\n]")


class Granter(Protocol):
    """Gives a request what makes the store obey it."""

    async def grant(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: float,
    ) -> SignedRequest:
        """Return the request with its permission; `headers` are to be sent as given."""
        ...


class UrlGranter:
    """Signed URLs: good for somebody without credentials, too."""

    def __init__(self, signer: BlobSigner) -> None:
        self._signer = signer

    async def grant(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: float,
    ) -> SignedRequest:
        """Return a request whose URL is signed, and its headers with it."""
        unsigned = prepare(
            method,
            url,
            email=self._signer.email,
            now=time.time(),
            lifetime=lifetime,
            query=query,
            headers=headers,
        )
        signature = await self._signer.sign(unsigned.text)
        return SignedRequest(method, unsigned.signed(signature), dict(headers), lifetime)


class TokenGranter:
    """Our own access token in a header: for requests that we send ourselves."""

    def __init__(self, authorization: Callable[[], Awaitable[dict[str, str]]]) -> None:
        self._authorization = authorization

    async def grant(
        self,
        method: str,
        url: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: float,
    ) -> SignedRequest:
        """Return a request that says who we are."""
        asked = "&".join(f"{quote_value(n)}={quote_value(v)}" for n, v in query.items())
        sent = {**headers, **await self._authorization()}
        return SignedRequest(method, f"{url}?{asked}" if asked else url, sent, lifetime)


class GcsPresigner:
    """Permissions for the objects of one bucket, at one address of it; the `Signer` of a store."""

    def __init__(self, granter: Granter, base: str) -> None:
        self._granter = granter
        self._base = base

    async def sign_part(
        self,
        upload: Upload,
        part: Part,
        checksum: Checksum | None,
        lifetime: float,
        *,
        for_others: bool = True,
    ) -> SignedRequest:
        """Permit one part: its number and length, and its content if its checksum is known.

        What is not `for_others` needs no guard against another length.
        """
        query = {"partNumber": str(part.number), "uploadId": upload_id(upload)}
        headers = hash_header(checksum)
        if upload.size is not None and for_others:
            headers |= _length(part.span.size)
        return await self.sign("PUT", upload.key, query, headers, lifetime)

    async def sign_put(
        self, key: str, intent: Intent, lifetime: float, *, condition: str | None = None
    ) -> SignedRequest:
        """Permit one whole object of one length; it bears the intention's nonce.

        `condition` is the generation that it may replace, "0" for none.
        """
        headers = object_headers(key, intent) | hash_header(intent.checksum)
        if intent.size is not None:
            headers |= _length(intent.size)
        condition = "0" if intent.no_clobber else condition
        if condition is not None:
            headers[IF_GENERATION] = condition
        return await self.sign("PUT", key, {}, headers, lifetime)

    async def sign_read(self, info: ObjectInfo, lifetime: float) -> SignedRequest:
        """Permit reading this generation of an object; the reader adds Range."""
        pinned = {IF_GENERATION: info.version} if info.version else {}
        signed = await self.sign("GET", info.key, {}, pinned, lifetime)
        headers = {**signed.headers, **_AS_STORED}
        return SignedRequest(signed.method, signed.url, headers, signed.expires_in)

    async def sign(
        self,
        method: str,
        key: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        lifetime: float,
    ) -> SignedRequest:
        """Permit any request for a key."""
        check_gcs_key(key)
        url = f"{self._base}/{quote_key(key)}"
        return await self._granter.grant(method, url, query, headers, lifetime)


def object_headers(key: str, intent: Intent) -> dict[str, str]:
    """Return what an object is stored with: content type, metadata, our mark."""
    metadata = {**intent.metadata, MARK: intent.nonce}
    headers = {f"x-goog-meta-{name}": value for name, value in metadata.items()}
    headers["Content-Type"] = content_type(key, intent)
    return headers


def content_type(key: str, intent: Intent) -> str:
    """Return the content type that was asked for, or the one that the name suggests."""
    return intent.content_type or content_type_of(key) or UNKNOWN


def hash_header(checksum: Checksum | None) -> dict[str, str]:
    """Return the header that binds a request to its content, where the store knows the kind."""
    if checksum is None or checksum.algorithm not in _HASHES:
        return {}
    return {"x-goog-hash": f"{checksum.algorithm}={checksum.base64}"}


def check_gcs_key(key: str) -> None:
    """Raise BadKeyError for what cannot be a key ("Object naming" of the documentation)."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise BadKeyError(f"{key!a} is not valid Unicode: Cloud Storage has no such key") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise BadKeyError(f"a key has 1 to {MAX_KEY_BYTES} bytes, this one has {size}")
    if key in {".", ".."} or _REFUSED.search(key) or key.startswith(".well-known/acme-challenge/"):
        raise BadKeyError(f"{key!r} is no key that Cloud Storage takes")


def _length(size: int) -> dict[str, str]:
    return {"x-goog-content-length-range": f"{size},{size}"}
