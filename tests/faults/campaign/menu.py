"""What can go wrong, by name: how often it is drawn, and what it is made of.

Left out is what nobody could notice: a store that keeps other bytes than it
confirmed to have got, and bits that flip between a client and its coordinator
without TLS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.faults.campaign.cheap import PART, STALL
from tests.faults.harness import lies, lies_about_content, network

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.faults.harness.network import AnyFault
    from tests.faults.harness.rules import Lie

CONTROL = ("CreateMultipartUpload", "ListParts", "CompleteMultipartUpload", "HeadObject")
PUSH = ("UploadPart", "UploadPart", "UploadPart", *CONTROL, "AbortMultipartUpload")
PULL = ("GetObject", "GetObject", "GetObject", "HeadObject")
ANY = {*PUSH, *PULL, "PutObject"}


def late(seconds: float) -> Lie:
    """Take a part, and keep it only when the client has long sent it again."""

    async def lie(exchange, work):
        await exchange.body.read()
        await exchange.store.clock.sleep(seconds)
        return await work()

    return lie


def elsewhere() -> Lie:
    """Send the client to the world's canary, whose address is known by then."""

    async def lie(exchange, work):
        return await lies.redirect(307, exchange.store.canary_url)(exchange, work)

    return lie


# name: how to make it, what it can be told about, how often it is drawn.
LIES: dict[str, tuple[Callable[[], Lie], set[str], int]] = {
    "500": (lambda: lies.refuse(500), ANY, 4),
    "502 html": (lambda: lies.html(502), ANY, 1),
    "503": (lambda: lies.refuse(503, "ServiceUnavailable"), ANY, 2),
    "slow down": (lambda: lies.slow_down("1"), ANY, 2),
    "slow down for ever": (lambda: lies.slow_down("1000000000"), ANY, 1),
    "slow down, soon": (lambda: lies.slow_down("soon"), ANY, 1),
    "429": (lambda: lies.refuse(429, "TooManyRequests", retry_after="date"), ANY, 1),
    "408": (lies.request_timeout, ANY, 1),
    "403": (lambda: lies.refuse(403, "AccessDenied"), ANY, 2),
    "400": (lambda: lies.refuse(400, "InvalidRequest"), ANY, 1),
    "404": (lambda: lies.refuse(404, "NoSuchUpload"), {"UploadPart", *CONTROL}, 2),
    "409": (lambda: lies.refuse(409, "ConditionalRequestConflict"), {"CompleteMultipartUpload"}, 1),
    "501": (lambda: lies.refuse(501, "NotImplemented"), {"CreateMultipartUpload"}, 1),
    "bad digest": (lambda: lies.refuse(400, "BadDigest"), {"UploadPart", "PutObject"}, 2),
    "expired": (lambda: lies.refuse(400, "ExpiredToken"), ANY, 1),
    "early 403": (lambda: lies.early(403, after=100), {"UploadPart", "PutObject"}, 1),
    "early 503, reset": (
        lambda: lies.early(503, "SlowDown", after=600, rst=True),
        {"UploadPart", "PutObject"},
        2,
    ),
    "redirect": (elsewhere, ANY, 1),
    "drop": (lies.drop, ANY, 3),
    "drop at once": (lambda: lies.drop(after=0), ANY, 2),
    "drop in order": (lambda: lies.drop(rst=False), ANY, 2),
    "hang": (lies.hang, ANY, 1),
    "slow": (lambda: lies.delay(0.01), ANY, 2),
    "late": (lambda: late(STALL * 1.3), {"UploadPart"}, 1),
    "whitespace": (lies.whitespace, {"CompleteMultipartUpload"}, 2),
    "lose answer": (lies.lose_answer, ANY, 6),
    "lose answer, reset": (lambda: lies.lose_answer(rst=True), ANY, 2),
    "deny": (lies.deny, {"CompleteMultipartUpload", "AbortMultipartUpload"}, 3),
    "deny 500": (lambda: lies.deny(500, "InternalError"), ANY, 3),
    "error in 200": (lies.error_in_200, {"CompleteMultipartUpload"}, 3),
    "error in 200, done": (lambda: lies.error_in_200(done=True), {"CompleteMultipartUpload"}, 2),
    "slow down in 200": (lambda: lies.error_in_200("SlowDown"), {"CompleteMultipartUpload"}, 1),
    "forget": (lies.forget, {"UploadPart", "CompleteMultipartUpload"}, 3),
    "no etag": (lambda: lies.etag("missing"), {"UploadPart", "CompleteMultipartUpload"}, 1),
    "weak etag": (lambda: lies.etag("weak"), {"UploadPart", "GetObject"}, 1),
    "bare etag": (lambda: lies.etag("unquoted"), {"UploadPart", "GetObject", "HeadObject"}, 1),
    "empty etag": (lambda: lies.etag("empty"), {"UploadPart", "CompleteMultipartUpload"}, 1),
    "other etag": (lambda: lies.etag("other"), {"UploadPart", "GetObject", "HeadObject"}, 1),
    "huge answer": (lies.huge_body, {"UploadPart", "CompleteMultipartUpload", "ListParts"}, 1),
    "broken xml": (lies.invalid_xml, {*CONTROL} - {"HeadObject"}, 1),
    "no utf-8": (lies.invalid_utf8, {*CONTROL} - {"HeadObject"}, 1),
    "page": (lies.html, {*CONTROL, "UploadPart", "GetObject"} - {"HeadObject"}, 1),
    "no http": (lambda: lies.raw(b"SSH-2.0-OpenSSH_9.2\r\n"), ANY, 1),
    "ignore range": (lies_about_content.ignore_range, {"GetObject"}, 9),
    "content-range shifted": (
        lambda: lies_about_content.content_range("shifted"),
        {"GetObject"},
        2,
    ),
    "content-range missing": (
        lambda: lies_about_content.content_range("missing"),
        {"GetObject"},
        1,
    ),
    "content-range other total": (
        lambda: lies_about_content.content_range("total"),
        {"GetObject"},
        1,
    ),
    "other range": (lies_about_content.other_range, {"GetObject"}, 6),
    "short": (lambda: lies_about_content.short(1, "length"), {"GetObject"}, 2),
    "short, chunked": (lambda: lies_about_content.short(7, "chunked"), {"GetObject"}, 2),
    "short, closed": (lambda: lies_about_content.short(700, "close"), {"GetObject"}, 2),
    "surplus": (lies_about_content.surplus, {"GetObject"}, 1),
    "surplus, chunked": (
        lambda: lies_about_content.surplus(framing="chunked"),
        {"GetObject"},
        1,
    ),
    "gzip": (lies_about_content.gzipped, {"GetObject"}, 1),
    "flip": (lambda: lies_about_content.flip_sent(9), {"GetObject"}, 3),
    "keep one byte less": (
        lambda: lies_about_content.corrupt("drop_last"),
        {"UploadPart", "CompleteMultipartUpload"},
        3,
    ),
}


