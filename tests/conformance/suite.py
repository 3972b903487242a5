"""What every store must do, written once against the contract.

A store's test class names a fixture `store` and inherits everything. What a
store's server is known not to do is named in `unable`, with the reason: these
tests are skipped in sight.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, ClassVar

import anyio
import pytest

from transfer.checksums import Algorithm
from transfer.errors import (
    ExistsError,
    IntegrityError,
    NotFoundError,
    SourceChangedError,
    StoreError,
    TemporaryError,
    TransferError,
)
from transfer.model import Expected, Intent, ObjectInfo, Part, Receipt, Span, Upload
from transfer.sources import BytesSink, BytesSource
from transfer.tally import Tally

if TYPE_CHECKING:
    from transfer.store import Parts, Sink, Store

NO_PARTS = "no multipart uploads"

AWKWARD = [
    "with space.bin",
    "100%.bin",
    "100%25.bin",
    "a%20b.bin",
    "c#d.bin",
    "what?.bin",
    "a+b=c&d.bin",
    "tilde~,;:@$!'()*.bin",
    "ünï-ço∂é-名前.bin",
    "e\u0301-decomposed.bin",
    "\u00e9-composed.bin",
    ".hidden",
    "...dots",
    "-rf",
    "star*[ab]{c}.bin",
    " spaces around ",
    "quote'\".bin",
    "deep/er/and/deep er/file",
    "x" * 200,
]


def content(size: int) -> bytes:
    """Random bytes."""
    return secrets.token_bytes(size)


async def put(store: Store, key: str, data: bytes, **intent: bool) -> ObjectInfo:
    """Store bytes in one go."""
    tally = Tally(Algorithm.CRC32C)
    return await store.put(key, BytesSource(data), Intent(len(data), **intent), tally)


async def get(store: Store, key: str, span: Span | None = None) -> bytes:
    """Read an object, or a range of it."""
    async with store.open(key) as opened:
        sink = BytesSink()
        tally = Tally()
        await opened.source(span or Span(0, opened.info.size)).pour(sink, tally)
        assert tally.moved == len(sink.data)
        return bytes(sink.data)


async def keys(store: Store, prefix: str) -> list[str]:
    """List all keys below a prefix."""
    found: list[str] = []
    token = None
    while True:
        page = await store.scan(prefix, token)
        found += [info.key for info in page.objects]
        token = page.token
        if token is None:
            return found


class BreakingSource:
    """A source that fails after its first bytes, or waits there for ever."""

    extent = None
    origin = None

    def __init__(self, size: int, *, hang: bool = False) -> None:
        self.size = size
        self._hang = hang
        self.begun = anyio.Event()

    async def pour(self, sink: Sink, tally: Tally) -> None:
        data = bytes(self.size // 2)
        tally.update(data)
        await sink.write(0, data)
        self.begun.set()
        if self._hang:
            await anyio.sleep_forever()
        raise SourceChangedError("the source broke, as it was told to")


class StoreConformance:
    """The tests; `room` gives each its own prefix in a store that others use too."""

    unable: ClassVar[dict[str, str]] = {}
    # Of the awkward names, those that the server cannot hold, with the reason.
    nameless: ClassVar[dict[str, str]] = {}
    # For the README's table: the store, the server, and where its version is found
    # (a distribution, or a command that prints it). Without a server, no row.
    shown: ClassVar[str] = ""
    against: ClassVar[str] = ""
    version_from: ClassVar[str | tuple[str, ...]] = ""
    # What this server does not stand for, as a sentence.
    unseen: ClassVar[str] = ""

    @pytest.fixture(autouse=True)
    def _skip_what_it_cannot_do(self, request: pytest.FixtureRequest) -> None:
        reason = self.unable.get(request.function.__name__.removeprefix("test_"))
        if reason is not None:
            pytest.skip(reason)

    @pytest.fixture
    def room(self) -> str:
        return f"room-{secrets.token_hex(6)}/"

    # --- whole objects

    @pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
    async def test_an_object_comes_back_as_it_was_put(self, store: Store, room: str, size: int):
        data = content(size)
        info = await put(store, room + "a.bin", data)
        assert info.size == size
        assert await get(store, room + "a.bin") == data

    async def test_objects_come_at_once_to_folders_that_are_not_there(
        self, store: Store, room: str
    ):
        async def put_it(key: str) -> None:
            try:
                await put(store, key, key.encode())
            except TemporaryError:  # rclone's S3 says 500 to one of two that make a folder
                await put(store, key, key.encode())

        keys = [f"{room}{number // 6}/a folder/{number}" for number in range(24)]
        async with anyio.create_task_group() as group:
            for key in keys:
                group.start_soon(put_it, key)
        for key in keys:
            assert await get(store, key) == key.encode()

    async def test_stat_says_what_was_put(self, store: Store, room: str):
        await put(store, room + "a.bin", b"12345")
        info = await store.stat(room + "a.bin")
        assert (info.key, info.size) == (room + "a.bin", 5)

    @pytest.mark.parametrize(
        "span", [Span(0, 1), Span(0, 4000), Span(1000, 1001), Span(3999, 4000)]
    )
    async def test_a_range_is_that_slice(self, store: Store, room: str, span: Span):
        data = content(4000)
        await put(store, room + "a.bin", data)
        assert await get(store, room + "a.bin", span) == data[span.start : span.stop]

    async def test_putting_again_replaces(self, store: Store, room: str):
        await put(store, room + "a", b"old and long")
        await put(store, room + "a", b"new")
        assert await get(store, room + "a") == b"new"

    async def test_what_is_not_there_is_not_found(self, store: Store, room: str):
        with pytest.raises(NotFoundError):
            await store.stat(room + "nothing")
        with pytest.raises(NotFoundError):
            await get(store, room + "nothing", Span(0, 1))

    async def test_deleting_is_done_once_and_may_be_asked_twice(self, store: Store, room: str):
        await put(store, room + "a", b"x")
        await store.delete(room + "a")
        await store.delete(room + "a")
        with pytest.raises(NotFoundError):
            await store.stat(room + "a")

    @pytest.mark.parametrize("name", AWKWARD)
    async def test_awkward_names_are_names(self, store: Store, room: str, name: str):
        if name in self.nameless:
            pytest.skip(self.nameless[name])
        data = name.encode()
        await put(store, room + name, data)
        assert await get(store, room + name) == data
        assert await keys(store, room) == [room + name]

    async def test_no_clobber_refuses_to_replace(self, store: Store, room: str):
        await put(store, room + "a", b"old")
        with pytest.raises(ExistsError):
            await put(store, room + "a", b"new", no_clobber=True)
        assert await get(store, room + "a") == b"old"

    async def test_a_put_that_breaks_leaves_the_old_object(self, store: Store, room: str):
        await put(store, room + "a", b"old")
        with pytest.raises(TransferError):
            await store.put(room + "a", BreakingSource(400_000), Intent(400_000), Tally())
        assert await get(store, room + "a") == b"old"
        assert await keys(store, room) == [room + "a"]

    async def test_a_put_that_is_cancelled_leaves_nothing(self, store: Store, room: str):
        source = BreakingSource(400_000, hang=True)
        async with anyio.create_task_group() as group:
            group.start_soon(store.put, room + "a", source, Intent(400_000), Tally())
            with anyio.fail_after(30):
                await source.begun.wait()
            group.cancel_scope.cancel()
        assert await keys(store, room) == []

    async def test_an_object_replaced_while_read_is_noticed(self, store: Store, room: str):
        await put(store, room + "a", content(10_000))
        async with store.open(room + "a") as opened:
            await opened.source(Span(0, 100)).pour(BytesSink(), Tally())
            await asyncio.sleep(1.1)  # noqa: TID251 - some servers keep whole seconds
            await put(store, room + "a", content(10_000))
            with pytest.raises(SourceChangedError):
                await opened.source(Span(100, 200)).pour(BytesSink(), Tally())

    # --- listing

    async def test_scan_lists_what_is_below_the_prefix(self, store: Store, room: str):
        for name in ("b", "a", "dir/c", "dir/er/d"):
            await put(store, room + name, name.encode())
        await put(store, room[:-1] + "-not-in-it", b"x")
        assert sorted(await keys(store, room)) == [
            room + name for name in ("a", "b", "dir/c", "dir/er/d")
        ]
        assert await keys(store, room + "dir/er/") == [room + "dir/er/d"]
        assert await keys(store, room + "nowhere/") == []

    async def test_scan_can_sum_up_folders(self, store: Store, room: str):
        for name in ("b", "dir/c", "dir/er/d"):
            await put(store, room + name, b"12")
        page = await store.scan(room, folders=True)
        assert [(info.key, info.size) for info in page.objects] == [(room + "b", 2)]
        assert page.folders == (room + "dir/",)

    async def test_scan_goes_on_over_pages(self, store: Store, room: str):
        names = [f"{room}{number:04}" for number in range(1050)]
        limiter = anyio.Semaphore(32)

        async def one(name: str) -> None:
            async with limiter:
                try:
                    await put(store, name, b"")
                except TemporaryError:  # rclone says so while it makes a folder for many at once
                    await put(store, name, b"")

        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(one, name)
        assert await keys(store, room) == names

    # --- parts

    @pytest.fixture
    def parts(self, store: Store) -> Parts:
        if store.parts is None:
            pytest.skip(NO_PARTS)
        return store.parts

    async def open(self, parts: Parts, key: str, count: int) -> tuple[Upload, list[bytes]]:
        """Open an upload of so many parts, the last one short; return it with their content."""
        part_size = max(parts.limits.min_size, 1000)
        cut = [content(part_size) for _ in range(count - 1)] + [content(part_size // 3)]
        upload = await parts.create(key, Intent(sum(map(len, cut)), part_size))
        return upload, cut

    async def send(self, parts: Parts, upload: Upload, number: int, data: bytes) -> Receipt:
        assert upload.part_size is not None
        start = (number - 1) * upload.part_size
        part = Part(number, Span(start, start + len(data)))
        return await parts.send(upload, part, BytesSource(data), Tally(Algorithm.CRC32C))

    async def test_parts_in_order(self, store: Store, parts: Parts, room: str):
        upload, cut = await self.open(parts, room + "a", 3)
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        info = await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert info.size == sum(map(len, cut))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_parts_in_any_order_and_at_once(self, store: Store, parts: Parts, room: str):
        upload, cut = await self.open(parts, room + "a", 4)
        receipts: dict[int, Receipt] = {}

        async def one(number: int) -> None:
            receipts[number] = await self.send(parts, upload, number, cut[number - 1])

        async with anyio.create_task_group() as group:
            for number in (4, 2, 3, 1):
                group.start_soon(one, number)
        wanted = [receipts[number] for number in sorted(receipts)]
        await parts.complete(upload, wanted, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_a_part_sent_again_replaces_the_first(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        await self.send(parts, upload, 1, content(len(cut[0])))
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_sent_lists_the_parts_that_are_there(self, parts: Parts, room: str):
        upload, cut = await self.open(parts, room + "a", 3)
        for number in (1, 2):
            await self.send(parts, upload, number, cut[number - 1])
        listed = await parts.sent(upload)
        assert [(r.number, r.size) for r in listed] == [(1, len(cut[0])), (2, len(cut[1]))]
        await parts.abort(upload)

    async def test_an_upload_shows_nothing_before_it_is_complete(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        await self.send(parts, upload, 1, cut[0])
        assert await keys(store, room) == []
        with pytest.raises(NotFoundError):
            await store.stat(room + "a")
        await parts.abort(upload)

    async def test_a_part_that_is_cancelled_is_not_there(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        size = len(cut[0])
        source, part = BreakingSource(size, hang=True), Part(1, Span(0, size))
        # It comes again as it began: there are servers that take no other content.
        cut[0] = bytes(size // 2) + cut[0][size // 2 :]
        async with anyio.create_task_group() as group:
            group.start_soon(parts.send, upload, part, source, Tally(Algorithm.CRC32C))
            with anyio.fail_after(30):
                await source.begun.wait()
            group.cancel_scope.cancel()
        assert await parts.sent(upload) == []
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_aborting_may_be_asked_twice_and_ends_it(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        await self.send(parts, upload, 1, cut[0])
        await parts.abort(upload)
        await parts.abort(upload)
        with pytest.raises(StoreError):
            await self.send(parts, upload, 2, cut[1])
        assert await keys(store, room) == []

    async def test_a_missing_part_is_no_object(self, store: Store, parts: Parts, room: str):
        upload, cut = await self.open(parts, room + "a", 3)
        receipts = [await self.send(parts, upload, n, cut[n - 1]) for n in (1, 3)]
        with pytest.raises(TransferError):
            await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await keys(store, room) == []
        await parts.abort(upload)

    async def test_a_part_that_is_not_the_one_sent_is_no_object(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        wrong = Receipt(1, receipts[0].size, '"0123456789abcdef0123456789abcdef"')
        with pytest.raises((IntegrityError, StoreError)):
            await parts.complete(upload, [wrong, receipts[1]], Expected(sum(map(len, cut))))
        assert await keys(store, room) == []
        await parts.abort(upload)

    async def test_an_upload_does_not_touch_the_object_it_will_replace(
        self, store: Store, parts: Parts, room: str
    ):
        await put(store, room + "a", b"old")
        upload, cut = await self.open(parts, room + "a", 2)
        await self.send(parts, upload, 1, cut[0])
        assert await get(store, room + "a") == b"old"
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        assert await get(store, room + "a") == b"old"
        await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert await get(store, room + "a") == b"".join(cut)

    async def test_completing_twice_ends_with_the_object(
        self, store: Store, parts: Parts, room: str
    ):
        upload, cut = await self.open(parts, room + "a", 2)
        receipts = [await self.send(parts, upload, n, data) for n, data in enumerate(cut, 1)]
        first = await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        second = await parts.complete(upload, receipts, Expected(sum(map(len, cut))))
        assert (first.size, first.version) == (second.size, second.version)
        assert await get(store, room + "a") == b"".join(cut)

    async def test_an_upload_nobody_opened_is_gone(self, parts: Parts, room: str):
        upload, _ = await self.open(parts, room + "a", 2)
        await parts.abort(upload)
        foreign = Upload(room + "a", upload.id[:-4] + "0000", upload.size, upload.part_size)
        with pytest.raises(StoreError):
            await parts.sent(foreign)
