"""The coordinator's own API on a folder: sessions, receipts, reads, puts, listings."""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.coordinator.inside import (
    MLFLOW,
    OWN,
    SigningStore,
    files_below,
    inside,
    local,
    new_upload,
)
from transfer.checksums import Algorithm, checksum_of
from transfer.coordinator.database import UPLOADS
from transfer.errors import UnavailableError
from transfer.model import PartLimits
from transfer.settings import Settings

if TYPE_CHECKING:
    from tests.coordinator.inside import Asker

DATA = b"0123456789"
CUT = [DATA[:4], DATA[4:8], DATA[8:]]


def crc(data: bytes) -> str:
    return str(checksum_of(Algorithm.CRC32C, data))


async def opened(ask: Asker, key: str = "team/x", **more: object) -> dict[str, Any]:
    answer = await ask.post(f"{OWN}/uploads", new_upload(key, **more))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def signed(ask: Asker, upload: dict[str, Any], *numbers: int) -> list[dict[str, Any]]:
    message = {"epoch": upload["epoch"], "numbers": list(numbers)}
    answer = await ask.post(f"{OWN}/uploads/{upload['id']}/urls", message)
    assert answer.status_code == 200, answer.text
    return [part["request"] for part in answer.json()["parts"]]


async def sent(ask: Asker, upload: dict[str, Any], number: int, data: bytes) -> dict[str, object]:
    """Send a part, and return the receipt that its sender reports."""
    (request,) = await signed(ask, upload, number)
    answer = await ask.put(local(request["url"]), data)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-transfer-checksum"] == crc(data)
    etag = answer.headers["etag"]
    return {"number": number, "size": len(data), "etag": etag, "checksum": crc(data)}


async def all_sent(ask: Asker, upload: dict[str, Any]) -> list[dict[str, object]]:
    return [await sent(ask, upload, number, data) for number, data in enumerate(CUT, 1)]


async def about(ask: Asker, upload: dict[str, Any], verb: str, **more: object):
    message = {"epoch": upload["epoch"]} | more
    return await ask.post(f"{OWN}/uploads/{upload['id']}/{verb}", message)


# --- opening


async def test_what_an_upload_is(ask, objects):
    message = new_upload("team/x", content_type="text/plain", metadata={"a": "b"})
    answer = await ask.post(f"{OWN}/uploads", message)
    found = answer.json()
    known = {"key": "team/x", "size": 10, "part_size": 4, "epoch": 1, "algorithm": None}
    assert found == {"id": found["id"], **known}
    assert len(found["id"]) == 32
    assert (await ask.get(f"{OWN}/uploads/{found['id']}")).json() == found
    assert files_below(objects).values() != {}


async def test_the_same_request_again_is_the_same_upload(ask, folder, objects):
    message = new_upload("team/x")
    first = (await ask.post(f"{OWN}/uploads", message)).json()
    assert (await ask.post(f"{OWN}/uploads", message)).json() == first
    assert len(list((objects / "team").iterdir())) == 1
    assert await folder.coordinator.uploads.count_open() == 1


async def test_the_same_request_at_the_same_time_is_one_upload(ask, folder, objects):
    message = new_upload("team/x")
    found = []

    async def ask_for_it():
        found.append((await ask.post(f"{OWN}/uploads", message)).json())

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(ask_for_it)
    assert len({upload["id"] for upload in found}) == 1
    # Those that were too late have taken back what they had opened in the store.
    assert len(list((objects / "team").iterdir())) == 1
    assert await folder.coordinator.uploads.count_open() == 1


@pytest.mark.parametrize("change", [{"key": "team/y"}, {"size": 9}, {"part_size": 5}])
async def test_a_request_id_names_one_request(ask, change):
    message = new_upload("team/x")
    await ask.post(f"{OWN}/uploads", message)
    answer = await ask.post(f"{OWN}/uploads", message | change)
    assert answer.status_code == 400
    assert answer.json()["code"] == "rejected"


