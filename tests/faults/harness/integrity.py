"""What the store checks of a body before it keeps it.

Length, Content-MD5, x-amz-content-sha256 and x-amz-checksum-*: all that a client
claimed of its bytes is computed again from those that came. Source: "Checking
object integrity" of the S3 User Guide; the sentences were recorded from Amazon.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.harness.aws_chunked import decode, is_aws_chunked
from tests.faults.harness.digests import ALGORITHMS, checksum_of, from_base64, is_valid
from tests.faults.harness.refusals import (
    NOT_IMPLEMENTED,
    Refusal,
    invalid_header,
    invalid_request,
)

if TYPE_CHECKING:
    from tests.faults.harness.http1 import Body, Request
    from tests.faults.harness.personality import Personality

_PREFIX = "x-amz-checksum-"
_WORDS = {"x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-checksum-mode"}


@dataclass(frozen=True)
class Received:
    """Bytes that are what the client said they are; `checksum` is algorithm and text."""

    data: bytes
    checksum: tuple[str, str] | None


async def receive(
    request: Request, body: Body, payload: str, personality: Personality, largest: int
) -> Received:
    """Read a body and check everything that is claimed of it; raises Refusal."""
    framed = is_aws_chunked(request, payload)
    claimed = claimed_checksum(request) if personality.checksums else None
    _check_before(request, body, personality, largest, framed=framed)
    data = await body.read()
    trailers: dict[str, str] = {}
    if framed and personality.trailers == "verify":
        data, trailers = decode(request, payload, data)
    elif re.fullmatch(r"[0-9a-f]{64}", payload):
        _check_sha256(payload, data)
    _check_md5(request, data)
    if trailers and personality.checksums:
        claimed = _checksum_in(trailers)
    if claimed is not None:
        check_checksum(claimed, data)
    return Received(data, claimed)


def claimed_checksum(request: Request) -> tuple[str, str] | None:
    """Return the algorithm and value of the x-amz-checksum-* header, if one was sent."""
    given = {name: value for name, value in request.headers if name.startswith(_PREFIX)}
    claimed = _checksum_in({n: v for n, v in given.items() if n not in _WORDS})
    named = request.header("x-amz-sdk-checksum-algorithm")
    trailer = request.header("x-amz-trailer")
    if named is not None and claimed is None and trailer is None:
        raise invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or"
            " x-amz-trailer headers were found."
        )
    if named is not None and claimed is not None and named.lower() != claimed[0]:
        raise invalid_header("x-amz-sdk-checksum-algorithm")
    return claimed


def check_checksum(claimed: tuple[str, str], data: bytes) -> None:
    """Raise BadDigest if the bytes have another checksum."""
    algorithm, value = claimed
    if checksum_of(algorithm, data) != value:
        sentence = f"The {algorithm.upper()} you specified did not match the calculated checksum."
        raise Refusal("BadDigest", sentence)


def _checksum_in(given: dict[str, str]) -> tuple[str, str] | None:
    checksums = {name: value for name, value in given.items() if name.startswith(_PREFIX)}
    if len(checksums) > 1:
        raise invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    for name, value in checksums.items():
        algorithm = name.removeprefix(_PREFIX)
        if algorithm not in ALGORITHMS:
            raise invalid_request(
                "The algorithm type you specified in x-amz-checksum- header is invalid."
            )
        if not is_valid(algorithm, value):
            raise invalid_header(name)
        return algorithm, value
    return None


def _check_before(
    request: Request, body: Body, personality: Personality, largest: int, *, framed: bool
) -> None:
    if framed and personality.trailers == "reject":
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header="x-amz-trailer")
    if body.chunked and not framed:
        raise Refusal("NotImplemented", NOT_IMPLEMENTED, Header="Transfer-Encoding")
    if body.length is None and not body.chunked:
        raise Refusal("MissingContentLength", "You must provide the Content-Length HTTP header.")
    if (body.length or 0) > largest:
        raise Refusal(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            ProposedSize=body.length,
            MaxSizeAllowed=largest,
        )
    md5 = request.header("content-md5")
    if md5 is not None and len(from_base64(md5) or b"") != 16:
        sentence = "The Content-MD5 you specified was invalid."
        raise Refusal("InvalidDigest", sentence, Content_MD5=md5)


def _check_sha256(payload: str, data: bytes) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != payload:
        raise Refusal(
            "XAmzContentSHA256Mismatch",
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ClientComputedContentSHA256=payload,
            S3ComputedContentSHA256=found,
        )


def _check_md5(request: Request, data: bytes) -> None:
    expected = request.header("content-md5")
    if expected is None:
        return
    digest = hashlib.md5(data, usedforsecurity=False).digest()
    if base64.b64decode(expected) != digest:
        raise Refusal(
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            ExpectedDigest=base64.b64decode(expected).hex(),
            CalculatedDigest=base64.b64encode(digest).decode(),
        )
