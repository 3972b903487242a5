"""Bytes that are not the ones asked for, and bytes that are not kept as they came."""

from __future__ import annotations

import gzip
import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tests.faults.harness.answers import Answer
    from tests.faults.harness.exchange import Exchange
    from tests.faults.harness.rules import Lie, Work
    from tests.faults.harness.shelf import Stored, StoredPart

# --- reading


def ignore_range() -> Lie:
    """Answer a range with 200 and the whole object."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        exchange.range = None
        return await work()

    return lie


def content_range(how: Literal["shifted", "missing", "total", "garbage", "unit"]) -> Lie:
    """Send the right bytes with a Content-Range that speaks of others, or of none."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        true = answer.headers.pop("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", true)
        if match is not None and how != "missing":
            start, last, total = (int(group) for group in match.groups())
            answer.headers["Content-Range"] = {
                "shifted": f"bytes {start + 1}-{last + 1}/{total}",
                "total": f"bytes {start}-{last}/{total + 1}",
                "garbage": "bytes of some range",
                "unit": f"lines {start}-{last}/{total}",
            }[how]
        return answer

    return lie


def other_range(shift: int = 1) -> Lie:
    """Send the bytes of another range, and say honestly which."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        found = exchange.range or ""
        exchange.range = re.sub(r"\d+", lambda match: str(int(match[0]) + shift), found)
        return await work()

    return lie


def short(by: int = 1, framing: Literal["length", "chunked", "close"] = "length") -> Lie:
    """Send fewer bytes than there are.

    "length": fewer than Content-Length says, then the connection ends; "chunked"
    and "close": the body ends in good order, and too early, which HTTP alone
    cannot tell.
    """

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        if not answer.ok:
            return answer
        left = max(0, len(answer.body) - by)
        if framing == "length":
            answer.cut = left
        else:
            answer.body, answer.framing = answer.body[:left], framing
        return answer

    return lie


def surplus(extra: bytes = b"more", framing: Literal["length", "chunked"] = "length") -> Lie:
    """Send more bytes than there are."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        if answer.ok:
            answer.body, answer.framing = answer.body + extra, framing
        return answer

    return lie


def gzipped() -> Lie:
    """Compress the body although nobody asked for it, as some proxies do."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        if answer.ok:
            answer.body = gzip.compress(answer.body, mtime=0)
            answer.headers["Content-Encoding"] = "gzip"
        return answer

    return lie


def flip_sent(at: int = 0, bit: int = 0) -> Lie:
    """Send the body with one bit changed; what is kept stays right."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        del exchange
        answer = await work()
        if answer.ok:
            answer.body = flipped(answer.body, at, bit)
        return answer

    return lie


# --- keeping


def corrupt(how: Literal["flip", "drop_last", "duplicate", "zero"] = "flip", at: int = 0) -> Lie:
    """Keep other bytes than came, behind an answer that says all is well.

    For PutObject, UploadPart and CompleteMultipartUpload. ETags and checksums stay
    those of what came. `at` is the byte that flips, counted from the end if negative;
    "duplicate" keeps the first half twice, "zero" as many zeros.
    """

    async def lie(exchange: Exchange, work: Work) -> Answer:
        answer = await work()
        kept = _kept(exchange) if answer.ok else None
        if kept is not None:
            half = len(kept.data) // 2
            kept.data = {
                "flip": lambda data: flipped(data, at, 0),
                "drop_last": lambda data: data[:-1],
                "duplicate": lambda data: data[:half] + data[: len(data) - half],
                "zero": lambda data: bytes(len(data)),
            }[how](kept.data)
        return answer

    return lie


def swap_parts(one: int, other: int) -> Lie:
    """Complete, with two parts in each other's place; numbers from 1."""

    async def lie(exchange: Exchange, work: Work) -> Answer:
        answer = await work()
        stored = exchange.shelf.buckets[exchange.bucket].get(exchange.key)
        if answer.ok and stored is not None and stored.part_sizes:
            pieces, start = [], 0
            for size in stored.part_sizes:
                pieces.append(stored.data[start : start + size])
                start += size
            pieces[one - 1], pieces[other - 1] = pieces[other - 1], pieces[one - 1]
            stored.data = b"".join(pieces)
        return answer

    return lie


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    """Return bytes with one bit changed; behind the end it is counted from the start again."""
    if not data:
        return data
    changed = bytearray(data)
    changed[at % len(data)] ^= 1 << bit
    return bytes(changed)


def _kept(exchange: Exchange) -> Stored | StoredPart | None:
    if exchange.operation == "UploadPart":
        upload = exchange.shelf.uploads.get(exchange.entry.upload_id or "")
        return upload.parts.get(exchange.entry.part or 0) if upload is not None else None
    return exchange.shelf.buckets[exchange.bucket].get(exchange.key)