async def test_an_upload_that_the_store_refuses_leaves_nothing(ask, folder, objects):
    (objects / "team").mkdir()
    (objects / "team" / "x").write_bytes(b"old")
    (objects / "link").symlink_to("/")
    for message, status in (
        (new_upload("team/x", no_clobber=True), 412),
        (new_upload("link/x"), 400),
        (new_upload("team"), 400),
        (new_upload("team/x/below"), 400),
        (new_upload("team/huge", size=2**60, part_size=2**45), 507),
    ):
        answer = await ask.post(f"{OWN}/uploads", message)
        assert answer.status_code == status
    assert await folder.coordinator.uploads.count_open() == 0
    async with folder.coordinator.database.reading() as connection:
        assert (await connection.execute(UPLOADS.select())).all() == []
    assert files_below(objects) == {"team/x": b"old"}


async def test_a_name_that_no_file_can_have_is_refused(ask, folder):
    for answer in (
        await ask.post(f"{OWN}/uploads", new_upload("n" * 300)),
        await ask.put(f"{MLFLOW}/artifacts/{'n' * 300}", b"1"),
        await ask.get(f"{OWN}/objects/{'n' * 300}"),
    ):
        assert answer.status_code in {400, 404}
    assert await folder.coordinator.uploads.count_open() == 0


async def test_a_full_disk_is_507_and_does_not_say_where(ask, tmp_path):
    answer = await ask.post(f"{OWN}/uploads", new_upload("x", size=2**60, part_size=2**45))
    assert answer.status_code == 507
    assert answer.json()["code"] == "disk_full"
    assert str(tmp_path) not in answer.text


async def test_after_a_failure_the_same_request_works(ask, folder, monkeypatch):
    create = folder.store.parts.create
    failures = [UnavailableError("not now")]

    async def sometimes(*args):
        if failures:
            raise failures.pop()
        return await create(*args)

    monkeypatch.setattr(folder.store.parts, "create", sometimes)
    message = new_upload("x")
    assert (await ask.post(f"{OWN}/uploads", message)).status_code == 503
    assert (await ask.post(f"{OWN}/uploads", message)).status_code == 200


LIMITS = PartLimits(min_size=5, max_size=50, max_count=10, max_object=200, granularity=5)


@pytest.mark.parametrize(
    ("size", "part_size", "status"),
    [
        (100, 10, 200),
        (1, 5, 200),
        (0, 5, 200),
        (51, 5, 400),
        (100, 4, 400),
        (100, 12, 400),
        (200, 55, 400),
        (201, 50, 400),
        (2**63, 50, 400),
        (10**30, 50, 400),
        (100, 10**30, 400),
        (100, 0, 400),
        (100, -1, 400),
        (-1, 10, 400),
    ],
)
async def test_sizes_are_held_against_the_limits(tmp_path, monkeypatch, size, part_size, status):
    store = SigningStore()
    monkeypatch.setattr(store.parts, "limits", LIMITS)
    async with inside(tmp_path, store) as running:
        ask = await running.asker()
        limits = (await ask.get(f"{OWN}/capabilities")).json()["limits"]
        assert limits == {
            "min_size": 5,
            "max_size": 50,
            "max_count": 10,
            "max_object": 200,
            "granularity": 5,
        }
        answer = await ask.post(f"{OWN}/uploads", new_upload("x", size, part_size))
        assert answer.status_code == status
        assert len(store.parts.created) == (status == 200)


async def test_capabilities_without_multipart(tmp_path):
    async with inside(tmp_path, SigningStore(), Settings(enable_upload=False)) as running:
        ask = await running.asker()
        assert (await ask.get(f"{OWN}/capabilities")).json()["limits"] is None
        answer = await ask.post(f"{OWN}/uploads", new_upload("x"))
        assert (answer.status_code, answer.json()["code"]) == (501, "unsupported")


# --- URLs


async def test_urls_come_in_the_order_they_were_asked_for(ask):
    upload = await opened(ask)
    message = {"epoch": 1, "numbers": [3, 1, 2, 1]}
    answer = (await ask.post(f"{OWN}/uploads/{upload['id']}/urls", message)).json()
    assert [part["number"] for part in answer["parts"]] == [3, 1, 2, 1]
    for part in answer["parts"]:
        request = part["request"]
        assert request["method"] == "PUT"
        assert f"/parts/{part['number']}?" in request["url"]
        assert request["url"].startswith("http://127.0.0.1:5500/")
        assert request["expires_in"] == 900.0


