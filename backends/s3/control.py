"""Control calls to S3: everything but the bytes, and but what is decided about it.

They go the way the bytes go, by the engine's own mover, signed in their headers.
An SDK would do this as well, but takes longer to load than many a file to move.

Source: Amazon S3 API reference.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from backends.s3.documents import is_error
from backends.s3.errors import error_of_answer
from backends.s3.requests import check_s3_key
from transfer.signing import authorize, quote_key
from transfer.sizes import MIB
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.s3.access import Access
    from transfer.store import Mover, Response

# A page of a thousand keys, each as long as a key can be, all of it percent-encoded.
_LARGEST_ANSWER = 8 * MIB
# How long an answer may take, in seconds; Complete may keep quiet for minutes on a large object.
_PATIENCE = 60.0
COMPLETE_PATIENCE = 900.0


class S3Control:
    """Signed requests to one bucket, and their answers."""

    def __init__(self, access: Access, mover: Mover) -> None:
        self._access = access
        self._mover = mover

    async def ask(
        self,
        what: str,
        method: str,
        key: str | None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        patience: float = _PATIENCE,
    ) -> Response:
        """Return the answer if it is a good one; raises what else it says.

        `what` is asked, for messages; `key` None is the bucket itself.
        """
        if key is not None:
            check_s3_key(key)
        signing = self._access.signing
        url, signed = authorize(
            method,
            self._access.base if key is None else f"{self._access.base}/{quote_key(key)}",
            credentials=await signing.keyring.current(),
            region=signing.region,
            now=time.time(),
            query=query,
            headers={**(headers or {}), **signing.owner_header},
            body=body,
        )
        answer = await self._mover.exchange(
            Request(
                method,
                url,
                signed,
                patience=patience,
                tls=signing.tls,
                body=body,
                most=_LARGEST_ANSWER,
            )
        )
        if not answer.ok:
            raise error_of_answer(what, answer.status, answer.headers, answer.body)
        if is_error(answer.body):
            # Sent after the status: a failure of the server, if the code says nothing else.
            raise error_of_answer(what, 500, answer.headers, answer.body)
        return answer


def modified(headers: Mapping[str, str]) -> float | None:
    """Return Last-Modified in seconds since 1970."""
    try:
        return parsedate_to_datetime(headers["last-modified"]).timestamp()
    except (KeyError, ValueError):
        return None
