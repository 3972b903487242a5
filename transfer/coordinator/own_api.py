"""The coordinator's own API: what MLflow's protocol cannot say.

URLs are signed in small batches when they are needed and again when they have
expired; receipts are reported on the way; the list of parts, an idempotent
Complete and a checksum for every object make an upload resumable and provable.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from transfer.checksums import Checksum
from transfer.coordinator.access import allow_list, allow_read, allow_write
from transfer.coordinator.requests import Asker, Shared, authenticated, base_of, parsed
from transfer.coordinator.sessions import Session
from transfer.errors import RejectedError, UnsupportedError
from transfer.model import Expected, Intent, Upload
from transfer.planner import Plan
from transfer.store import SignedRequest
from transfer.wire import (
    API_PATH,
    AbortUpload,
    Capabilities,
    CompleteUpload,
    NewPut,
    NewRead,
    NewUpload,
    ObjectPage,
    OpenRead,
    OpenUpload,
    PartList,
    PutDone,
    ReportParts,
    Signed,
    SignedPart,
    SignedParts,
    SignParts,
    Statistics,
    WireLimits,
    WireObject,
    WireReceipt,
)

# Who asks comes first, before anything is read of what they say.
router = APIRouter(prefix=API_PATH, dependencies=[Depends(authenticated)])


@router.get("/capabilities")
async def capabilities(asker: Asker, here: Shared) -> Capabilities:
    """Say what the destination can do, and what the asker may."""
    try:
        limits = WireLimits.from_limits(here.uploads.parts.limits)
    except UnsupportedError:
        limits = None
    return Capabilities(
        limits=limits,
        max_put=here.destination.store.traits.max_put,
        prefix=asker.prefix,
        read_only=asker.read_only,
    )


@router.get("/statistics")
async def statistics(asker: Asker, here: Shared) -> Statistics:
    """Return the counters."""
    del asker
    counted = here.counters
    return Statistics(
        relayed_in=counted.relayed_in,
        relayed_out=counted.relayed_out,
        signed_parts=counted.signed_parts,
        signed_reads=counted.signed_reads,
        signed_puts=counted.signed_puts,
        open_uploads=await here.uploads.count_open(),
    )


@router.post("/uploads")
async def create(
    message: Annotated[NewUpload, Depends(parsed(NewUpload))], asker: Asker, here: Shared
) -> OpenUpload:
    """Open an upload."""
    key = allow_write(asker, message.key)
    intent = Intent(
        message.size,
        message.part_size,
        message.content_type,
        message.metadata,
        algorithm=message.algorithm,
        no_clobber=message.no_clobber,
    )
    count = Plan(message.size, message.part_size).count
    return _opened(await here.uploads.open(asker, key, intent, count, message.request_id))


@router.post("/uploads/{upload_id}/urls")
async def sign(
    upload_id: str,
    message: Annotated[SignParts, Depends(parsed(SignParts))],
    request: Request,
    asker: Asker,
    here: Shared,
) -> SignedParts:
    """Hand out part URLs; take receipts that came along."""
    session = await here.uploads.get_open(asker, upload_id, message.epoch)
    if message.receipts:
        await here.uploads.report(session, [said.to_receipt() for said in message.receipts])
    else:
        await here.uploads.touch(session)
    plan = _plan(session.upload)
    base = base_of(request, here)
    lifetime = here.settings.url_lifetime
    checksums: list[Checksum | None] = [*message.checksums] or [None] * len(message.numbers)
    if len(checksums) != len(message.numbers):
        raise RejectedError("there must be a checksum for each part, or none at all")
    signed = []
    for number, checksum in zip(message.numbers, checksums, strict=True):
        part = plan.part(number) if number <= plan.count else None
        if part is None:
            raise RejectedError(f"there is no part {number} of {plan.count}")
        link = await here.links.part(session, part, checksum, lifetime, base)
        signed.append(SignedPart(number=number, request=_signed(link)))
    return SignedParts(parts=signed)


@router.post("/uploads/{upload_id}/receipts")
async def report(
    upload_id: str,
    message: Annotated[ReportParts, Depends(parsed(ReportParts))],
    asker: Asker,
    here: Shared,
) -> OpenUpload:
    """Take receipts."""
    session = await here.uploads.get_open(asker, upload_id, message.epoch)
    await here.uploads.report(session, [said.to_receipt() for said in message.receipts])
    return _opened(session)


@router.get("/uploads/{upload_id}")
async def look(upload_id: str, asker: Asker, here: Shared) -> OpenUpload:
    """Return an open upload."""
    return _opened(await here.uploads.get_open(asker, upload_id))


@router.get("/uploads/{upload_id}/parts")
async def listed(upload_id: str, asker: Asker, here: Shared) -> PartList:
    """List the parts that the store has."""
    session = await here.uploads.get_open(asker, upload_id)
    await here.uploads.touch(session)
    found = await here.uploads.listed(session)
    return PartList(parts=[WireReceipt.from_receipt(receipt) for receipt in found])


@router.post("/uploads/{upload_id}/complete")
async def complete(
    upload_id: str,
    message: Annotated[CompleteUpload, Depends(parsed(CompleteUpload))],
    asker: Asker,
    here: Shared,
) -> WireObject:
    """Review, and put the object together."""
    session = await here.uploads.get(asker, upload_id, message.epoch)
    receipts = [said.to_receipt() for said in message.receipts]
    expected = Expected(message.size, message.checksum)
    info, said = await here.uploads.complete(session, receipts, expected)
    await here.objects.remember(info, info.checksum or said)
    # What the client said of its parts proves nothing to the client.
    return WireObject.from_info(info)


@router.post("/uploads/{upload_id}/abort")
async def abort(
    upload_id: str,
    message: Annotated[AbortUpload, Depends(parsed(AbortUpload))],
    asker: Asker,
    here: Shared,
) -> dict[str, str]:
    """Give an upload up."""
    await here.uploads.abort(await here.uploads.get(asker, upload_id, message.epoch))
    return {}


@router.post("/reads")
async def read(
    message: Annotated[NewRead, Depends(parsed(NewRead))],
    request: Request,
    asker: Asker,
    here: Shared,
) -> OpenRead:
    """Permit reading an object, and say what it is."""
    info = await here.objects.stat(allow_read(asker, message.key))
    link = await here.links.read(info, here.settings.url_lifetime, base_of(request, here))
    return OpenRead(object=WireObject.from_info(info), request=_signed(link))


@router.post("/puts")
async def put(
    message: Annotated[NewPut, Depends(parsed(NewPut))],
    request: Request,
    asker: Asker,
    here: Shared,
) -> Signed:
    """Permit storing an object in one go."""
    key = allow_write(asker, message.key)
    intent = Intent(
        message.size,
        content_type=message.content_type,
        metadata=message.metadata,
        checksum=message.checksum,
        no_clobber=message.no_clobber,
    )
    base = base_of(request, here)
    return _signed(await here.links.put(key, intent, here.settings.url_lifetime, base))


@router.post("/puts/done")
async def put_done(
    message: Annotated[PutDone, Depends(parsed(PutDone))], asker: Asker, here: Shared
) -> WireObject:
    """Look at an object that was stored, and keep its checksum."""
    key = allow_write(asker, message.key)
    found = await here.objects.confirm_put(key, message.size, message.etag, message.checksum)
    return WireObject.from_info(found)


@router.get("/list")
async def page(
    asker: Asker, here: Shared, prefix: str = "", token: str | None = None, folders: str = ""
) -> ObjectPage:
    """List a page of keys below a prefix."""
    found = await here.objects.scan(allow_list(asker, prefix), token, folders=folders == "1")
    return ObjectPage(
        objects=[WireObject.from_info(info) for info in found.objects],
        folders=list(found.folders),
        token=found.token,
    )


@router.get("/objects/{key:path}")
async def stat(key: str, asker: Asker, here: Shared) -> WireObject:
    """Say what an object is."""
    return WireObject.from_info(await here.objects.stat(allow_read(asker, key)))


@router.delete("/objects/{key:path}")
async def remove(key: str, asker: Asker, here: Shared) -> dict[str, str]:
    """Remove an object."""
    await here.objects.delete(allow_write(asker, key))
    return {}


def _plan(upload: Upload) -> Plan:
    return Plan(upload.size or 0, upload.part_size)


def _opened(session: Session) -> OpenUpload:
    return OpenUpload(
        id=session.id,
        key=session.key,
        size=session.upload.size,
        part_size=session.upload.part_size,
        epoch=session.epoch,
        algorithm=session.upload.algorithm,
    )


def _signed(request: SignedRequest) -> Signed:
    return Signed(
        method=request.method,
        url=request.url,
        headers=dict(request.headers),
        expires_in=request.expires_in,
        etag=request.etag,
    )