@pytest.mark.parametrize(
    "numbers",
    [
        [0],
        [-1],
        [4],
        [1, 4],
        [10_001],
        [10**6],
        [10**6 + 1],
        [2**63],
        [],
        [1.5],
        ["1"],
        [None],
        [True],
    ],
    ids=str,
)
async def test_numbers_that_are_no_parts(ask, numbers):
    upload = await opened(ask)
    answer = await about(ask, upload, "urls", numbers=numbers)
    assert answer.status_code == 400
    # The client would take "unsupported" for a store without multipart.
    assert answer.json()["code"] == "rejected"


async def test_a_batch_has_an_end(ask):
    upload = await opened(ask)
    assert (await about(ask, upload, "urls", numbers=[1] * 1000)).status_code == 200
    assert (await about(ask, upload, "urls", numbers=[1] * 1001)).status_code == 400


async def test_receipts_may_come_with_the_next_request_for_urls(ask):
    upload = await opened(ask)
    receipt = await sent(ask, upload, 1, CUT[0])
    answer = await about(ask, upload, "urls", numbers=[2], receipts=[receipt])
    assert answer.status_code == 200
    receipts = [await sent(ask, upload, number, CUT[number - 1]) for number in (2, 3)]
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert answer.status_code == 200


# --- receipts and the list of parts


async def test_receipts_are_kept_until_complete(ask, objects):
    upload = await opened(ask)
    for receipt in await all_sent(ask, upload):
        answer = await about(ask, upload, "receipts", receipts=[receipt])
        assert answer.json()["id"] == upload["id"]
    answer = await about(ask, upload, "complete", size=10)
    assert (answer.status_code, answer.json()["checksum"]) == (200, crc(DATA))
    assert files_below(objects) == {"team/x": DATA}


@pytest.mark.parametrize(
    "change",
    [
        {"number": 4},
        {"number": 0},
        {"number": 10**6},
        {"size": 3},
        {"size": 0},
        {"size": 2**63},
        {"size": 10**30},
        {"size": -1},
        {"size": 1.5},
        {"etag": "x" * 1025},
        {"etag": None},
        {"checksum": "crc32c:AAAA"},
        {"checksum": "nothing:AAAAAA=="},
        {"checksum": "crc32c:\u00e4"},
        {"checksum": 5},
        {"more": 1},
    ],
    ids=str,
)
async def test_receipts_that_cannot_be_are_refused(ask, change):
    upload = await opened(ask)
    receipt = await sent(ask, upload, 1, CUT[0]) | change
    answer = await about(ask, upload, "receipts", receipts=[receipt])
    assert (answer.status_code, answer.json()["code"]) == (400, "rejected")
    answer = await about(ask, upload, "urls", numbers=[2], receipts=[receipt])
    assert answer.status_code == 400


async def test_a_later_receipt_replaces_an_earlier_one(ask, objects):
    upload = await opened(ask)
    await about(ask, upload, "receipts", receipts=[await sent(ask, upload, 1, b"XXXX")])
    await about(ask, upload, "receipts", receipts=await all_sent(ask, upload))
    answer = await about(ask, upload, "complete", size=10)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


async def test_a_part_is_named_once_in_a_message(ask):
    upload = await opened(ask)
    receipt = await sent(ask, upload, 1, CUT[0])
    for verb, more in (("receipts", {}), ("urls", {"numbers": [2]})):
        answer = await about(ask, upload, verb, receipts=[receipt, receipt], **more)
        assert (answer.status_code, answer.json()["code"]) == (400, "rejected")
        assert "part 1 is named twice" in answer.json()["detail"]


async def test_the_list_is_the_stores_own(ask):
    upload = await opened(ask)
    url = f"{OWN}/uploads/{upload['id']}/parts"
    assert (await ask.get(url)).json() == {"parts": []}
    # What was only claimed is not there.
    claimed = {"number": 3, "size": 2, "etag": '"claimed"', "checksum": crc(b"89")}
    await about(ask, upload, "receipts", receipts=[claimed])
    receipt = await sent(ask, upload, 2, CUT[1])
    assert (await ask.get(url)).json() == {"parts": [receipt]}


