"""MLflow's proxied-artifact protocol, byte for byte what its own server speaks.

Where that server is lax (no limit on parts, a request that opens an upload and
then fails, an unmapped error of the store), this one answers with a clear 400 and
leaves nothing open. Both the client's routes and the twins for MLflow's user
interface exist.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any

import anyio
import anyio.lowlevel
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, FailFast, Field

from transfer.coordinator.access import allow_list, allow_read, allow_write
from transfer.coordinator.requests import (
    Asker,
    Shared,
    authenticated,
    base_of,
    body_of,
    length_of,
    parsed,
)
from transfer.coordinator.serving import serve_object
from transfer.coordinator.sessions import Session, SessionState, receipts_of
from transfer.coordinator.uploads import NO_MULTIPART
from transfer.errors import (
    NotFoundError,
    RejectedError,
    TransferError,
    UnsupportedError,
    UploadGoneError,
)
from transfer.model import Expected, Intent, Part, Span

NO_DOWNLOAD = "Multipart download is not supported for the current artifact repository"
# MLflow's own clients know no other: they cannot ask for a new URL on the way.
_PART_LIFETIME = 3600.0
# Signing is quick, but thousands in a row would keep everybody else waiting.
_SIGNED_IN_A_ROW = 500

# Who asks comes first, before anything is read of what they say.
router = APIRouter(prefix="/mlflow-artifacts", dependencies=[Depends(authenticated)])


class CreateMessage(BaseModel):
    """`CreateMultipartUpload`: `num_parts` may be a string of digits, as in protobuf's JSON."""

    path: str
    num_parts: int


class PartMessage(BaseModel):
    """One part of `CompleteMultipartUpload`."""

    part_number: Annotated[int, Field(ge=1)]
    etag: str = ""
    url: str | None = None


class CompleteMessage(BaseModel):
    """`CompleteMultipartUpload`."""

    path: str
    upload_id: str | None = None
    parts: Annotated[list[PartMessage], FailFast(), Field(max_length=100_000)]


class AbortMessage(BaseModel):
    """`AbortMultipartUpload`."""

    path: str
    upload_id: str | None = None


@router.get("/artifacts")
async def list_artifacts(asker: Asker, here: Shared, path: str = "") -> Response:
    """List what lies directly in a folder."""
    prefix = allow_list(asker, path)
    files: list[dict[str, object]] = []
    token: str | None = None
    while True:
        page = await here.objects.scan(prefix, token, folders=True)
        for info in page.objects:
            if name := info.key.removeprefix(prefix):
                # protobuf's JSON leaves zeros out.
                size = {"file_size": info.size} if info.size else {}
                files.append({"path": name, "is_dir": False, **size})
        files += [
            {"path": name.removeprefix(prefix).rstrip("/"), "is_dir": True} for name in page.folders
        ]
        token = page.token
        if token is None:
            break
    files.sort(key=lambda file: str(file["path"]))
    return _json({"files": files} if files else {})


@router.api_route("/artifacts/{path:path}", methods=["GET", "HEAD"])
async def download(path: str, request: Request, asker: Asker, here: Shared) -> Response:
    """Give an artifact through this server."""
    key = allow_read(asker, path)
    try:
        return await serve_object(request, here, key)
    except NotFoundError:
        if not await here.objects.is_folder(key):
            raise
        detail = f"Artifact path refers to a directory, not a file: '{path}'"
        return _json({"detail": detail}, 400)


@router.put("/artifacts/{path:path}")
async def upload(path: str, request: Request, asker: Asker, here: Shared) -> Response:
    """Take an artifact through this server."""
    if not path or path.endswith("/"):
        detail = "Artifact path must include a filename (cannot end with '/')."
        return _json({"detail": detail}, 400)
    key = allow_write(asker, path)
    size = length_of(request)
    intent = Intent(size, content_type=request.headers.get("content-type"))
    body = body_of(request, here)
    if size is None:
        await here.objects.put_spooled(key, body, intent)
    else:
        await here.objects.put(key, body, intent)
    return Response(status_code=200)


@router.delete("/artifacts/{path:path}")
async def remove(path: str, asker: Asker, here: Shared) -> Response:
    """Remove an artifact or a folder of artifacts."""
    await here.objects.delete_tree(allow_write(asker, path.removesuffix("/")))
    return _json({})


