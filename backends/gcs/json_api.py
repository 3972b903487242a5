"""Control calls of the JSON API: what there is, what is to go.

Asked by gcloud-aio-storage, on a session of ours that goes by the engine's mover.
Its own would rewrite names that are percent-encoded.

Source: "Objects" of the Cloud Storage JSON API reference.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from gcloud.aio.storage import Storage

from backends.gcs.errors import error_of_answer
from backends.gcs.session import MoverSession, encoded
from transfer.errors import ExpiredError, ProtocolError
from transfer.redaction import host_of
from transfer.sizes import MIB
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gcloud.aio.auth import AioSession

    from backends.gcs.credentials import Bearer
    from transfer.errors import TransferError
    from transfer.store import Mover, Response

_FIELDS = "name,size,generation,updated,crc32c,contentType"
# A thousand names of 1,024 bytes, each of which may need six characters.
_MOST = 16 * MIB
# What one call of a rewrite may take before it says how far it is, in seconds.
_REWRITE_PATIENCE = 600.0
# Who asks an emulator; the library would look for credentials.
_NOBODY = object()


class JsonApi:
    """Calls about the objects of one bucket; `bearer` None is an emulator, without credentials."""

    def __init__(self, bucket: str, endpoint: str, bearer: Bearer | None, mover: Mover) -> None:
        self.bucket = bucket
        self.endpoint = endpoint
        self._bearer = bearer
        self._mover = mover

    async def stat(self, key: str) -> Mapping[str, Any]:
        """Return the resource of an object."""
        what = f"look at gs://{self.bucket}/{key}"
        with self._readable(what):
            return _mapping(await self._storage(what).download_metadata(self.bucket, key))

    async def page(self, prefix: str, token: str | None, *, folders: bool) -> Mapping[str, Any]:
        """Return a page of resources, a thousand at most."""
        query = {
            "prefix": prefix,
            "maxResults": "1000",
            "fields": f"nextPageToken,prefixes,items({_FIELDS})",
        }
        if token is not None:
            query["pageToken"] = token
        if folders:
            query["delimiter"] = "/"
        what = f"list gs://{self.bucket}/{prefix}"
        with self._readable(what):
            return _mapping(await self._storage(what).list_objects(self.bucket, params=query))

    async def delete(self, key: str, *, generation: str | None = None) -> None:
        """Remove an object, or only this generation of it; NotFoundError if it is not there."""
        query = {"ifGenerationMatch": generation} if generation is not None else {}
        storage = self._storage(f"delete gs://{self.bucket}/{key}")
        await storage.delete(self.bucket, key, params=query)

    async def rewrite(
        self, bucket: str, key: str, target: str, *, generation: str, token: str | None
    ) -> Mapping[str, Any]:
        """Copy this generation of an object to a key of ours; return how far that is.

        One call of it: the library's own would make all of them with one access
        token, and begin anew after each fault.
        """
        what = f"copy gs://{bucket}/{key} to gs://{self.bucket}/{target}"
        query = {"ifSourceGenerationMatch": generation}
        if token is not None:
            query["rewriteToken"] = token
        source, place = quote(key, safe=""), quote(target, safe="")
        url = (
            f"{self.endpoint}/storage/v1/b/{bucket}/o/{source}"
            f"/rewriteTo/b/{self.bucket}/o/{place}?{encoded(query)}"
        )
        headers = {**await self.authorization(), "Content-Length": "0"}
        request = Request("POST", url, headers, patience=_REWRITE_PATIENCE)
        answer = await self._mover.exchange(request)
        if not answer.ok:
            raise self.error(what, answer)
        return self.read(what, answer)

    async def open_session(
        self, key: str, resource: Mapping[str, object], query: Mapping[str, str], size: int
    ) -> Response:
        """Open a resumable upload of `size` bytes; return the answer, whatever it is."""
        asked = encoded({"uploadType": "resumable", "name": key, **query})
        body = json.dumps(resource).encode()
        headers = {
            **await self.authorization(),
            "Content-Type": "application/json; charset=UTF-8",
            "Content-Length": str(len(body)),
            "X-Upload-Content-Type": str(resource["contentType"]),
            "X-Upload-Content-Length": str(size),
        }
        url = f"{self.endpoint}/upload/storage/v1/b/{self.bucket}/o?{asked}"
        return await self._mover.exchange(Request("POST", url, headers, body=body))

    async def authorization(self) -> dict[str, str]:
        """Return the header that says who we are; none for an emulator."""
        if self._bearer is None:
            return {}
        return {"Authorization": f"Bearer {await self._bearer.get()}"}

    def read(self, what: str, answer: Response) -> Mapping[str, Any]:
        """Return the object that an answer holds; ProtocolError if it is none."""
        with self._readable(what):
            return _mapping(json.loads(answer.body))

    def _storage(self, what: str) -> Storage:
        """Return the library's client for one call, whose errors say `what` was asked."""
        storage = Storage(
            token=cast("Bearer", self._bearer or _NOBODY),
            api_root=self.endpoint,
            api_is_dev=self._bearer is None,
        )
        session = MoverSession(self._mover, lambda answer: self.error(what, answer), most=_MOST)
        storage.session = cast("AioSession", session)
        return storage

    @contextmanager
    def _readable(self, what: str) -> Iterator[None]:
        try:
            yield
        except ValueError:
            message = f"{what}: {host_of(self.endpoint)} answered what is no JSON object"
            raise ProtocolError(message) from None

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error of an answer; one for an old token is temporary: the next is new."""
        error = error_of_answer(what, answer.status, answer.headers, answer.body)
        if answer.status == 401 and self._bearer is not None and self._bearer.drop():
            return ExpiredError(f"{error.message}; the access token may have expired")
        return error


def _mapping(found: object) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise ValueError  # noqa: TRY004 - as the parser does
    return found