async def test_a_checksum_is_told_with_the_part_it_was_reported_for(ask_signing, signing):
    from transfer.model import Part, Span  # noqa: PLC0415

    upload = await opened(ask_signing)
    (created,) = signing.store.parts.created
    receipt = await signing.store.send(created, Part(1, Span(0, 4)), CUT[0])
    said = {"number": 1, "size": 4, "etag": receipt.etag, "checksum": crc(CUT[0])}
    await about(ask_signing, upload, "receipts", receipts=[said])
    url = f"{OWN}/uploads/{upload['id']}/parts"
    assert (await ask_signing.get(url)).json()["parts"] == [said]
    again = await signing.store.send(created, Part(1, Span(0, 4)), b"XXXX")
    listed = (await ask_signing.get(url)).json()["parts"]
    assert listed == [{"number": 1, "size": 4, "etag": again.etag, "checksum": crc(b"XXXX")}]


# --- complete


async def test_complete_is_the_object_and_the_same_again(ask, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    answers = [
        await about(ask, upload, "complete", size=10, receipts=receipts, checksum=crc(DATA))
        for _ in range(2)
    ]
    # An answer that was lost: the receipts need not be repeated.
    answers.append(await about(ask, upload, "complete", size=10))
    assert {answer.status_code for answer in answers} == {200}
    first, *others = [answer.json() for answer in answers]
    assert first == {
        "key": "team/x",
        "size": 10,
        "version": first["version"],
        "modified": first["modified"],
        "checksum": crc(DATA),
        "content_type": None,
    }
    assert others == [first, first]
    assert files_below(objects) == {"team/x": DATA}
    assert (await ask.get(f"{OWN}/objects/team/x")).json() == first


async def test_a_hash_that_does_not_follow_from_the_parts_is_proved_too(ask, objects):
    upload = await opened(ask)
    receipts = [receipt | {"checksum": None} for receipt in await all_sent(ask, upload)]
    sha256 = str(checksum_of(Algorithm.SHA256, DATA))
    wrong = str(checksum_of(Algorithm.SHA256, b""))
    message = {"size": 10, "receipts": receipts}
    answer = await about(ask, upload, "complete", checksum=wrong, **message)
    assert (answer.status_code, answer.json()["code"]) == (409, "integrity")
    answer = await about(ask, upload, "complete", checksum=sha256, **message)
    assert (answer.status_code, answer.json()["checksum"]) == (200, sha256)
    assert (await ask.get(f"{OWN}/objects/team/x")).json()["checksum"] == sha256


async def test_complete_at_the_same_time_is_done_once(ask, folder, objects, monkeypatch):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    calls = []
    complete = folder.store.parts.complete

    async def counted(*args):
        calls.append(args)
        await anyio.sleep(0.01)
        return await complete(*args)

    monkeypatch.setattr(folder.store.parts, "complete", counted)
    found = []

    async def ask_for_it():
        found.append(await about(ask, upload, "complete", size=10, receipts=receipts))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask_for_it)
    assert {answer.status_code for answer in found} == {200}
    assert len({answer.text for answer in found}) == 1
    assert len(calls) == 1
    assert folder.coordinator.uploads._locks == {}
    assert files_below(objects) == {"team/x": DATA}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda receipts: {"checksum": crc(b"other")}, 409),
        (lambda receipts: {"size": 11}, 409),
        (lambda receipts: {"size": 0}, 409),
        (lambda receipts: {"receipts": receipts[:2]}, 400),
        (lambda receipts: {"receipts": []}, 400),
        (lambda receipts: {"receipts": [*receipts, receipts[0] | {"number": 4}]}, 400),
        (lambda receipts: {"receipts": [*receipts[:2], receipts[2] | {"etag": '"x"'}]}, 409),
        (lambda receipts: {"receipts": [*receipts[:2], receipts[2] | {"size": 1}]}, 409),
        (lambda receipts: {"receipts": [*receipts[:2], receipts[2] | {"checksum": crc(b"")}]}, 409),
        (
            lambda receipts: {
                "receipts": [*receipts[:2], receipts[2] | {"checksum": "crc32:AAAAAA=="}]
            },
            400,
        ),
        (
            lambda receipts: {
                "receipts": [receipts[0] | {"checksum": "crc32:AAAAAA=="}, *receipts[1:]]
            },
            400,
        ),
    ],
)
async def test_a_complete_that_does_not_hold_is_refused_and_the_upload_goes_on(
    ask, folder, objects, change, status
):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    message = {"size": 10, "receipts": receipts}
    answer = await about(ask, upload, "complete", **(message | change(receipts)))
    assert answer.status_code == status
    assert "team/x" not in files_below(objects)
    assert folder.coordinator.uploads._locks == {}
    assert (await ask.get(f"{OWN}/uploads/{upload['id']}")).status_code == 200
    answer = await about(ask, upload, "complete", **message)
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": DATA}