# What somebody does to the source while it is read.
SOURCE = ("append", "truncate", "flip", "rewrite", "replace", "touch", "delete")
# What a machine does.
DISK = ("pwritev", "fsync", "replace", "write", "reserve")
# Where a process can die, besides at a request.
FAILPOINTS = (
    "journal.begin",
    "journal.note",
    "journal.touch",
    "journal.forget",
    "file.create",
    "file.note",
    "file.publish",
    "file.remove",
    "parts.create",
    "parts.complete",
)
_NETWORK = {
    "reset": 6,
    "close": 3,
    "flip": 4,
    "pause": 1,
    "drop last": 3,
    "duplicate": 2,
    "garbage": 1,
    "latency": 1,
    "slices": 1,
    "refused": 4,
    "blackhole": 1,
    "half open": 1,
}


def draw_fault(dice: random.Random, way: str, route: str, size: int) -> dict[str, Any]:
    """Return one fault's fields."""
    kinds = {"lie": 10, "net": 6, "front": 4 * (route == "coordinator"), "source": 1.5}
    kinds |= {"stop": 2, "kill": 1.2, "die": 0.8, "disk": 1, "outage": 1, "clock": 0.5}
    kind = dice.choices(list(kinds), list(kinds.values()))[0]
    on = _operation(dice, way, size)
    drawn: dict[str, Any] = {"kind": kind, "name": kind, "on": on, "nth": _nth(dice, on)}
    match kind:
        case "lie":
            return drawn | {"name": _lie(dice, on)}
        case "net" | "front":
            return _network(dice, kind, size)
        case "source":
            # A file of which one part is old and another new is what matters most.
            return drawn | {"name": dice.choice([*SOURCE, "rewrite", "rewrite", "rewrite"])}
        case "die":
            name = dice.choice(FAILPOINTS)
            when = dice.choice(["before", "after"])
            return {"kind": kind, "name": name, "nth": _nth(dice), "args": {"when": when}}
        case "disk":
            error = dice.choice(["ENOSPC", "EIO"])
            name = dice.choice(DISK)
            return {"kind": kind, "name": name, "nth": _nth(dice), "args": {"error": error}}
        case _:
            return drawn | {"args": {"when": dice.choice(["before", "after"])}}


def _operation(dice: random.Random, way: str, size: int) -> str:
    if way == "pull":
        return dice.choice(PULL)
    return dice.choice(PUSH if size > PART else ("PutObject", "PutObject", "HeadObject"))


def _nth(dice: random.Random, on: str = "") -> int:
    """Bytes come in many requests, control calls in one or two."""
    return min(9, 1 + int(dice.expovariate(0.5 if on in {"UploadPart", "GetObject"} else 1.6)))


def _lie(dice: random.Random, on: str) -> str:
    fitting = {name: weight for name, (_, about, weight) in LIES.items() if on in about}
    if on == "AbortMultipartUpload":
        # What is tried again succeeds in the end; a refusal is what leaves something behind.
        fitting["403"] *= 10
    return dice.choices(list(fitting), list(fitting.values()))[0]


def _network(dice: random.Random, kind: str, size: int) -> dict[str, Any]:
    choices = dict(_NETWORK)
    if kind == "front":
        del choices["flip"]
    name = dice.choices(list(choices), list(choices.values()))[0]
    args = {
        "at": dice.choice([0, 1, dice.randrange(1200), dice.randrange(1200 + min(size, 3 * PART))]),
        "way": dice.choice([network.REQUEST, network.RESPONSE]),
        "message": dice.choice([None, 1, 2, 3]),
    }
    return {
        "kind": kind,
        "name": name,
        "nth": min(12, 1 + int(dice.expovariate(0.4))),
        "args": args,
    }


def network_fault(name: str, at: int, way: network.Way, message: int | None) -> AnyFault:
    """Make the fault of a name."""
    placed = {
        "reset": network.Reset,
        "close": network.Close,
        "flip": network.Flip,
        "pause": network.Pause,
        "blackhole": network.Blackhole,
        "half open": network.HalfOpen,
    }
    if name in placed:
        return placed[name](at=at, way=way, message=message)
    number = message or 1
    return {
        "drop last": network.DropLast(way, number),
        "duplicate": network.Duplicate(way, number),
        "garbage": network.Duplicate(way, number, b"HTTP/1.1 200 OK\r\n\r\n"),
        "latency": network.Latency(0.005, way),
        "slices": network.Slices(97, way),
        "refused": network.Refused(),
    }[name]
