"""MLflow's proxied-artifact protocol: statuses, shapes and sentences that its clients look for.

Observed on MLflow 3.17 and 3.18. Where this server is stricter than theirs, the
test says so: they answer 200 or 500 where nothing good can follow.
"""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

import anyio
import anyio.lowlevel
import pytest

from tests.coordinator.inside import MLFLOW, OWN, SigningStore, exact, files_below, inside
from transfer.model import Part, Span
from transfer.settings import Settings

NO_UPLOAD = (
    '{"error_code": "NOT_IMPLEMENTED",'
    ' "message": "Multipart upload is not supported for the current artifact repository"}'
)
NO_DOWNLOAD = NO_UPLOAD.replace("upload", "download")
SERVER_INFO = "/api/3.0/mlflow/server-info"


@pytest.fixture(params=["/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts"])
def api(request):
    """Both places that everything is at."""
    return request.param


async def send(running, number: int, data: bytes, upload=None):
    """Store a part as a client of MLflow does, and return its ETag as it passes it on."""
    store = running.store
    upload = upload or store.parts.created[-1]
    return (await store.send(upload, Part(number, Span(0, len(data))), data)).etag


# --- what it says of itself


@pytest.mark.parametrize("flag", [None, True, False])
@pytest.mark.parametrize("path", [SERVER_INFO, "/ajax-api/3.0/mlflow/server-info"])
async def test_server_info_on_a_store_that_presigns(tmp_path, path, flag):
    settings = Settings(enable_upload=flag, enable_download=flag)
    async with inside(tmp_path, SigningStore(), settings, require_auth=True) as running:
        found = (await (await running.asker()).get(path)).json()
    assert found["multipart_uploads_enabled"] is (flag is not False)
    assert found["multipart_downloads_enabled"] is (flag is not False)
    assert found["transfer_api"] == 1


@pytest.mark.parametrize("upload", [True, False])
async def test_the_two_switches_are_two(tmp_path, upload):
    settings = Settings(enable_upload=upload, enable_download=not upload)
    async with inside(tmp_path, SigningStore(), settings) as running:
        ask = await running.asker()
        running.store.store("a/x", b"1")
        found = (await ask.get(SERVER_INFO)).json()
        created = await ask.post(f"{MLFLOW}/mpu/create/a", {"path": "x", "num_parts": 1})
        presigned = await ask.get(f"{MLFLOW}/presigned/a/x")
    assert found["multipart_uploads_enabled"] is upload
    assert found["multipart_downloads_enabled"] is not upload
    assert created.status_code == (200 if upload else 501)
    assert presigned.status_code == (501 if upload else 200)


@pytest.mark.parametrize("flag", [None, True, False])
async def test_server_info_on_a_folder(tmp_path, folder_store, flag):
    settings = Settings(enable_upload=flag, enable_download=flag)
    async with inside(tmp_path, folder_store, settings) as running:
        found = (await (await running.asker()).get(SERVER_INFO)).json()
    assert found["multipart_uploads_enabled"] is False
    assert found["multipart_downloads_enabled"] is False


# --- what is not supported, word for word


async def test_a_folder_has_no_multipart_of_mlflows_kind(ask, api):
    await ask.put(f"{MLFLOW}/artifacts/a/x", b"1")
    for verb, message in (
        ("create", {"path": "x", "num_parts": 2}),
        ("complete", {"path": "x", "upload_id": "u", "parts": []}),
        ("abort", {"path": "x", "upload_id": "u"}),
    ):
        answer = await ask.post(f"{api}/mpu/{verb}/a", message)
        assert (answer.status_code, answer.text) == (501, NO_UPLOAD)
        assert answer.headers["content-type"] == "application/json"
    assert len(NO_UPLOAD) == 117
    presigned = await ask.get(f"{api}/presigned/a/x")
    assert (presigned.status_code, presigned.text) == (501, NO_DOWNLOAD)


async def test_switched_off_is_not_supported(tmp_path, api):
    settings = Settings(enable_upload=False, enable_download=False)
    async with inside(tmp_path, SigningStore(), settings) as running:
        ask = await running.asker()
        running.store.store("a/x", b"1")
        for verb, more in (("create", {}), ("complete", {"parts": []}), ("abort", {})):
            message = {"path": "x", "num_parts": 2, "upload_id": "u"} | more
            answer = await ask.post(f"{api}/mpu/{verb}/a", message)
            assert (answer.status_code, answer.text) == (501, NO_UPLOAD)
        presigned = await ask.get(f"{api}/presigned/a/x")
        assert (presigned.status_code, presigned.text) == (501, NO_DOWNLOAD)
        assert running.store.parts.created == []