async def test_no_clobber_holds_until_the_end(ask, objects):
    upload = await opened(ask, no_clobber=True)
    receipts = await all_sent(ask, upload)
    (objects / "team" / "x").write_bytes(b"came between")
    answer = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert (answer.status_code, answer.json()["code"]) == (412, "exists")
    assert (objects / "team" / "x").read_bytes() == b"came between"


async def test_an_empty_object_has_one_empty_part(ask, objects):
    upload = await opened(ask, size=0)
    receipt = await sent(ask, upload, 1, b"")
    answer = await about(ask, upload, "complete", size=0, receipts=[receipt])
    assert answer.status_code == 200
    assert files_below(objects) == {"team/x": b""}


@pytest.mark.parametrize("by", ["task", "scope"])
async def test_complete_that_is_cancelled_is_written_down(ask, folder, objects, monkeypatch, by):
    """Ctrl-C ends the server's tasks, not the thread that puts the file in its place."""
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    published, original = anyio.Event(), folder.store.parts.complete

    async def complete(*args):
        info = await original(*args)
        published.set()
        await anyio.sleep(0.05)
        return info

    monkeypatch.setattr(folder.store.parts, "complete", complete)
    message = {"size": 10, "receipts": receipts}
    if by == "task":
        task = asyncio.ensure_future(about(ask, upload, "complete", **message))
        await published.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(about, ask, upload, "complete", **message))
            await published.wait()
            group.cancel_scope.cancel()
    assert files_below(objects) == {"team/x": DATA}
    again = await about(ask, upload, "complete", **message)
    assert (again.status_code, again.json()["size"]) == (200, 10)
    assert (await ask.get(f"{OWN}/objects/team/x")).json()["checksum"] == crc(DATA)


# --- abort and epochs


