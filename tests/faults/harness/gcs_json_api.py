"""Objects, lists and resumable uploads of Cloud Storage's JSON API, and where tokens come from."""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.faults.harness.answers import Answer
from tests.faults.harness.digests import checksum_of
from tests.faults.harness.gcs_signatures import verify_assertion
from tests.faults.harness.gcs_xml_api import check_generation, generation_of, hashes_of, keep
from tests.faults.harness.refusals import Refusal, invalid_request

if TYPE_CHECKING:
    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.gcs import StrictGcs
    from tests.faults.harness.shelf import Stored

GRANULE = 256 * 1024
_CHUNK = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_QUESTION = re.compile(r"bytes \*/(\d+)")


@dataclass
class Session:
    """A resumable upload: who knows its id may write the object."""

    key: str
    size: int
    condition: str | None
    resource: dict[str, object]
    data: bytearray = field(default_factory=bytearray)
    result: bytes | None = None


def answer_json(value: object, status: int = 200) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


async def get(exchange: Exchange) -> Answer:
    """Say what an object is."""
    return answer_json(_resource(exchange, exchange.key))


async def delete(exchange: Exchange) -> Answer:
    """Remove an object; none there is an error here."""
    _resource(exchange, exchange.key)
    check_generation(exchange, exchange.request.param("ifGenerationMatch"))
    exchange.shelf.remove(exchange.bucket, exchange.key)
    return Answer(204)


async def list_objects(exchange: Exchange) -> Answer:
    """List keys in the order of their UTF-8 bytes, a page at a time."""
    request = exchange.request
    prefix, delimiter = request.param("prefix") or "", request.param("delimiter")
    after = base64.b64decode(request.param("pageToken") or "").decode()
    most = min(int(request.param("maxResults") or 1000), exchange.store.personality.page)
    names: dict[str, bool] = {}
    for key in sorted(exchange.shelf.buckets[exchange.bucket], key=str.encode):
        if not key.startswith(prefix):
            continue
        rest, found, _ = key[len(prefix) :].partition(delimiter or "\0")
        name = prefix + rest + found if delimiter and found else key
        if name.encode() > after.encode():
            names[name] = bool(delimiter and found)
    page = list(names)[:most]
    value: dict[str, object] = {
        "kind": "storage#objects",
        "items": [_resource(exchange, name) for name in page if not names[name]],
        "prefixes": [name for name in page if names[name]],
    }
    if len(names) > len(page):
        value["nextPageToken"] = base64.b64encode(page[-1].encode()).decode()
    return answer_json(value)


def _resource(exchange: Exchange, key: str) -> dict[str, object]:
    stored: Stored | None = exchange.shelf.buckets[exchange.bucket].get(key)
    if stored is None:
        raise Refusal("NoSuchKey", f"No such object: {exchange.bucket}/{key}")
    updated = datetime.fromtimestamp(stored.modified, UTC).isoformat(timespec="milliseconds")
    said = hashes_of(stored.received, whole=not stored.part_sizes).split(",")
    hashes = dict(one.split("=", 1) for one in said)
    return {
        "kind": "storage#object",
        "name": key,
        "bucket": exchange.bucket,
        "size": str(len(stored.data)),
        "generation": str(generation_of(exchange, key)),
        "metageneration": "1",
        "updated": updated.replace("+00:00", "Z"),
        "crc32c": hashes["crc32c"],
        "md5Hash": hashes.get("md5"),
        "contentType": stored.headers.get("content-type"),
        "metadata": stored.metadata,
        "etag": "CJD+" + stored.etag[:8],
    }


async def rewrite(exchange: Exchange) -> Answer:
    """Copy a generation of an object; the first call of a copy only says that it goes on."""
    request, shelf = exchange.request, exchange.shelf
    bucket, key = (unquote(name) for name in request.path.split("/")[4:7:2])
    if bucket not in shelf.buckets:
        raise Refusal("NoSuchBucket", "The specified bucket does not exist.")
    source = shelf.buckets[bucket].get(key)
    if source is None:
        raise Refusal("NoSuchKey", f"No such object: {bucket}/{key}")
    touched = 1_700_000_000_000_000 + shelf.touched[bucket, key]
    if request.param("ifSourceGenerationMatch") not in {None, str(touched)}:
        raise Refusal("PreconditionFailed", "At least one of the pre-conditions did not hold.")
    size = str(len(source.data))
    value: dict[str, object] = {"kind": "storage#rewriteResponse", "objectSize": size}
    token = secrets.token_urlsafe(8)
    rewrites = _store(exchange).rewrites
    asked = request.param("rewriteToken")
    if asked is None:
        rewrites.add(token)
        return answer_json(
            value | {"totalBytesRewritten": "0", "done": False, "rewriteToken": token}
        )
    if asked not in rewrites:
        raise Refusal("InvalidArgument", "Invalid rewrite token.")
    rewrites.remove(asked)
    keep(exchange, source.data, source.metadata, source.headers.get("content-type"))
    resource = _resource(exchange, exchange.key)
    return answer_json(value | {"totalBytesRewritten": size, "done": True, "resource": resource})


async def insert(exchange: Exchange) -> Answer:
    """Open a resumable upload."""
    request, store = exchange.request, _store(exchange)
    if request.param("uploadType") != "resumable":
        raise Refusal("NotImplemented", "the strict store knows resumable uploads only")
    resource = json.loads(await exchange.body.read() or b"{}")
    key = request.param("name") or resource.get("name", "")
    exchange.key = exchange.entry.key = key
    check_generation(exchange, request.param("ifGenerationMatch"))
    size = int(request.header("x-upload-content-length") or "-1")
    uid = secrets.token_urlsafe(40)
    condition = request.param("ifGenerationMatch")
    store.sessions[uid] = Session(key, size, condition, resource)
    path = f"/upload/storage/v1/b/{exchange.bucket}/o?uploadType=resumable&upload_id={uid}"
    return Answer(200, {"Location": store.url + path})