# --- create


async def test_create_signs_all_parts_in_order(ask_signing, signing, api):
    answer = await ask_signing.post(
        f"{api}/mpu/create/1/run/sub%20dir", {"path": "m.bin", "num_parts": 11}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert list(found) == ["upload_id", "credentials"]
    assert answer.text == json.dumps(found, indent=2)
    assert [item["part_number"] for item in found["credentials"]] == list(range(1, 12))
    for item in found["credentials"]:
        # Headers are left out where there are none.
        assert set(item) == {"url", "part_number"}
        assert f"partNumber={item['part_number']}&" in item["url"]
    (upload,) = signing.store.parts.created
    assert upload.key == "1/run/sub dir/m.bin"
    assert len({item["url"] for item in found["credentials"]}) == 11


async def test_headers_that_were_signed_are_told(ask_signing, signing):
    signing.store.signer.headers["x-amz-expected-bucket-owner"] = "123456789012"
    answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", {"path": "x", "num_parts": 1})
    assert answer.json()["credentials"][0]["headers"] == {
        "x-amz-expected-bucket-owner": "123456789012"
    }


@pytest.mark.parametrize(
    ("folder", "path", "key"),
    [
        ("/a", "m.bin", "a/m.bin"),
        ("/a/", "m.bin", "a/m.bin"),
        ("", "m.bin", "m.bin"),
        ("/", "m.bin", "m.bin"),
        # Clients before 3.18 send the whole local path.
        ("/a", "/home/me/out/m.bin", "a/m.bin"),
        ("/a", "C:\\out\\m.bin", "a/m.bin"),
        ("/a", "a/b\\c.bin", "a/c.bin"),
        ("/a", "/etc/x", "a/x"),
        ("/a", "a b+c%d#e?f.bin", "a/a b+c%d#e?f.bin"),
    ],
)
async def test_the_folder_is_in_the_url_and_the_name_in_the_body(
    ask_signing, signing, folder, path, key
):
    answer = await ask_signing.post(f"{MLFLOW}/mpu/create{folder}", {"path": path, "num_parts": 1})
    assert answer.status_code == 200
    assert signing.store.parts.opened == [key]


@pytest.mark.parametrize(
    "message",
    [
        {"path": "x"},
        {"path": "x", "num_parts": None},
        {"path": "x", "num_parts": 0},
        {"path": "x", "num_parts": -1},
        {"path": "x", "num_parts": 10_001},
        {"path": "x", "num_parts": 10**9},
        {"path": "x", "num_parts": 10**30},
        {"path": "x", "num_parts": "zz"},
        {"path": "x", "num_parts": ""},
        {"path": "x", "num_parts": 1.5},
        {"path": "x", "num_parts": [2]},
        {"path": "x", "num_parts": {"a": 1}},
        {"num_parts": 2},
        {"path": None, "num_parts": 2},
        {"path": 5, "num_parts": 2},
        {"path": [], "num_parts": 2},
        {"path": "", "num_parts": 2},
        {"path": "..", "num_parts": 2},
        [],
        None,
        "x",
    ],
    ids=str,
)
async def test_a_create_that_cannot_be_is_refused_and_leaves_nothing_open(
    ask_signing, signing, message
):
    """MLflow's server opens an upload for no part at all, and signs any number of parts."""
    answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", message)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert set(answer.json()) == {"error_code", "message"}
    assert signing.store.parts.created == []
    assert await signing.coordinator.uploads.count_open() == 0


@pytest.mark.parametrize("num_parts", [1, 2, "2", 10_000, 1e3, 2.0])
async def test_numbers_as_protobuf_reads_them(ask_signing, signing, num_parts):
    message = {"path": "x", "num_parts": num_parts}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", message)
    assert len(answer.json()["credentials"]) == int(num_parts)
    assert len(signing.store.parts.opened) == 1


async def test_fields_that_are_not_known_are_ignored(ask_signing):
    message = {"path": "x", "num_parts": 1, "from_the_future": {"a": [1]}}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", message)
    assert answer.status_code == 200


async def test_json_must_be_said(signing):
    body = b'{"path": "x", "num_parts": 1}'
    for kind, status in (
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 400),
        ("", 400),
        ("application/jsonx", 400),
    ):
        headers = {"content-type": kind} if kind else {}
        answer = await exact(signing.app, "POST", f"{MLFLOW}/mpu/create/a", body, headers)
        assert answer.status == status, kind


