"""If-Match and If-None-Match, of reads and of writes.

Source: "Conditional requests" of the S3 User Guide. A conditional Complete whose
condition holds is still refused with 409 if the key was written or deleted since
the upload was created.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.harness.refusals import CONFLICT, NOT_IMPLEMENTED, PRECONDITION, Refusal

if TYPE_CHECKING:
    from tests.faults.harness.http1 import Request
    from tests.faults.harness.shelf import Shelf, Stored


def check_read(request: Request, stored: Stored) -> bool:
    """Return whether the object is wanted: False is 304. Raises Refusal."""
    wanted = request.header("if-match")
    if wanted is not None and not _matches(wanted, stored.etag):
        raise Refusal("PreconditionFailed", PRECONDITION, Condition="If-Match")
    known = request.header("if-none-match")
    return known is None or not _matches(known, stored.etag)


def check_write(request: Request, shelf: Shelf, bucket: str, key: str, since: int) -> None:
    """Raise Refusal if a write may not be; `since` is the moment that it began at."""
    fresh, same = request.header("if-none-match"), request.header("if-match")
    if fresh is None and same is None:
        return
    if fresh is not None and same is not None:
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header="If-Match,If-None-Match")
    if fresh is not None and fresh != "*":
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header="If-None-Match")
    if same == "*":
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header="If-Match")
    name = "If-None-Match" if same is None else "If-Match"
    stored = shelf.buckets[bucket].get(key)
    if same is not None and stored is None:
        raise Refusal("NoSuchKey", "The specified key does not exist.", Key=key)
    if stored is not None and (same is None or not _matches(same, stored.etag)):
        raise Refusal("PreconditionFailed", PRECONDITION, Condition=name)
    if shelf.touched.get((bucket, key), 0) > since:
        raise Refusal("ConditionalRequestConflict", CONFLICT, Condition=name, Key=key)


def _matches(header: str, etag: str) -> bool:
    return any(one.strip().strip('"') in {"*", etag} for one in header.split(","))
