"""Control calls of the JSON API: what there is, what is to go.

Source: "Objects" of the Cloud Storage JSON API reference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from backends.gcs_errors import error_of_answer
from transfer.errors import ExpiredError, ProtocolError
from transfer.redaction import host_of
from transfer.signing import quote_value
from transfer.sizes import MIB
from transfer.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backends.gcs_credentials import Bearer
    from transfer.errors import TransferError
    from transfer.store import Mover, Response

_FIELDS = "name,size,generation,updated,crc32c,contentType"
# A thousand names of 1,024 bytes, each of which may need six characters.
_MOST = 16 * MIB


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
        return self.read(what, await self._ask(what, "GET", _object(key)))

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
        return self.read(what, await self._ask(what, "GET", "o", query))

    async def delete(self, key: str, *, generation: str | None = None) -> None:
        """Remove an object, or only this generation of it; NotFoundError if it is not there."""
        query = {"ifGenerationMatch": generation} if generation is not None else {}
        await self._ask(f"delete gs://{self.bucket}/{key}", "DELETE", _object(key), query)

    async def open_session(
        self, key: str, resource: Mapping[str, object], query: Mapping[str, str], size: int
    ) -> Response:
        """Open a resumable upload of `size` bytes; return the answer, whatever it is."""
        asked = _encoded({"uploadType": "resumable", "name": key, **query})
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
        try:
            found: object = json.loads(answer.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ProtocolError(f"{what}: {host_of(self.endpoint)} answered what is no JSON object")
        return found

    async def _ask(
        self, what: str, method: str, path: str, query: Mapping[str, str] | None = None
    ) -> Response:
        asked = f"?{_encoded(query)}" if query else ""
        url = f"{self.endpoint}/storage/v1/b/{self.bucket}/{path}{asked}"
        request = Request(method, url, await self.authorization(), most=_MOST)
        answer = await self._mover.exchange(request)
        if not answer.ok:
            raise self.error(what, answer)
        return answer

    def error(self, what: str, answer: Response) -> TransferError:
        """Return the error of an answer; one for an old token is temporary: the next is new."""
        error = error_of_answer(what, answer.status, answer.headers, answer.body)
        if answer.status == 401 and self._bearer is not None and self._bearer.drop():
            return ExpiredError(f"{error.message}; the access token may have expired")
        return error


def _object(key: str) -> str:
    return f"o/{quote(key, safe='')}"


def _encoded(query: Mapping[str, str]) -> str:
    """Return a query; spaces are %20, which nobody takes for a plus."""
    return "&".join(f"{name}={quote_value(value)}" for name, value in query.items())