async def test_a_get_of_create_is_405(ask_signing, api):
    assert (await ask_signing.get(f"{api}/mpu/create/a")).status_code == 405


async def test_signing_ten_thousand_parts_lets_others_in(ask_signing, signing, monkeypatch):
    turns = []
    sign = signing.store.signer.sign_part

    async def counted(*args):
        turns.append("signed")
        return await sign(*args)

    async def look():
        while True:
            turns.append("other")
            await anyio.lowlevel.checkpoint()

    monkeypatch.setattr(signing.store.signer, "sign_part", counted)
    async with anyio.create_task_group() as group:
        group.start_soon(look)
        message = {"path": "x", "num_parts": 10_000}
        answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", message)
        group.cancel_scope.cancel()
    assert len(answer.json()["credentials"]) == 10_000
    signed = "".join("s" if turn == "signed" else " " for turn in turns).split()
    assert max(map(len, signed)) <= 500


async def test_a_signer_that_fails_leaves_nothing_open(ask_signing, signing, monkeypatch):
    from transfer.errors import AccessError, UnavailableError  # noqa: PLC0415

    for error, status in ((AccessError("AKIA says no"), 502), (UnavailableError("later"), 503)):

        async def refuse(*args, error=error):
            raise error

        monkeypatch.setattr(signing.store.signer, "sign_part", refuse)
        answer = await ask_signing.post(f"{MLFLOW}/mpu/create/a", {"path": "x", "num_parts": 2})
        assert answer.status_code == status
        assert "AKIA" not in answer.text
    assert signing.store.parts.opened == []
    assert await signing.coordinator.uploads.count_open() == 0


# --- complete and abort


async def opened(ask, count: int = 3, folder: str = "a", name: str = "x") -> str:
    message = {"path": name, "num_parts": count}
    return (await ask.post(f"{MLFLOW}/mpu/create/{folder}", message)).json()["upload_id"]


def parts_of(*etags: str) -> list[dict[str, object]]:
    return [
        {"part_number": number, "etag": etag, "url": f"https://store.example/{number}"}
        for number, etag in enumerate(etags, 1)
    ]


async def test_complete_puts_the_parts_together(ask_signing, signing, api):
    upload_id = await opened(ask_signing)
    etags = [await send(signing, n, data) for n, data in ((1, b"1234"), (2, b"5678"), (3, b"9"))]
    assert all(etag.startswith('"') for etag in etags)
    message = {"path": "x", "upload_id": upload_id, "parts": parts_of(*etags)}
    for _ in range(2):
        # A client whose answer was lost asks again.
        answer = await ask_signing.post(f"{api}/mpu/complete/a", message)
        assert (answer.status_code, answer.text) == (200, "{}")
    assert signing.store.shelf.objects["a/x"][1] == b"123456789"
    assert signing.store.parts.opened == []


async def test_etags_may_come_without_quotes_and_parts_in_any_order(ask_signing, signing):
    upload_id = await opened(ask_signing, 2)
    etags = [await send(signing, n, data) for n, data in ((1, b"1234"), (2, b"56"))]
    parts = parts_of(*(etag.strip('"') for etag in etags))[::-1]
    message = {"path": "x", "upload_id": upload_id, "parts": parts}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)
    assert answer.status_code == 200
    assert signing.store.shelf.objects["a/x"][1] == b"123456"


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[:2],
        lambda parts: parts[1:],
        lambda parts: [],
        lambda parts: [*parts, {"part_number": 4, "etag": '"x"'}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": 4}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": 2}],
        lambda parts: [*parts, parts[2]],
        lambda parts: [*parts[:2], {**parts[2], "part_number": 0}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": -1}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": 2**63}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": "zz"}],
        lambda parts: [*parts[:2], {**parts[2], "part_number": None}],
        lambda parts: [*parts[:2], {**parts[2], "etag": '"wrong"'}],
        lambda parts: [*parts[:2], {**parts[2], "etag": ""}],
        lambda parts: [*parts[:2], {**parts[2], "etag": parts[1]["etag"]}],
        lambda parts: [*parts[:2], {**parts[2], "etag": 5}],
        lambda parts: [*parts[:2], {"PartNumber": 3, "ETag": parts[2]["etag"]}],
        lambda parts: None,
        lambda parts: "parts",
        lambda parts: {},
    ],
)
async def test_a_complete_that_cannot_be_is_refused_and_the_upload_goes_on(
    ask_signing, signing, change
):
    """MLflow's server gives some of these to the store, and answers 500."""
    upload_id = await opened(ask_signing)
    etags = [await send(signing, n, data) for n, data in ((1, b"1234"), (2, b"5678"), (3, b"9"))]
    parts = parts_of(*etags)
    wrong = {"path": "x", "upload_id": upload_id, "parts": change(parts)}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/complete/a", wrong)
    assert answer.status_code in {400, 409}
    assert answer.json()["error_code"] in {"INVALID_PARAMETER_VALUE", "RESOURCE_CONFLICT"}
    assert signing.store.shelf.objects == {}
    right = {"path": "x", "upload_id": upload_id, "parts": parts}
    assert (await ask_signing.post(f"{MLFLOW}/mpu/complete/a", right)).status_code == 200