async def test_abort_ends_it_and_may_be_asked_twice(ask, folder, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    for _ in range(2):
        answer = await about(ask, upload, "abort")
        assert (answer.status_code, answer.json()) == (200, {})
    assert files_below(objects) == {}
    for verb, more in (
        ("urls", {"numbers": [1]}),
        ("receipts", {"receipts": receipts}),
        ("complete", {"size": 10, "receipts": receipts}),
    ):
        answer = await about(ask, upload, verb, **more)
        assert (answer.status_code, answer.json()["code"]) == (404, "upload_gone")
    assert (await ask.get(f"{OWN}/uploads/{upload['id']}/parts")).status_code == 404
    assert await folder.coordinator.uploads.count_open() == 0


async def test_an_abort_that_failed_is_done_by_the_next(ask, folder, objects, monkeypatch):
    upload = await opened(ask)
    remove = folder.store.parts.abort
    failures = [UnavailableError("not now")]

    async def sometimes(*args):
        if failures:
            raise failures.pop()
        return await remove(*args)

    monkeypatch.setattr(folder.store.parts, "abort", sometimes)
    assert (await about(ask, upload, "abort")).status_code == 503
    # What is half given up takes no parts any more.
    assert (await about(ask, upload, "urls", numbers=[1])).status_code == 404
    assert await folder.coordinator.uploads.count_open() == 1
    assert (await about(ask, upload, "abort")).status_code == 200
    assert await folder.coordinator.uploads.count_open() == 0
    assert files_below(objects) == {}


async def test_an_abort_after_complete_takes_nothing_away(ask, objects):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    done = await about(ask, upload, "complete", size=10, receipts=receipts)
    assert (await about(ask, upload, "abort")).status_code == 200
    again = await about(ask, upload, "complete", size=10)
    assert again.json() == done.json()
    assert files_below(objects) == {"team/x": DATA}


async def test_an_abort_waits_for_a_complete_that_is_under_way(ask, folder, objects, monkeypatch):
    """MLflow's clients abort whatever raised, also a Complete that only took too long."""
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    begun, may_end = anyio.Event(), anyio.Event()
    complete = folder.store.parts.complete

    async def slow(*args):
        begun.set()
        await may_end.wait()
        return await complete(*args)

    monkeypatch.setattr(folder.store.parts, "complete", slow)
    found = {}

    async def ask_for(verb, **more):
        found[verb] = await about(ask, upload, verb, **more)

    async with anyio.create_task_group() as group:
        group.start_soon(partial(ask_for, "complete", size=10, receipts=receipts))
        await begun.wait()
        group.start_soon(ask_for, "abort")
        await anyio.sleep(0.05)
        assert found == {}
        may_end.set()
    assert {verb: answer.status_code for verb, answer in found.items()} == {
        "complete": 200,
        "abort": 200,
    }
    again = await about(ask, upload, "complete", size=10)
    assert again.json() == found["complete"].json()
    assert files_below(objects) == {"team/x": DATA}


@pytest.mark.parametrize("epoch", [0, 2, -1, 10**30])
async def test_another_epoch_is_somebody_elses(ask, objects, epoch):
    upload = await opened(ask)
    receipts = await all_sent(ask, upload)
    stale = upload | {"epoch": epoch}
    for verb, more in (
        ("urls", {"numbers": [1]}),
        ("receipts", {"receipts": receipts}),
        ("complete", {"size": 10, "receipts": receipts}),
        ("abort", {}),
    ):
        answer = await about(ask, stale, verb, **more)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition")
    assert (await about(ask, upload, "complete", size=10, receipts=receipts)).status_code == 200


# --- reading


async def test_a_read_is_a_signed_get(ask, objects):
    (objects / "x").write_bytes(DATA)
    answer = (await ask.post(f"{OWN}/reads", {"key": "x"})).json()
    assert (answer["object"]["key"], answer["object"]["size"]) == ("x", 10)
    request = answer["request"]
    assert (request["method"], request["headers"]) == ("GET", {})
    whole = await ask.get(local(request["url"]))
    assert (whole.status_code, whole.content) == (200, DATA)
    part = await ask.get(local(request["url"]), headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    head = await ask("HEAD", local(request["url"]))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == "10"


async def test_what_is_not_there_is_404_everywhere(ask):
    for answer in (
        await ask.post(f"{OWN}/reads", {"key": "nothing/here"}),
        await ask.get(f"{OWN}/objects/nothing/here"),
        await ask.post(f"{OWN}/puts/done", {"key": "nothing/here", "size": 1}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert answer.headers["content-type"] == "application/problem+json"


async def test_no_answer_says_where_the_folder_is(ask, folder, objects, tmp_path):
    (objects / "file").write_bytes(b"1")
    (objects / "dir").mkdir()
    upload = await opened(ask)
    await about(ask, upload, "abort")
    gone = await opened(ask, "team/y")
    for path in (objects / "team").iterdir():
        path.unlink()
    taken = await opened(ask, "team/z", no_clobber=True)
    receipts = await all_sent(ask, taken)
    (objects / "team" / "z").write_bytes(b"1")
    answers = [
        await ask.get(f"{OWN}/objects/nothing"),
        await ask.get(f"{OWN}/objects/dir"),
        await ask.get(f"{OWN}/objects/file/below"),
        await ask.post(f"{OWN}/uploads", new_upload("dir")),
        await ask.post(f"{OWN}/uploads", new_upload("file", no_clobber=True)),
        await ask.post(f"{OWN}/uploads", new_upload("file/below")),
        await ask.get(f"{MLFLOW}/artifacts/nothing"),
        await ask.put(f"{MLFLOW}/artifacts/dir", b"1"),
        await ask.get(f"{OWN}/uploads/{gone['id']}/parts"),
        await about(ask, gone, "complete", size=10, receipts=receipts),
        await about(ask, taken, "complete", size=10, receipts=receipts),
    ]
    for answer in answers:
        assert answer.status_code >= 400
        assert str(tmp_path) not in answer.text


# --- storing in one go


async def test_a_put_is_signed_for_its_length(ask, objects):
    message = {"key": "team/x", "size": 10}
    request = (await ask.post(f"{OWN}/puts", message)).json()
    answer = await ask.put(local(request["url"]), DATA)
    assert answer.status_code == 200
    assert answer.json()["checksum"] == answer.headers["x-transfer-checksum"] == crc(DATA)
    assert files_below(objects) == {"team/x": DATA}
    for other in (DATA[:-1], DATA + b"x", b""):
        answer = await ask.put(local(request["url"]), other)
        assert answer.status_code == 403
    assert files_below(objects) == {"team/x": DATA}


async def test_a_put_that_may_not_replace(ask, objects):
    (objects / "x").write_bytes(b"old")
    message = {"key": "x", "size": 10, "no_clobber": True}
    request = (await ask.post(f"{OWN}/puts", message)).json()
    assert request["headers"] == {"If-None-Match": "*"}
    answer = await ask.put(local(request["url"]), DATA, headers=request["headers"])
    assert (answer.status_code, answer.json()["code"]) == (412, "exists")
    assert files_below(objects) == {"x": b"old"}


async def test_done_is_looked_at(ask_signing, signing):
    info = signing.store.store("x", DATA)
    message = {"key": "x", "size": 10, "etag": info.version, "checksum": crc(DATA)}
    answer = await ask_signing.post(f"{OWN}/puts/done", message)
    assert (answer.status_code, answer.json()["checksum"]) == (200, crc(DATA))
    for change in ({"size": 9}, {"etag": "other"}, {"size": 2**70}):
        answer = await ask_signing.post(f"{OWN}/puts/done", message | change)
        assert (answer.status_code, answer.json()["code"]) == (409, "integrity")


async def test_a_checksum_is_forgotten_with_its_version(ask, objects):
    for data in (DATA, b"9876543210"):
        await ask.put(f"{MLFLOW}/artifacts/x", data)
        assert (await ask.get(f"{OWN}/objects/x")).json()["checksum"] == crc(data)
    (objects / "x").write_bytes(b"changed by")
    assert (await ask.get(f"{OWN}/objects/x")).json()["checksum"] is None


async def test_a_checksum_does_not_outlive_its_object_where_versions_do_not_show(tmp_path):
    """Some stores give no ETag, and times in whole seconds."""
    from dataclasses import replace  # noqa: PLC0415

    from transfer.model import Part, Span  # noqa: PLC0415

    class Plain(SigningStore):
        async def stat(self, key):
            info = await super().stat(key)
            return replace(info, version=None, modified=1000.0, checksum=None)

    async with inside(tmp_path, Plain()) as running:
        ask = await running.asker()
        running.store.store("x", DATA)
        done = {"key": "x", "size": 10, "checksum": crc(DATA)}
        await ask.post(f"{OWN}/puts/done", done)
        assert (await ask.get(f"{OWN}/objects/x")).json()["checksum"] == crc(DATA)
        # MLflow's clients say no checksums.
        create = {"path": "x", "num_parts": 1}
        upload_id = (await ask.post(f"{MLFLOW}/mpu/create", create)).json()["upload_id"]
        upload = running.store.parts.created[-1]
        etag = (await running.store.send(upload, Part(1, Span(0, 10)), b"9876543210")).etag
        parts = [{"part_number": 1, "etag": etag}]
        message = {"path": "x", "upload_id": upload_id, "parts": parts}
        assert (await ask.post(f"{MLFLOW}/mpu/complete", message)).status_code == 200
        assert (await ask.get(f"{OWN}/objects/x")).json()["checksum"] is None


# --- listing


async def test_pages_hold_everything_once(ask, objects):
    (objects / "many").mkdir()
    names = [f"many/{number:04}" for number in range(2100)]
    for name in names:
        (objects / name).touch()
    found, token, pages = [], None, 0
    while token is not None or not pages:
        query = {"prefix": "many/"} | ({"token": token} if token else {})
        page = (await ask.get(f"{OWN}/list", params=query)).json()
        assert page["folders"] == []
        found += [item["key"] for item in page["objects"]]
        token, pages = page["token"], pages + 1
    assert found == names
    assert pages == 3


async def test_folders_are_summed_up_when_asked(ask, objects):
    for name in ("a/x", "a/b/y", "a/c/z", "d"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_bytes(b"1")
    page = (await ask.get(f"{OWN}/list", params={"prefix": "a/", "folders": "1"})).json()
    assert [item["key"] for item in page["objects"]] == ["a/x"]
    assert page["folders"] == ["a/b/", "a/c/"]
    page = (await ask.get(f"{OWN}/list", params={"prefix": "a"})).json()
    assert [item["key"] for item in page["objects"]] == ["a/b/y", "a/c/z", "a/x"]


def _listed(page) -> list[str]:
    return [item["key"] for item in page["objects"]]


async def test_a_name_that_cannot_be_sent_keeps_no_others_back(ask, objects, caplog):
    for name in ("a/x", "a/\udcff", "a/\udcfe/y", "a/z", "\udcfd", "b"):
        (objects / name).parent.mkdir(parents=True, exist_ok=True)
        (objects / name).write_bytes(b"1")
    for _ in range(2):
        assert _listed((await ask.get(f"{OWN}/list")).json()) == ["a/x", "a/z", "b"]
        page = (await ask.get(f"{OWN}/list", params={"prefix": "a", "folders": "1"})).json()
        assert (_listed(page), page["folders"]) == (["a/x", "a/z"], [])
        files = (await ask.get(f"{MLFLOW}/artifacts", params={"path": "a"})).json()["files"]
        assert [file["path"] for file in files] == ["x", "z"]
    # The operator is told of each, once: two files, a file in a folder, and that folder.
    for name in ("a/\\udcff", "a/\\udcfe/y", "a/\\udcfe/", "\\udcfd"):
        assert caplog.text.count(f"'{name}'") == 1
    assert all(record.levelname == "WARNING" for record in caplog.records)


async def test_a_page_that_ends_with_such_a_name_is_followed_by_the_next(ask, objects):
    for number in range(999):
        (objects / f"{number:04}").touch()
    for name in ("\udc80", "\udc81", "\uffff"):
        (objects / name).touch()
    found, token = [], None
    while token is not None or not found:
        page = (await ask.get(f"{OWN}/list", params={"token": token} if token else {})).json()
        found += _listed(page)
        token = page["token"]
    assert (len(found), found[-1]) == (1000, "\uffff")


async def test_delete_is_done_once_and_may_be_asked_twice(ask, objects):
    (objects / "x").write_bytes(b"1")
    for _ in range(2):
        answer = await ask("DELETE", f"{OWN}/objects/x")
        assert (answer.status_code, answer.json()) == (200, {})
    assert files_below(objects) == {}


async def test_delete_takes_nothing_below(ask, objects):
    (objects / "x").mkdir()
    (objects / "x" / "y").write_bytes(b"1")
    assert (await ask("DELETE", f"{OWN}/objects/x")).status_code == 200
    assert files_below(objects) == {"x/y": b"1"}


async def test_delete_takes_nothing_below_where_both_can_be(ask_signing, signing):
    for key in ("x", "x/y"):
        signing.store.store(key, DATA)
    assert (await ask_signing("DELETE", f"{OWN}/objects/x")).status_code == 200
    assert [info.key for info in (await signing.store.scan("")).objects] == ["x/y"]


# --- one destination, two protocols


async def test_an_upload_of_mlflows_kind_has_no_sizes_to_sign_for(ask_signing):
    create = {"path": "x", "num_parts": 2}
    created = (await ask_signing.post(f"{MLFLOW}/mpu/create/a", create)).json()
    upload = {"id": created["upload_id"], "epoch": 1}
    receipt = {"number": 2, "size": 4, "etag": "x"}
    for verb, more in (("urls", {"numbers": [1]}), ("receipts", {"receipts": [receipt]})):
        assert (await about(ask_signing, upload, verb, **more)).status_code == 400
    assert (await about(ask_signing, upload, "abort")).status_code == 200


async def test_errors_look_like_ours_whatever_the_key(ask, folder):
    """Clients go by the code of the answer, also where a key reads like a route of MLflow's."""
    for key in ("mlflow/x", "a/mlflow-artifacts/x", "runs/mlflow"):
        answer = await ask.get(f"{OWN}/objects/{key}")
        assert answer.headers["content-type"] == "application/problem+json"
        path = f"{OWN}/data/objects/{key}"
        query = folder.coordinator.permits.sign("GET", path, expires=time.time() - 1)
        answer = await ask.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (403, "expired")


async def test_ids_are_never_given_twice(ask):
    ids = {(await opened(ask, f"x{secrets.token_hex(2)}"))["id"] for _ in range(20)}
    assert len(ids) == 20
