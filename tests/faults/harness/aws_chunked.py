"""Bodies in `aws-chunked` framing with a checksum behind: what SDKs send over TLS.

Source: "Signature calculations for the Authorization header: including trailing
headers" of the S3 API reference. Chunks with signatures of their own are refused:
no client of these tests sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.harness.refusals import NOT_IMPLEMENTED, Refusal

if TYPE_CHECKING:
    from tests.faults.harness.http1 import Request

UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def is_aws_chunked(request: Request, payload: str) -> bool:
    """Tell whether the body is framed a second time."""
    codings = (request.header("content-encoding") or "").replace(" ", "").split(",")
    return "aws-chunked" in codings or payload.startswith("STREAMING-")


def decode(request: Request, payload: str, body: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the content and the trailers; raises Refusal."""
    if payload not in {UNSIGNED_TRAILER, "UNSIGNED-PAYLOAD"}:
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header=f"x-amz-content-sha256: {payload}")
    length = request.header("x-amz-decoded-content-length")
    if length is None or not length.isdecimal():
        raise Refusal("MissingContentLength", "You must provide the Content-Length HTTP header.")
    content, rest = _chunks(body)
    if len(content) != int(length):
        raise Refusal(
            "IncompleteBody", f"{len(content)} bytes arrived in chunks, {length} were announced"
        )
    trailers = _trailers(rest)
    announced = (request.header("x-amz-trailer") or "").replace(" ", "").lower()
    if set(trailers) != {name for name in announced.split(",") if name}:
        raise _malformed()
    return content, trailers


def _chunks(body: bytes) -> tuple[bytes, bytes]:
    pieces = []
    place = 0
    while True:
        end = body.find(b"\r\n", place)
        size = _size(body[place:end]) if end >= 0 else None
        if size is None:
            raise Refusal("IncompleteBody", "The request body terminated unexpectedly")
        place = end + 2
        if size == 0:
            return b"".join(pieces), body[place:]
        pieces.append(body[place : place + size])
        place += size
        if body[place : place + 2] != b"\r\n":
            raise Refusal("IncompleteBody", "The request body terminated unexpectedly")
        place += 2


def _size(line: bytes) -> int | None:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        return None


def _trailers(rest: bytes) -> dict[str, str]:
    found = {}
    for line in rest.decode("latin-1").split("\r\n"):
        if line:
            name, colon, value = line.partition(":")
            if not colon:
                raise _malformed()
            found[name.strip().lower()] = value.strip()
    return found


def _malformed() -> Refusal:
    return Refusal(
        "MalformedTrailerError",
        "The request contained trailing data that was not well-formed or did not conform to our"
        " published schema.",
    )