async def test_parts_that_do_not_add_up_are_no_object(ask_signing, signing):
    """The protocol says no size: all parts but the last must at least be of one length."""
    for sizes in ((4, 3, 4), (3, 4, 4), (4, 4, 5)):
        upload_id = await opened(ask_signing)
        etags = [await send(signing, n, bytes(size)) for n, size in enumerate(sizes, 1)]
        message = {"path": "x", "upload_id": upload_id, "parts": parts_of(*etags)}
        answer = await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)
        assert answer.status_code == 409
    assert signing.store.shelf.objects == {}


async def test_a_part_that_is_not_in_the_store_is_missed(ask_signing, signing):
    upload_id = await opened(ask_signing, 2)
    etag = await send(signing, 1, b"1234")
    message = {"path": "x", "upload_id": upload_id, "parts": parts_of(etag, '"claimed"')}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)
    assert answer.status_code == 400
    assert "part 2" in answer.json()["message"]


@pytest.mark.parametrize("upload_id", ["", None, "unknown", "0" * 32, "x" * 5000, "%00"])
@pytest.mark.parametrize("verb", ["complete", "abort"])
async def test_an_upload_that_is_not_known(ask_signing, verb, upload_id):
    message = {"path": "x", "upload_id": upload_id, "parts": parts_of('"e"')}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/{verb}/a", message)
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert len(answer.content) < 300


async def test_abort_may_be_asked_twice_and_ends_it(ask_signing, signing, api):
    upload_id = await opened(ask_signing, 1)
    etag = await send(signing, 1, b"1")
    message = {"path": "x", "upload_id": upload_id}
    for _ in range(2):
        answer = await ask_signing.post(f"{api}/mpu/abort/a", message)
        assert (answer.status_code, answer.text) == (200, "{}")
    assert signing.store.parts.opened == []
    complete = message | {"parts": parts_of(etag)}
    answer = await ask_signing.post(f"{api}/mpu/complete/a", complete)
    assert answer.status_code == 404
    assert signing.store.shelf.objects == {}


async def test_an_abort_after_complete_takes_nothing_away(ask_signing, signing):
    upload_id = await opened(ask_signing, 1)
    etag = await send(signing, 1, b"1")
    message = {"path": "x", "upload_id": upload_id, "parts": parts_of(etag)}
    await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)
    await ask_signing.post(f"{MLFLOW}/mpu/abort/a", message)
    assert signing.store.shelf.objects["a/x"][1] == b"1"
    assert (await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)).status_code == 200


# --- presigned downloads


async def test_presigned(ask_signing, signing, api):
    signing.store.store("1/run/sub dir/m.bin", b"12345")
    answer = await ask_signing.get(f"{api}/presigned/1/run/sub%20dir/m.bin")
    assert answer.status_code == 200
    assert list(answer.json()) == ["url", "headers", "file_size"]
    assert (answer.json()["headers"], answer.json()["file_size"]) == ({}, 5)
    assert answer.json()["url"].endswith("expires=300")


async def test_the_life_of_presigned_downloads_can_be_set(tmp_path):
    settings = Settings(presigned_download_lifetime=77.0)
    async with inside(tmp_path, SigningStore(), settings) as running:
        running.store.store("x", b"1")
        answer = await (await running.asker()).get(f"{MLFLOW}/presigned/x")
    assert answer.json()["url"].endswith("expires=77")


