"""The XML of Cloud Storage's uploads against a real server of the same protocol.

No server to be had speaks it with Google's signatures, but Google documents it as
Amazon's: same verbs, paths and documents. So `rclone serve s3` takes our requests,
with Amazon's signature in the place of Google's; all else is what Google would get.
"""

from __future__ import annotations

import mimetypes
import time
from contextlib import asynccontextmanager

import pytest

from backends.gcs.json_api import JsonApi
from backends.gcs.presigner import GcsPresigner
from backends.gcs.store import GcsStore
from tests.conformance.suite import content
from tests.support.servers import ACCESS_KEY, BUCKET, SECRET_KEY
from transfer.checksums import Algorithm
from transfer.errors import IntegrityError, NotFoundError, UploadGoneError
from transfer.model import Expected, Intent, Part, Receipt, Span, Upload
from transfer.mover.threads import open_mover
from transfer.settings import Settings
from transfer.signing import Credentials, presign
from transfer.sources import BytesSource
from transfer.store import SignedRequest
from transfer.tally import Tally

pytestmark = pytest.mark.servers

PART = 5 * 1024**2


class AmazonGranter:
    """Signs as Amazon does, in the place of Google's signature."""

    async def grant(self, method, url, query, headers, lifetime):
        signed = presign(
            method,
            url,
            credentials=Credentials(ACCESS_KEY, SECRET_KEY),
            region="us-east-1",
            now=time.time(),
            lifetime=lifetime,
            query=query,
            headers=headers,
        )
        return SignedRequest(method, signed, dict(headers), lifetime)


@asynccontextmanager
async def opened(url: str):
    settings = Settings()
    async with open_mover(settings) as mover:
        api = JsonApi(BUCKET, url, None, mover)
        granter = AmazonGranter()
        public = GcsPresigner(granter, f"{url}/{BUCKET}")
        yield GcsStore(api, mover, granter, settings, public=public)


@pytest.fixture(autouse=True)
def _types_are_read():
    """Read the system's content types before, as the registry does: not on the event loop."""
    mimetypes.init()


@pytest.fixture
async def store(rclone):
    async with opened(rclone.url) as store:
        yield store


async def begun(store, key: str) -> tuple[Upload, bytes, list[Receipt]]:
    data = content(2 * PART + 100)
    intent = Intent(len(data), PART, algorithm=Algorithm.CRC32C)
    upload = await store.parts.create(key, intent)
    receipts = []
    for number, start in enumerate(range(0, len(data), PART), 1):
        part = Part(number, Span(start, min(start + PART, len(data))))
        source = BytesSource(data[part.span.start : part.span.stop])
        tally = Tally(Algorithm.CRC32C)
        receipts.append(await store.parts.send(upload, part, source, tally))
    return upload, data, receipts


@pytest.mark.parametrize("key", ["gcs/plain", "gcs/a b+c&d%e?f#g", "gcs/ünï/名前"])
async def test_an_object_is_put_together(store, rclone, key):
    upload, data, receipts = await begun(store, key)
    listed = await store.parts.sent(upload)
    assert [(one.number, one.size) for one in listed] == [(1, PART), (2, PART), (3, 100)]
    assert [one.etag.strip('"') for one in listed] == [one.etag.strip('"') for one in receipts]
    info = await store.parts.complete(upload, receipts, Expected(len(data)))
    assert info.size == len(data)
    assert (rclone.folder / BUCKET / key).read_bytes() == data


async def test_a_wrong_etag_is_no_object(store, rclone):
    upload, data, receipts = await begun(store, "gcs/wrong")
    wrong = Receipt(1, PART, '"0123456789abcdef0123456789abcdef"')
    with pytest.raises(IntegrityError):
        await store.parts.complete(upload, [wrong, *receipts[1:]], Expected(len(data)))
    await store.parts.abort(upload)
    assert not (rclone.folder / BUCKET / "gcs/wrong").exists()


async def test_an_upload_that_was_given_up_is_gone(store):
    upload, data, receipts = await begun(store, "gcs/aborted")
    await store.parts.abort(upload)
    await store.parts.abort(upload)
    with pytest.raises(UploadGoneError):
        await store.parts.sent(upload)
    with pytest.raises(UploadGoneError):
        await store.parts.complete(upload, receipts, Expected(len(data)))


async def test_a_bucket_that_is_not_there(rclone):
    async with opened(rclone.url) as store:
        store.presigner = GcsPresigner(AmazonGranter(), f"{rclone.url}/no-such-bucket")
        with pytest.raises(NotFoundError, match="NoSuchBucket"):
            await store.parts.create("k", Intent(1, 1))
