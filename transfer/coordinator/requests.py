"""What routes take from a request: who asks, what they say, which body comes along."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from transfer.coordinator.access import ANYBODY, Principal, RefusedCredentialsError
from transfer.coordinator.relay import RequestBody, pieces_of
from transfer.coordinator.state import Coordinator
from transfer.errors import RejectedError
from transfer.model import Span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

M = TypeVar("M", bound=BaseModel)

# Somebody may send a million errors; to look at each takes longer than to find it.
_TOLD = 100

# Longer numbers are no offsets, and take time to read.
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_LENGTH = re.compile(r"\d{1,19}")


def coordinator_of(request: Request) -> Coordinator:
    """Return the coordinator that the application was made with."""
    found = request.app.state.coordinator
    if not isinstance(found, Coordinator):
        raise TypeError
    return found


async def authenticated(request: Request) -> Principal:
    """Return who makes a request; RefusedCredentialsError if they must say and do not."""
    coordinator = coordinator_of(request)
    header = request.headers.get("authorization")
    if header:
        return await coordinator.tokens.authenticate(header)
    if coordinator.options.open_to_anybody:
        return ANYBODY
    raise RefusedCredentialsError(
        "this coordinator needs a token",
        hint="set TRANSFER_TOKEN, or MLFLOW_TRACKING_TOKEN, to one that"
        " `transfer token create` gave",
    )


Asker = Annotated[Principal, Depends(authenticated)]
Shared = Annotated[Coordinator, Depends(coordinator_of)]


def parsed(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """Return a dependency that reads the body as a message.

    By pydantic's own reader of JSON: it refuses NaN, deep nesting and trailing
    text, which the standard library takes or dies of. The type must be said, as
    MLflow's server has it: a page in somebody's browser can send any text
    without asking first, but no JSON that says so.
    """

    async def read(request: Request) -> M:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind.lower() != "application/json":
            raise RejectedError("Bad Request. Content-Type must be one of ['application/json'].")
        stall_timeout = coordinator_of(request).settings.stall_timeout
        body = b"".join([piece async for piece in pieces_of(request, stall_timeout)])
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            if error.error_count() > _TOLD:
                raise RejectedError("the request is not valid, in many places") from None
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(str(step) for step in first["loc"])[:100]
            raise RejectedError(f"the request is not valid: {place}: {first['msg']}") from None

    return read


def body_of(request: Request, coordinator: Coordinator) -> RequestBody:
    """Return the body of a request, to be relayed."""
    return RequestBody(request, coordinator.counters, coordinator.settings.stall_timeout)


def length_of(request: Request) -> int | None:
    """Return the announced length of the body."""
    text = request.headers.get("content-length", "")
    return int(text) if _LENGTH.fullmatch(text) else None


def range_of(request: Request, size: int) -> Span | None:
    """Return the one range that a request asks for, None for the whole object.

    Exactly one range is understood; what cannot be read is ignored, as RFC 9110
    section 14.2 lets a server do. Raises OutOfRangeError for one beyond the end.
    """
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:
        last = min(int(match[2]), size)
        if not last:
            raise OutOfRangeError
        return Span(size - last, size)
    start = int(match[1])
    if start >= size:
        raise OutOfRangeError
    stop = min(int(match[2]) + 1, size) if match[2] else size
    return Span(start, stop) if stop > start else None


class OutOfRangeError(Exception):
    """A range that begins behind the end of the object: status 416."""


def base_of(request: Request, coordinator: Coordinator) -> str:
    """Return this coordinator's address as the asker reached it, or as the operator said."""
    return coordinator.public_url or f"{request.url.scheme}://{request.url.netloc}"
