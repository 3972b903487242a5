"""Answers that are wrong although the work was done, and refusals for no reason.

Each function makes a lie for `store.lies.add`. Lies about what is read and what
is kept are in `lies_about_content`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio

from tests.faults.harness.answers import Answer
from tests.faults.harness.documents import error_document
from tests.faults.harness.refusals import Hangup, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.rules import Lie, Work

MIB = 1024**2
# What servers have been seen to put there; "date" is made with the store's clock.
RETRY_AFTERS = ("1", "date", "soon", "1000000000", "-1", "0.5", "")

# --- without doing anything


def refuse(status: int, code: str = "InternalError", *, retry_after: str | None = None) -> Lie:
    """Read the body, do nothing, and answer an error; `retry_after` "date" is a minute ahead."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        await exchange.body.read()
        return _error(exchange, status, code, retry_after)

    return lie


def slow_down(retry_after: str | None = None) -> Lie:
    """503 SlowDown: too many requests."""
    return refuse(503, "SlowDown", retry_after=retry_after)


def request_timeout() -> Lie:
    """400 RequestTimeout, and the connection ends: the store waited for bytes, it says."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        await exchange.body.read()
        answer = _error(exchange, 400, "RequestTimeout", None)
        answer.closes = True
        return answer

    return lie


def early(status: int, code: str = "AccessDenied", *, after: int = 0, rst: bool = False) -> Lie:
    """Answer while the body is being sent, having read `after` bytes of it; then close."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        await exchange.body.some(after)
        answer = _error(exchange, status, code, None)
        answer.closes, answer.rst = True, rst
        return answer

    return lie


def redirect(status: int, location: str) -> Lie:
    """Send the client somewhere else: to a `Canary`, say."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        await exchange.body.read()
        answer = _error(exchange, status, "PermanentRedirect", None)
        answer.headers["Location"] = location
        return answer

    return lie


def drop(*, after: int | None = None, rst: bool = True) -> Lie:
    """End the connection, having read `after` bytes of the body, or all; nothing is done."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        if after is None:
            await exchange.body.read()
        else:
            await exchange.body.some(after)
        raise Hangup(rst=rst)

    return lie


def hang() -> Lie:
    """Take the request, and never answer."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del work
        await exchange.body.read()
        await anyio.sleep_forever()
        raise AssertionError

    return lie


# --- sooner or later


def delay(seconds: float) -> Lie:
    """Wait, by the store's clock, before anything is done."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        await exchange.store.clock.sleep(seconds)
        return await work()

    return lie


def hold(event: anyio.Event) -> Lie:
    """Read the body, and do nothing before the event is set."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        await exchange.body.read()
        await event.wait()
        return await work()

    return lie


def hold_answer(event: anyio.Event) -> Lie:
    """Do it at once, and say so when the event is set."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        await event.wait()
        return answer

    return lie


def whitespace(pieces: int = 3, pause: float = 0.01) -> Lie:
    """Send 200 and whitespace for a while before the answer, as Amazon's Complete does."""

    async def spaces() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield b" \n"
            await anyio.sleep(pause)

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        answer.status, answer.framing, answer.prelude = 200, "chunked", spaces
        return answer

    return lie


# --- having done it


def lose_answer(*, rst: bool = False) -> Lie:
    """Do it, and close the connection without a word."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        await work()
        raise Hangup(rst=rst)

    return lie


def deny(status: int = 404, code: str = "NoSuchUpload") -> Lie:
    """Do it, and answer that it went wrong; what did go wrong is answered as it is."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        answer = await work()
        return _error(exchange, status, code, None) if answer.status < 300 else answer

    return lie


def error_in_200(code: str = "InternalError", *, done: bool = False) -> Lie:
    """Answer 200 with an error as its body, as a Complete that fails late does."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        await (work() if done else exchange.body.read())
        answer = _error(exchange, 200, code, None)
        answer.code = code
        return answer

    return lie


def forget() -> Lie:
    """Answer as if a part or an object were kept; it is not."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        answer = await work()
        upload = exchange.shelf.uploads.get(exchange.entry.upload_id or "")
        if exchange.operation == "UploadPart" and upload is not None:
            upload.parts.pop(exchange.entry.part or 0, None)
        else:
            exchange.shelf.remove(exchange.bucket, exchange.key)
        return answer

    return lie


# --- how it is told


def etag(change: Literal["missing", "weak", "unquoted", "upper", "empty", "other"]) -> Lie:
    """Tell the ETag in another way, in the header and in the XML of a Complete."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        true = answer.headers.pop("ETag", None)
        if true is not None and change != "missing":
            answer.headers["ETag"] = _changed(true.strip('"'), change)
        start, middle, rest = answer.body.partition(b"<ETag>")
        told, end, rest = rest.partition(b"</ETag>")
        if middle and change == "missing":
            answer.body = start + rest
        elif middle:
            text = told.decode().replace("&quot;", "")
            new = _changed(text, change).replace('"', "&quot;").encode()
            answer.body = start + middle + new + end + rest
        return answer

    return lie


def _changed(true: str, change: str) -> str:
    return {
        "weak": f'W/"{true}"',
        "unquoted": true,
        "upper": f'"{true.upper()}"',
        "empty": '""',
        "other": f'"{true[::-1]}"',
    }[change]


def header(name: str, value: str | None) -> Lie:
    """Set a header of the answer, or leave it out."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        kept = {n: v for n, v in answer.headers.items() if n.lower() != name.lower()}
        answer.headers = kept if value is None else kept | {name: value}
        return answer

    return lie


def body(content: bytes, *, status: int | None = None, content_type: str | None = None) -> Lie:
    """Do it, and answer with this body."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        answer.body = content
        answer.status = status or answer.status
        if content_type is not None:
            answer.headers["Content-Type"] = content_type
        return answer

    return lie


def huge_body(size: int = 2 * MIB) -> Lie:
    """Do it, and answer with far too much."""
    return body(b"x" * size)


def invalid_xml() -> Lie:
    """Do it, and answer with XML that breaks off."""
    return body(b'<?xml version="1.0"?><CompleteMultipartUploadResult><ETag>"0')


def invalid_utf8() -> Lie:
    """Do it, and answer with XML that is no UTF-8."""
    return body(b'<?xml version="1.0" encoding="UTF-8"?><Result><Key>\xff\xfe\xc3(</Key></Result>')


def html(status: int = 200) -> Lie:
    """Do it, and answer with a page that is meant for people: from a proxy between, say."""
    page = b"<html><head><title>Sign in</title></head><body>Welcome</body></html>"
    return body(page, status=status, content_type="text/html")


def raw(content: bytes) -> Lie:
    """Do it, put these bytes on the wire, and close."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        answer.raw = content
        return answer

    return lie


def _error(exchange: Exchange, status: int, code: str, retry_after: str | None) -> Answer:
    refusal = Refusal(code, "This is a lie.", status=status)
    body = error_document(refusal, f"STRICT{exchange.entry.number:010}", exchange.key)
    answer = Answer(status, {"Content-Type": "application/xml"}, body, code=code)
    if retry_after == "date":
        retry_after = exchange.store.clock.http_date(60)
    if retry_after is not None:
        answer.headers["Retry-After"] = retry_after
    return answer
