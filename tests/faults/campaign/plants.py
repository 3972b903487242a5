"""Bugs on purpose: each takes one defence away, so that the tests can be tested.

They live here and nowhere in the product: `with planted(["P08"]):` changes
functions for a while. A plant that no longer fits the product fails.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import backends.local.store
import backends.s3.parts
import backends.s3.store
import transfer.coordinator.access
import transfer.coordinator.app
import transfer.engine.transfer
import transfer.mover.aio
import transfer.mover.exchange
import transfer.mover.stall
import transfer.mover.threads
import transfer.review
from backends.partial_file import PartialFile
from backends.s3.parts import S3Parts
from transfer.coordinator.access import ANYBODY
from transfer.coordinator.requests import authenticated
from transfer.engine.keeping import Kept, trusted_parts
from transfer.engine.transfer import FileTransfer
from transfer.errors import ThrottledError, UnavailableError
from transfer.mover.exchange import Exchange
from transfer.mover.threads import ThreadMover
from transfer.planner import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from fastapi import FastAPI, Request


@dataclass(frozen=True)
class Plant:
    """A bug: what it is, what has to be replaced, and the test that finds it.

    Without a test of its own, schedules have to find it.
    """

    what: str
    changes: Callable[[], Sequence[tuple[Any, str, Any]]]
    test: str | None = None


# --- what is put in the place of what


def _no_digest() -> list[tuple[Any, str, Any]]:
    return [(backends.s3.store.S3Store, "checksumming", lambda self, intent: None)]


def _no_etag() -> list[tuple[Any, str, Any]]:
    compare = transfer.review._compare

    def careless(said: Any, found: Any) -> None:
        compare(said, replace(found, etag=said.etag) if found else found)

    return [(transfer.review, "_compare", careless)]


def _error_in_200_is_success() -> list[tuple[Any, str, Any]]:
    complete = S3Parts._complete

    async def careless(self: S3Parts, *arguments: Any) -> None:
        try:
            await complete(self, *arguments)
        except (UnavailableError, ThrottledError):
            return

    return [(S3Parts, "_complete", careless)]


def _gone_is_success() -> list[tuple[Any, str, Any]]:
    async def careless(self: S3Parts, upload: Any, error: Exception) -> Any:
        del error
        return await self._store.stat(upload.key)

    return [(S3Parts, "_find_own", careless)]


def _stream_used_again() -> list[tuple[Any, str, Any]]:
    """A retry goes on where the first attempt stopped reading."""

    async def careless(self: FileTransfer, parts: Any, upload: Any, part: Any) -> Any:
        opened = await self._open()
        used = 0

        async def attempt() -> Any:
            nonlocal used
            start = max(0, part.span.start - used)
            span = replace(part.span, start=start, stop=start + part.span.size)
            used += 1
            with self._tally(upload.algorithm) as tally:
                return await parts.send(upload, part, opened.source(span), tally)

        receipt = await self._try(f"part {part.number}", attempt)
        if self._kept is not None:
            await self._kept.note(receipt)
        return receipt

    return [(FileTransfer, "_send", careless)]


def _no_watchdog() -> list[tuple[Any, str, Any]]:
    return [(transfer.mover.stall.StallWatch, "_check", lambda self: None)]


def _whole_object_taken_for_a_range() -> list[tuple[Any, str, Any]]:
    check = transfer.mover.exchange.check_placement
    store = Exchange._store

    def careless(status: int, headers: Any, span: Any) -> None:
        if status != 200 or "content-range" in headers:
            check(status, headers, span)

    def cut(self: Exchange, head: Any, body: Any, sink: Any) -> None:
        span = self._request.span
        if span is None or head.status != 200:
            store(self, head, body, sink)
            return
        self._tally.restart()
        left, place = span.size, sink.span.start
        for piece in body.pieces(None):
            taken = bytes(piece[:left])
            os.pwrite(sink.fd, taken, place)
            self._tally.update(taken)
            left, place = left - len(taken), place + len(taken)

    return [
        (transfer.mover.exchange, "check_placement", careless),
        (Exchange, "_store", cut),
    ]


def _start_of_a_range_ignored() -> list[tuple[Any, str, Any]]:
    return [(transfer.mover.exchange, "check_placement", lambda status, headers, span: None)]


def _written_in_place() -> list[tuple[Any, str, Any]]:
    def create(self: PartialFile, size: int, *, no_clobber: bool, with_room: bool) -> None:
        del no_clobber, with_room
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
        os.ftruncate(fd, size)
        os.close(fd)

    return [
        (PartialFile, "temporary", property(lambda self: self.path)),
        (PartialFile, "create", create),
        (PartialFile, "remove", lambda self: self.notes.unlink(missing_ok=True)),
    ]


def _not_durable() -> list[tuple[Any, str, Any]]:
    init = backends.local.store.LocalStore.__init__

    def careless(self: Any, *arguments: Any, **more: Any) -> None:
        init(self, *arguments, **more)
        self.durable = False

    return [(backends.local.store.LocalStore, "__init__", careless)]


def _journal_believed() -> list[tuple[Any, str, Any]]:
    async def careless(self: Kept, *given: Any) -> Any:
        _, upload, noted, opened, algorithm = given
        local = self._pair.local_source
        return await trusted_parts(noted, upload, noted, opened, algorithm, local_source=local)

    return [(Kept, "_trusted", careless)]


def _part_size_worked_out_again() -> list[tuple[Any, str, Any]]:
    from transfer.machine import Machine

    created = Machine._created

    def careless(self: Machine, upload: Any, receipts: Any) -> None:
        size = self.plan.part_size
        created(self, upload, receipts)
        self.plan = Plan(self.plan.size, size)

    return [(Machine, "_created", careless)]


def _no_review() -> list[tuple[Any, str, Any]]:
    def careless(upload: Any, receipts: Any, listed: Any, expected: Any) -> Any:
        del upload, listed, expected
        return transfer.review.whole_checksum(receipts)

    return [(backends.s3.parts, "review", careless)]


def _abort_forgotten() -> list[tuple[Any, str, Any]]:
    close = FileTransfer.close

    async def careless(self: FileTransfer) -> None:
        self.machine.abort_error = None
        await close(self)

    return [(FileTransfer, "close", careless)]


def _clean_up_by_key() -> list[tuple[Any, str, Any]]:
    abort = S3Parts.abort

    async def careless(self: S3Parts, upload: Any) -> None:
        await abort(self, upload)
        await self._store.delete(upload.key)

    return [(S3Parts, "abort", careless)]


def _url_in_errors() -> list[tuple[Any, str, Any]]:
    modules = (transfer.mover.threads, transfer.mover.aio)
    return [(module, "redact", lambda url: url) for module in modules]


def _redirects_followed() -> list[tuple[Any, str, Any]]:
    exchange = ThreadMover.exchange

    async def careless(self: ThreadMover, request: Any, **more: Any) -> Any:
        answer = await exchange(self, request, **more)
        if 300 <= answer.status < 400 and "location" in answer.headers:
            there = replace(request, url=answer.headers["location"])
            return await exchange(self, there, **more)
        return answer

    return [(ThreadMover, "exchange", careless)]


def _source_unwatched() -> list[tuple[Any, str, Any]]:
    return [(backends.local.store.OpenFile, "_check", lambda self: None)]


def _prefix_without_slash() -> list[tuple[Any, str, Any]]:
    def careless(key: str, prefix: str) -> bool:
        return key.startswith(prefix.rstrip("/"))

    return [(transfer.coordinator.access, "within", careless)]


def _route_forgotten() -> list[tuple[Any, str, Any]]:
    make = transfer.coordinator.app.make_routes

    async def careless(request: Request) -> Any:
        return ANYBODY if "/mpu/" in request.url.path else await authenticated(request)

    def made() -> FastAPI:
        from fastapi import Request

        careless.__annotations__["request"] = Request
        app = make()
        app.dependency_overrides[authenticated] = careless
        return app

    return [(transfer.coordinator.app, "make_routes", made)]


_RESUME = "tests/faults/test_resume.py::test_"
_RULES = "tests/coordinator/test_authorisation.py::test_"
_STORE = "tests/faults/test_strict_engine.py::test_"

PLANTS = {
    "P01": Plant("no digest on a part", _no_digest),
    "P02": Plant(
        "ETags are not compared",
        _no_etag,
        "tests/unit/test_review.py::test_store_that_has_something_else",
    ),
    "P03": Plant("an error in a 200 of Complete is not read", _error_in_200_is_success),
    "P04": Plant("NoSuchUpload is success", _gone_is_success),
    "P05": Plant("a retry goes on in a used stream", _stream_used_again),
    "P06": Plant("nobody watches for progress", _no_watchdog),
    "P07": Plant("a 200 is taken for the range", _whole_object_taken_for_a_range),
    "P08": Plant("the start in Content-Range is ignored", _start_of_a_range_ignored),
    "P09": Plant("downloads are written in place", _written_in_place),
    "P10": Plant(
        "no fsync before the rename",
        _not_durable,
        "tests/faults/test_disk.py::test_bytes_are_on_the_disk_before_they_have_a_name",
    ),
    "P11": Plant(
        "resume believes the journal",
        _journal_believed,
        f"{_RESUME}parts_that_the_store_lost_are_sent_again",
    ),
    "P12": Plant(
        "the part size is worked out again",
        _part_size_worked_out_again,
        f"{_RESUME}the_part_size_of_the_first_run_stays",
    ),
    "P13": Plant(
        "no review before Complete",
        _no_review,
        f"{_STORE}what_the_store_has_lost_is_noticed_before_complete",
    ),
    "P14": Plant("an abort that failed is forgotten", _abort_forgotten),
    "P15": Plant("cleaning up deletes the key", _clean_up_by_key),
    "P16": Plant("signed URLs in errors", _url_in_errors),
    "P17": Plant("redirects are followed", _redirects_followed),
    "P18": Plant("a source that changes is not noticed", _source_unwatched),
    "P19": Plant(
        "prefixes are compared without their slash",
        _prefix_without_slash,
        f"{_RULES}a_token_reaches_whole_segments_below_its_prefix_only",
    ),
    "P20": Plant(
        "a route is left out of the authorisation",
        _route_forgotten,
        f"{_RULES}no_route_answers_without_credentials",
    ),
}


@contextmanager
def planted(names: Sequence[str]) -> Generator[None]:
    """Let bugs in while the block lasts."""
    with ExitStack() as stack:
        for name in names:
            for owner, attribute, replacement in PLANTS[name].changes():
                stack.enter_context(patch.object(owner, attribute, replacement))
        yield
