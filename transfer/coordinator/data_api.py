"""Bytes through the coordinator, by URLs that it signed itself.

These routes ask for no token: the signature in the URL is the permission, for
one method, one path, one length, for a while.
"""

from __future__ import annotations

import time

from fastapi import APIRouter, Depends, Request, Response

from transfer.checksums import Algorithm
from transfer.coordinator.requests import Shared, body_of, coordinator_of, length_of
from transfer.coordinator.serving import serve_object
from transfer.errors import RejectedError, UploadGoneError
from transfer.keys import check_key
from transfer.model import Intent
from transfer.planner import Plan
from transfer.tally import Tally
from transfer.wire import API_PATH, CHECKSUM_HEADER, WireObject


async def permitted(request: Request) -> None:
    """Raise unless the URL was signed here, for this request, and has not expired."""
    coordinator_of(request).permits.check(
        "GET" if request.method == "HEAD" else request.method,
        request.scope["raw_path"].decode("ascii"),
        request.scope["query_string"].decode("ascii"),
        now=time.time(),
        length=length_of(request),
    )


router = APIRouter(prefix=f"{API_PATH}/data", dependencies=[Depends(permitted)])


@router.put("/uploads/{upload_id}/parts/{number}")
async def put_part(upload_id: str, number: int, request: Request, here: Shared) -> Response:
    """Take a part of an upload."""
    async with here.uploads.arrivals.writing(upload_id, number):
        session = await here.uploads.by_id(upload_id)
        size = length_of(request)
        part = Plan(session.upload.size or 0, session.upload.part_size).part(number)
        if size != part.span.size:
            raise RejectedError(f"part {number} has {part.span.size} bytes, {size} were announced")
        tally = Tally(Algorithm.CRC32C)
        source = body_of(request, here).source(part.span.size)
        receipt = await here.uploads.parts.send(session.upload, part, source, tally)
        if (await here.uploads.by_id(upload_id)).epoch != session.epoch:
            raise UploadGoneError(f"the upload {upload_id} was taken over by somebody else")
    headers = {"etag": receipt.etag}
    if receipt.checksum is not None:
        headers[CHECKSUM_HEADER] = str(receipt.checksum)
    return Response(status_code=200, headers=headers)


@router.put("/objects/{key:path}")
async def put_object(key: str, request: Request, here: Shared) -> Response:
    """Take a whole object."""
    intent = Intent(
        length_of(request),
        content_type=request.headers.get("content-type"),
        no_clobber=request.headers.get("if-none-match") == "*",
    )
    info = await here.objects.put(check_key(key), body_of(request, here), intent)
    headers = {CHECKSUM_HEADER: str(info.checksum)} if info.checksum else {}
    if info.version:
        headers["etag"] = info.version
    return Response(WireObject.from_info(info).model_dump_json(), 200, headers, "application/json")


@router.api_route("/objects/{key:path}", methods=["GET", "HEAD"])
async def get_object(key: str, request: Request, here: Shared) -> Response:
    """Give an object, or a range of it."""
    return await serve_object(request, here, check_key(key))