async def test_presigned_of_nothing_is_404(ask_signing, api):
    for path in ("nothing", "a/b/c"):
        answer = await ask_signing.get(f"{api}/presigned/{path}")
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


# --- whole artifacts


async def test_put_answers_with_nothing(ask, objects, api):
    answer = await ask.put(f"{api}/artifacts/1/run/x.bin", b"12345")
    assert (answer.status_code, answer.content) == (200, b"")
    assert files_below(objects) == {"1/run/x.bin": b"12345"}


async def test_put_replaces(ask, objects):
    for data in (b"old and longer", b"new"):
        await ask.put(f"{MLFLOW}/artifacts/x", data)
    assert files_below(objects) == {"x": b"new"}


@pytest.mark.parametrize("size", [0, 1, 200_000])
async def test_put_without_a_length(ask, objects, size):
    async def pieces():
        for start in range(0, size, 60_000):
            yield bytes(min(60_000, size - start))

    answer = await ask.put(f"{MLFLOW}/artifacts/x", pieces())
    assert "content-length" not in answer.request.headers
    assert (answer.status_code, answer.content) == (200, b"")
    assert files_below(objects) == {"x": bytes(size)}
    assert (await ask.get(f"{OWN}/objects/x")).json()["checksum"] is not None


@pytest.mark.parametrize("path", ["", "/", "a/", "a/b//"])
async def test_put_of_a_folder_is_refused(ask, objects, path):
    answer = await ask.put(f"{MLFLOW}/artifacts/{path}", b"1")
    assert answer.status_code == 400
    assert answer.json() == {
        "detail": "Artifact path must include a filename (cannot end with '/')."
    }
    assert files_below(objects) == {}


async def test_get_gives_the_artifact(ask, objects, api):
    data = bytes(range(256)) * 1000
    await ask.put(f"{MLFLOW}/artifacts/a/x.bin", data)
    answer = await ask.get(f"{api}/artifacts/a/x.bin")
    assert (answer.status_code, answer.content) == (200, data)
    headers = answer.headers
    assert headers["content-length"] == str(len(data))
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment")
    assert headers["etag"].startswith('"')
    assert headers["last-modified"].endswith("GMT")
    assert headers["x-transfer-checksum"].startswith("crc32c:")


async def test_head_says_the_same_without_a_body(ask, api):
    await ask.put(f"{MLFLOW}/artifacts/x.txt", b"12345")
    whole = await ask.get(f"{api}/artifacts/x.txt")
    head = await ask("HEAD", f"{api}/artifacts/x.txt")
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(whole.headers)
    assert (await ask("HEAD", f"{api}/artifacts/nothing")).status_code == 404


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.txt", "text/plain"),
        ("x.json", "application/json"),
        ("x.html", "text/html"),
        ("x.svg", "image/svg+xml"),
        ("x", "application/octet-stream"),
        ("MLmodel.weird-ext", "application/octet-stream"),
    ],
)
async def test_types_are_guessed_and_never_shown_in_a_page(ask, name, kind):
    await ask.put(f"{MLFLOW}/artifacts/{name}", b"<script>alert(1)</script>")
    answer = await ask.get(f"{MLFLOW}/artifacts/{name}")
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{name}"


