"""A Cloud Storage that believes nothing: `async with StrictGcs() as store:`.

A fake, for what no server to be had checks: no emulator speaks the XML API's
multipart uploads, and none verifies a signature, an expiry, x-goog-hash or a
generation. It is written from Google's documentation, so what that leaves out it
cannot show. Lies, log and clock are those of `StrictStore`, whose multipart
uploads it shares; what it does not know it refuses with 501 and a name.
"""

from __future__ import annotations

import json
import re
import secrets
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.faults.harness import gcs_json_api, gcs_xml_api
from tests.faults.harness.exchange import UNKNOWN, Entry, Exchange, operation_of
from tests.faults.harness.gcs_signatures import is_signed, verify_url
from tests.faults.harness.personality import AWS
from tests.faults.harness.refusals import Refusal
from tests.faults.harness.strict_store import StrictStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.harness.answers import Answer
    from tests.faults.harness.clock import Clock
    from tests.faults.harness.gcs_json_api import Session
    from tests.faults.harness.http1 import Body, Request
    from tests.faults.harness.personality import Personality

# No conditions and no checksums of Amazon's; an upload that is complete is gone.
GCS = AWS.but(name="gcs", checksums=False, conditional=False, complete_twice="404")
EMAIL = "robot@strict.iam.gserviceaccount.com"
_OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")
_REWRITE = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)/rewriteTo/b/([^/]+)/o/([^/]+)")
_LIST = re.compile(r"/storage/v1/b/([^/]+)/o")
_UPLOAD = re.compile(r"/upload/storage/v1/b/([^/]+)/o")
_OPEN = {"token", "metadata", "resumable.put", "resumable.cancel"}
_REASONS = {
    "NoSuchKey": "notFound",
    "NoSuchBucket": "notFound",
    "NoSuchUpload": "notFound",
    "PreconditionFailed": "conditionNotMet",
    "AccessDenied": "forbidden",
    "AuthenticationRequired": "required",
}


@cache
def _key(number: int) -> rsa.RSAPrivateKey:
    """Make the account's key once: that takes a tenth of a second."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class StrictGcs(StrictStore):
    """The server, its account, and what it keeps.

    `may_sign`: whether IAM's signBlob is permitted. `tokens` are those that are good.
    """

    def __init__(self, personality: Personality = GCS, *, clock: Clock | None = None) -> None:
        super().__init__(personality, clock=clock)
        self.email = EMAIL
        self.key = _key(1)
        self.accounts = {EMAIL: self.key.public_key()}
        self.tokens: set[str] = set()
        self.sessions: dict[str, Session] = {}
        self.finished_sessions = 0
        self.rewrites: set[str] = set()
        self.refresh_token = secrets.token_hex(8)
        self.may_sign = True

    # --- what a client needs to know

    def service_account(self, *, key: rsa.RSAPrivateKey | None = None) -> dict[str, str]:
        """Return the content of a service account's key file, perhaps with a foreign key."""
        pem = (key or self.key).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return {
            "type": "service_account",
            "client_email": self.email,
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": f"{self.url}/token",
        }

    def authorized_user(self) -> dict[str, str]:
        """Return the content of a user's file: such credentials cannot sign."""
        return {
            "type": "authorized_user",
            "client_id": "id",
            "client_secret": "secret",
            "refresh_token": self.refresh_token,
            "token_uri": f"{self.url}/token",
        }

    def environ_with(self, credentials: dict[str, str], folder: Path) -> dict[str, str]:
        """Write credentials to a file in a folder; return the variables that name it."""
        file = folder / f"credentials-{secrets.token_hex(4)}.json"
        file.write_text(json.dumps(credentials))
        return {
            "GOOGLE_APPLICATION_CREDENTIALS": str(file),
            "TRANSFER_GCS_ENDPOINT_URL": self.url,
        }

    # --- requests

    def _exchange(self, request: Request, body: Body, entry: Entry) -> Exchange:
        exchange = super()._exchange(request, body, entry)
        operation, bucket, key = _operation(request, entry)
        exchange.operation = entry.operation = operation
        exchange.bucket, exchange.key = entry.bucket, entry.key = bucket, key
        return exchange

    async def _truth(self, exchange: Exchange) -> Answer:
        operation = exchange.operation
        json_api = operation in gcs_json_api.HANDLERS
        if operation not in _OPEN:
            self._authenticate(exchange, json_api=json_api)
        if exchange.bucket and exchange.bucket not in self.shelf.buckets:
            raise Refusal("NoSuchBucket", "The specified bucket does not exist.")
        handler = (gcs_json_api.HANDLERS if json_api else gcs_xml_api.HANDLERS).get(operation)
        if handler is None:
            sentence = f"the strict store does not know {exchange.request.method} {operation}"
            raise Refusal("NotImplemented", sentence)
        return await handler(exchange)

    def _authenticate(self, exchange: Exchange, *, json_api: bool) -> None:
        request = exchange.request
        header = request.header("authorization")
        if is_signed(request) and not json_api:
            if header is not None:
                raise Refusal("InvalidArgument", "Only one auth mechanism allowed")
            verify_url(request, self.accounts, exchange.entry.began)
            return
        if header is None:
            raise Refusal("AuthenticationRequired", "Anonymous caller.", status=401)
        if header.removeprefix("Bearer ") not in self.tokens:
            raise Refusal("AuthenticationRequired", "Invalid Credentials", status=401)

    def _refused(self, refusal: Refusal, request: Request, entry: Entry) -> Answer:
        in_json = entry.operation in gcs_json_api.HANDLERS
        if not in_json or request.method == "HEAD":
            return super()._refused(refusal, request, entry)
        reason = _REASONS.get(refusal.code, "invalid")
        error = {
            "code": refusal.status,
            "message": refusal.message,
            "errors": [{"message": refusal.message, "domain": "global", "reason": reason}],
        }
        return gcs_json_api.answer_json({"error": error}, refusal.status)

    def _common_headers(self, entry: Entry) -> dict[str, str]:
        headers = super()._common_headers(entry)
        return {"x-guploader-uploadid": headers.pop("x-amz-request-id"), **headers} | {
            "x-amz-request-id": f"STRICT{entry.number:010}"
        }


def _operation(request: Request, entry: Entry) -> tuple[str, str, str]:
    """Return operation, bucket and key that a request asks for."""
    path, method = request.path, request.method
    if path == "/token":
        return "token", "", ""
    if path.startswith("/computeMetadata/"):
        return "metadata", "", ""
    if path.endswith((":signBlob", ":generateAccessToken")):
        return path.rpartition(":")[2], "", ""
    if found := _UPLOAD.fullmatch(path):
        resumed = {"PUT": "resumable.put", "DELETE": "resumable.cancel"}
        return resumed.get(method, "objects.insert"), found[1], ""
    if found := _OBJECT.fullmatch(path):
        known = {"GET": "objects.get", "DELETE": "objects.delete"}
        return known.get(method, UNKNOWN), found[1], unquote(found[2])
    if found := _REWRITE.fullmatch(path):
        return "objects.rewrite", found[3], unquote(found[4])
    if found := _LIST.fullmatch(path):
        return "objects.list", found[1], ""
    return operation_of(request, entry.key), entry.bucket, entry.key