@router.post("/mpu/create")
@router.post("/mpu/create/{folder:path}")
async def create(
    message: Annotated[CreateMessage, Depends(parsed(CreateMessage))],
    request: Request,
    asker: Asker,
    here: Shared,
    folder: str = "",
) -> Response:
    """Open an upload and sign all its parts at once, which is all this protocol knows."""
    _check_presigning(here)
    key = allow_write(asker, _key(folder, message.path))
    intent = Intent(None)
    request_id = secrets.token_hex(16)
    session = await here.uploads.open(asker, key, intent, message.num_parts, request_id)
    try:
        credentials = await _credentials(session, base_of(request, here), here)
    except TransferError:
        await here.uploads.abort(session)
        raise
    return _json({"upload_id": session.id, "credentials": credentials})


@router.post("/mpu/complete")
@router.post("/mpu/complete/{folder:path}")
async def complete(
    message: Annotated[CompleteMessage, Depends(parsed(CompleteMessage))],
    asker: Asker,
    here: Shared,
    folder: str = "",
) -> Response:
    """Put the object together; sizes are the store's, since the client does not say any."""
    _check_presigning(here)
    session = await _session(message.upload_id, _key(folder, message.path), asker, here)
    etags = {part.part_number: part.etag for part in message.parts}
    if len(etags) != len(message.parts) or len(etags) != session.count:
        raise RejectedError(f"the upload has {session.count} parts, {len(message.parts)} are named")
    receipts = []
    if session.state is SessionState.OPEN:
        receipts = receipts_of(await here.uploads.listed(session), etags)
    info, said = await here.uploads.complete(session, receipts, Expected(None))
    await here.objects.remember(info, info.checksum or said)
    return _json({})


@router.post("/mpu/abort")
@router.post("/mpu/abort/{folder:path}")
async def abort(
    message: Annotated[AbortMessage, Depends(parsed(AbortMessage))],
    asker: Asker,
    here: Shared,
    folder: str = "",
) -> Response:
    """Give an upload up."""
    _check_presigning(here)
    session = await _session(message.upload_id, _key(folder, message.path), asker, here)
    await here.uploads.abort(session)
    return _json({})


@router.get("/presigned/{path:path}")
async def presigned(path: str, request: Request, asker: Asker, here: Shared) -> Response:
    """Permit reading an artifact straight from the store."""
    if here.destination.store.signer is None or not here.reads_enabled:
        raise UnsupportedError(NO_DOWNLOAD)
    info = await here.objects.stat(allow_read(asker, path))
    lifetime = here.settings.presigned_download_lifetime
    link = await here.links.read(info, lifetime, base_of(request, here))
    return _json({"url": link.url, "headers": dict(link.headers), "file_size": info.size})


def server_info(here: Shared) -> dict[str, Any]:
    """Return the answer of `server-info`: no secrets, it is given to anybody."""
    store = here.destination.store
    presigns = store.signer is not None
    multipart = presigns and store.parts is not None and here.settings.enable_upload is not False
    return {
        "store_type": None,
        "workspaces_enabled": False,
        "multipart_uploads_enabled": multipart,
        "multipart_downloads_enabled": presigns and here.reads_enabled,
        "transfer_api": 1,
    }


def _check_presigning(here: Shared) -> None:
    """Parts of MLflow's clients go to presigned URLs of the store, or not at all."""
    if here.destination.store.signer is None:
        raise UnsupportedError(NO_MULTIPART)
    _ = here.uploads.parts


async def _credentials(session: Session, base: str, here: Shared) -> list[dict[str, object]]:
    credentials: list[dict[str, object]] = []
    for number in range(1, session.count + 1):
        # The length is not known here, so it is not bound either.
        part = Part(number, Span(0, 0))
        link = await here.links.part(session, part, None, _PART_LIFETIME, base)
        headers = {"headers": dict(link.headers)} if link.headers else {}
        credentials.append({"url": link.url, "part_number": number, **headers})
        if number % _SIGNED_IN_A_ROW == 0:
            await anyio.lowlevel.checkpoint()
    return credentials


async def _session(upload_id: str | None, key: str, asker: Asker, here: Shared) -> Session:
    allow_write(asker, key)
    session = await here.uploads.get(asker, upload_id or "")
    if session.key != key:
        raise UploadGoneError(f"there is no upload {upload_id} of {key}")
    return session


def _key(folder: str, path: str) -> str:
    """Return the key: the URL has the folder, the body the file (a whole path in old clients)."""
    name = path.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise RejectedError("path names no file")
    return f"{folder.removesuffix('/')}/{name}" if folder else name


def _json(content: object, status: int = 200) -> Response:
    return Response(json.dumps(content, indent=2), status, media_type="application/json")