@pytest.mark.parametrize(
    "name", ['x"; filename=evil.html', "x;y", "x\u00e9.html", "名前", "x%22", "a,b"]
)
async def test_names_stay_in_their_header(ask, name):
    url = f"{MLFLOW}/artifacts/{quote(name)}"
    assert (await ask.put(url, b"1")).status_code == 200
    disposition = (await ask.get(url)).headers["content-disposition"]
    assert disposition == f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    assert '"' not in disposition.removeprefix("attachment; ")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=3-5", 3, 6),
        ("bytes=9-9", 9, 10),
        ("bytes=5-", 5, 10),
        ("bytes=5-9999999999999999999", 5, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-99", 0, 10),
    ],
)
async def test_one_range(ask, asked, start, stop):
    await ask.put(f"{MLFLOW}/artifacts/x", b"0123456789")
    answer = await ask.get(f"{MLFLOW}/artifacts/x", headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, b"0123456789"[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/10"
    assert answer.headers["content-length"] == str(stop - start)
    head = await ask("HEAD", f"{MLFLOW}/artifacts/x", headers={"range": asked})
    assert head.status_code == 206


@pytest.mark.parametrize(
    "asked", ["bytes=10-", "bytes=10-20", "bytes=9999999999999999999-", "bytes=-0"]
)
async def test_a_range_beyond_the_end_is_416(ask, asked):
    await ask.put(f"{MLFLOW}/artifacts/x", b"0123456789")
    answer = await ask.get(f"{MLFLOW}/artifacts/x", headers={"range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == "bytes */10"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=-5", "bytes=0-0"])
async def test_an_empty_artifact_has_no_ranges(ask, asked):
    await ask.put(f"{MLFLOW}/artifacts/x", b"")
    assert (await ask.get(f"{MLFLOW}/artifacts/x")).content == b""
    answer = await ask.get(f"{MLFLOW}/artifacts/x", headers={"range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */0"


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes 0-1"),
        *(
            "bytes=" + "9" * 5000 + "-",
            "bytes=-" + "9" * 5000,
            "bytes=0-" + "1" * 5000,
            "bytes=\xb2-",
        ),
        "bytes=" + ",".join(["0-1"] * 5000),
    ],
    ids=lambda asked: asked[:20],
)
async def test_ranges_that_are_not_understood_are_ignored(folder, ask, asked):
    await ask.put(f"{MLFLOW}/artifacts/x", b"0123456789")
    answer = await exact(folder.app, "GET", f"{MLFLOW}/artifacts/x", headers={"range": asked})
    assert (answer.status, answer.body) == (200, b"0123456789")


async def test_if_match(ask):
    await ask.put(f"{MLFLOW}/artifacts/x", b"0123456789")
    url = f"{MLFLOW}/artifacts/x"
    etag = (await ask.get(url)).headers["etag"]
    for condition, status in (
        (etag, 200),
        (etag.strip('"'), 200),
        ("*", 200),
        (f'"other", {etag}', 200),
        ('"other"', 412),
        ('""', 412),
    ):
        answer = await ask.get(url, headers={"if-match": condition})
        assert answer.status_code == status, condition
    await ask.put(url, b"9876543210")
    answer = await ask.get(url, headers={"if-match": etag, "range": "bytes=0-4"})
    assert (answer.status_code, answer.content) == (412, b"")


async def test_a_download_that_goes_on_gets_all_of_another_version(ask):
    url = f"{MLFLOW}/artifacts/x"
    await ask.put(url, b"0123456789")
    etag = (await ask.get(url)).headers["etag"]
    more = {"range": "bytes=5-", "if-range": etag}
    assert (await ask.get(url, headers=more)).status_code == 206
    await ask.put(url, b"9876543210")
    answer = await ask.get(url, headers=more)
    assert (answer.status_code, answer.content) == (200, b"9876543210")


async def test_get_of_a_folder_is_400(ask, api):
    await ask.put(f"{MLFLOW}/artifacts/a/b/x", b"1")
    for path in ("a", "a/b"):
        answer = await ask.get(f"{api}/artifacts/{path}")
        assert answer.status_code == 400
        assert answer.json() == {
            "detail": f"Artifact path refers to a directory, not a file: '{path}'"
        }


async def test_get_of_nothing_is_404(ask, api):
    """MLflow's server answers 500 where its store is S3, and clients try again and again."""
    await ask.put(f"{MLFLOW}/artifacts/file", b"1")
    for path in ("nothing", "a/b/c", "fil"):
        answer = await ask.get(f"{api}/artifacts/{path}")
        assert answer.status_code == 404
        assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


async def test_a_file_has_nothing_below_it(ask, objects):
    await ask.put(f"{MLFLOW}/artifacts/file", b"1")
    for method, body in (("GET", b""), ("PUT", b"2"), ("DELETE", b"")):
        answer = await ask(method, f"{MLFLOW}/artifacts/file/below", content=body)
        assert answer.status_code in {400, 404}
    assert (await ask.get(f"{MLFLOW}/artifacts", params={"path": "file"})).json() == {}
    assert files_below(objects) == {"file": b"1"}


async def test_a_folder_cannot_be_replaced_by_a_file(ask, objects):
    await ask.put(f"{MLFLOW}/artifacts/a/x", b"1")
    answer = await ask.put(f"{MLFLOW}/artifacts/a", b"2")
    assert answer.status_code == 400
    assert files_below(objects) == {"a/x": b"1"}


# --- listing and deleting


async def test_list_says_what_is_directly_in_a_folder(ask, api):
    for path, data in (
        ("run/b.bin", b"12"),
        ("run/empty", b""),
        ("run/dir/er/c", b"1"),
        ("z", b""),
    ):
        await ask.put(f"{MLFLOW}/artifacts/{path}", data)
    answer = await ask.get(f"{api}/artifacts", params={"path": "run"})
    expected = {
        "files": [
            {"path": "b.bin", "is_dir": False, "file_size": 2},
            {"path": "dir", "is_dir": True},
            # Zeros are left out, as protobuf's JSON has it.
            {"path": "empty", "is_dir": False},
        ]
    }
    assert answer.json() == expected
    assert answer.text == json.dumps(expected, indent=2)
    assert answer.headers["content-type"] == "application/json"
    assert (await ask.get(f"{api}/artifacts?path=run/")).json() == expected
    root = (await ask.get(f"{api}/artifacts")).json()["files"]
    assert [file["path"] for file in root] == ["run", "z"]
    assert (await ask.get(f"{api}/artifacts", params={"path": ""})).json()["files"] == root


async def test_list_of_nothing_is_an_empty_message(ask, api):
    for path in ("", "nothing", "a/b"):
        answer = await ask.get(f"{api}/artifacts", params={"path": path})
        assert (answer.status_code, answer.text) == (200, "{}")


async def test_list_is_whole_over_pages(ask_signing, signing):
    names = [f"{number:05}" for number in range(2500)]
    for name in names:
        signing.store.store(f"run/{name}", b"1")
    answer = await ask_signing.get(f"{MLFLOW}/artifacts", params={"path": "run"})
    assert [file["path"] for file in answer.json()["files"]] == names


async def test_delete_takes_an_artifact_or_a_folder(ask, objects, api):
    for path in ("a/x", "a/b/y", "ab/z", "a.txt"):
        await ask.put(f"{MLFLOW}/artifacts/{path}", b"1")
    answer = await ask("DELETE", f"{api}/artifacts/a/x")
    assert (answer.status_code, answer.text) == (200, "{}")
    assert set(files_below(objects)) == {"a/b/y", "ab/z", "a.txt"}
    answer = await ask("DELETE", f"{api}/artifacts/a")
    assert answer.status_code == 200
    assert set(files_below(objects)) == {"ab/z", "a.txt"}
    answer = await ask("DELETE", f"{api}/artifacts/ab/")
    assert set(files_below(objects)) == {"a.txt"}
    for path in ("nothing", "a/x", "ab"):
        answer = await ask("DELETE", f"{api}/artifacts/{path}")
        assert (answer.status_code, answer.text) == (200, "{}")


async def test_delete_of_everything_is_not_a_slip_of_the_keyboard(ask, objects, api):
    await ask.put(f"{MLFLOW}/artifacts/a/x", b"1")
    for path in ("/artifacts/", "/artifacts//", "/artifacts/%2f"):
        assert (await ask("DELETE", f"{api}{path}")).status_code == 400
    assert (await ask("DELETE", f"{api}/artifacts")).status_code == 405
    assert files_below(objects) == {"a/x": b"1"}


# --- the counters tell which bytes passed


async def test_bytes_of_presigned_uploads_pass_the_coordinator_by(ask_signing, signing):
    upload_id = await opened(ask_signing, 2)
    etags = [await send(signing, n, data) for n, data in ((1, bytes(4000)), (2, b"1"))]
    message = {"path": "x", "upload_id": upload_id, "parts": parts_of(*etags)}
    await ask_signing.post(f"{MLFLOW}/mpu/complete/a", message)
    await ask_signing.get(f"{MLFLOW}/presigned/a/x")
    found = (await ask_signing.get(f"{OWN}/statistics")).json()
    assert found == {
        "relayed_in": 0,
        "relayed_out": 0,
        "signed_parts": 2,
        "signed_reads": 1,
        "signed_puts": 0,
        "open_uploads": 0,
    }
    data = await ask_signing.get(f"{MLFLOW}/artifacts/a/x")
    assert hashlib.sha256(data.content).digest() == hashlib.sha256(bytes(4000) + b"1").digest()
    found = (await ask_signing.get(f"{OWN}/statistics")).json()
    assert found["relayed_out"] == 4001