async def resume(exchange: Exchange) -> Answer:
    """Take a chunk, or say how far it is; the last chunk makes the object."""
    store, request = _store(exchange), exchange.request
    session = _session(exchange)
    header = request.header("content-range") or _whole(exchange, session)
    chunk, question = _CHUNK.fullmatch(header), _QUESTION.fullmatch(header)
    if session.result is not None:
        await exchange.body.read()
        return Answer(200, {"Content-Type": "application/json"}, session.result)
    if chunk is None and question is None:
        raise invalid_request("The Content-Range is wrong.")
    if chunk is not None:
        await _take(exchange, session, *map(int, chunk.groups()))
    if len(session.data) < session.size:
        return _incomplete(session)
    check_generation(exchange, session.condition)
    said = session.resource.get("crc32c")
    data = bytes(session.data)
    found = checksum_of("crc32c", data)
    if said is not None and said != found:
        sentence = f'Provided CRC32C "{said}" doesn\'t match calculated CRC32C "{found}".'
        raise Refusal("InvalidArgument", sentence)
    kind = session.resource.get("contentType") or request.header("content-type")
    keep(exchange, data, session.resource.get("metadata") or {}, kind)
    store.finished_sessions += 1
    session.result = json.dumps(_resource(exchange, exchange.key)).encode()
    return Answer(200, {"Content-Type": "application/json"}, session.result)


def _whole(exchange: Exchange, session: Session) -> str:
    """Without a Content-Range, the body is all of it."""
    session.size = exchange.body.length or 0
    return f"bytes 0-{session.size - 1}/{session.size}"


async def _take(exchange: Exchange, session: Session, first: int, last: int, size: int) -> None:
    length = last + 1 - first
    if size != session.size or exchange.body.length != length or first > len(session.data):
        raise invalid_request("The Content-Range does not fit.")
    if last + 1 != size and length % GRANULE:
        raise invalid_request("A chunk that is not the last is no multiple of 256 KiB.")
    before = len(session.data)
    try:
        while piece := await exchange.body.piece():
            # What was kept before is kept: it may be sent again, and is not looked at.
            position = first + exchange.body.received - len(piece)
            session.data += piece[max(0, len(session.data) - position) :]
    finally:
        if len(session.data) < size:
            # What is kept of a chunk that broke off are whole granules.
            del session.data[max(before, len(session.data) // GRANULE * GRANULE) :]


def _incomplete(session: Session) -> Answer:
    kept = len(session.data)
    return Answer(308, {"Range": f"bytes=0-{kept - 1}"} if kept else {})


async def cancel(exchange: Exchange) -> Answer:
    """Forget a session: its own status says so."""
    _session(exchange)
    del _store(exchange).sessions[exchange.request.param("upload_id")]
    return Answer(499)


def _session(exchange: Exchange) -> Session:
    session = _store(exchange).sessions.get(exchange.request.param("upload_id") or "")
    if session is None:
        raise Refusal("NoSuchUpload", "The upload session does not exist.")
    exchange.key = exchange.entry.key = session.key
    return session


async def token(exchange: Exchange) -> Answer:
    """Give a token for an assertion that a known account has signed, or for a refresh token."""
    store = _store(exchange)
    form = {n: v[0] for n, v in parse_qs((await exchange.body.read()).decode()).items()}
    if form.get("grant_type") == "refresh_token":
        who = "user" if form.get("refresh_token") == store.refresh_token else None
    else:
        who = verify_assertion(
            form.get("assertion", ""),
            store.accounts,
            audience=f"{store.url}/token",
            now=exchange.now,
        )
    if who is None:
        wrong = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        return answer_json(wrong, 400)
    return answer_json(_token(store))


async def metadata(exchange: Exchange) -> Answer:
    """Play a machine's metadata server."""
    store = _store(exchange)
    if exchange.request.header("metadata-flavor") != "Google":
        return Answer(403)
    if exchange.request.path.endswith("/email"):
        return Answer(200, {"Content-Type": "text/plain"}, store.email.encode())
    return answer_json(_token(store))


async def impersonate(exchange: Exchange) -> Answer:
    """Give a token of the account to somebody who has one of their own."""
    value = _token(_store(exchange))["access_token"]
    return answer_json({"accessToken": value, "expireTime": "2999-01-01T00:00:00Z"})


async def sign_blob(exchange: Exchange) -> Answer:
    """Sign as the account, if that is permitted."""
    store = _store(exchange)
    if not store.may_sign:
        error = {"code": 403, "message": "Permission 'iam.serviceAccounts.signBlob' denied"}
        return answer_json({"error": error}, 403)
    payload = json.loads(await exchange.body.read())["payload"]
    data = base64.urlsafe_b64decode(payload)
    signature = store.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return answer_json({"keyId": "1", "signedBlob": base64.b64encode(signature).decode()})


def _token(store: StrictGcs) -> dict[str, object]:
    value = f"ya29.{secrets.token_hex(16)}"
    store.tokens.add(value)
    return {"access_token": value, "expires_in": 3600, "token_type": "Bearer"}


def _store(exchange: Exchange) -> StrictGcs:
    return exchange.store


HANDLERS = {
    "objects.get": get,
    "objects.delete": delete,
    "objects.list": list_objects,
    "objects.rewrite": rewrite,
    "objects.insert": insert,
    "resumable.put": resume,
    "resumable.cancel": cancel,
    "token": token,
    "metadata": metadata,
    "signBlob": sign_blob,
    "generateAccessToken": impersonate,
}
