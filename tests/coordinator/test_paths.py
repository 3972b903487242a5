"""Ways out of the root: refused by every route that takes a key, in a URL or in a message."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest

from tests.coordinator.inside import (
    JSON,
    MLFLOW,
    OWN,
    SigningStore,
    exact,
    files_below,
    inside,
    new_upload,
)
from tests.coordinator.spellings import ORDINARY, REFUSED, encoded, harmless

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = b"nobody may read this"
REFUSALS = {400, 403, 404}


@pytest.fixture
def outside(tmp_path: Path, objects: Path) -> Path:
    """What must not be touched: a folder beside the root, and what is known of it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(SECRET)
    return folder


@pytest.fixture
def nothing_escaped(tmp_path: Path, outside: Path, objects: Path) -> Iterator[None]:
    """Compare everything around the root with what was there before."""

    def around() -> dict[str, bytes]:
        found = files_below(tmp_path)
        return {
            name: data
            for name, data in found.items()
            if not name.startswith(("objects/", "sessions.db"))
        }

    before = around()
    yield
    assert around() == before
    assert (outside / "secret").read_bytes() == SECRET


def test_the_corpus_is_large_enough():
    assert len(REFUSED) >= 300
    assert len(ORDINARY) >= 60


@pytest.mark.parametrize("base", ["/api/2.0", "/ajax-api/2.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_artifacts(folder, objects, nothing_escaped, method, base):
    for spelling in REFUSED:
        target = f"{base}/mlflow-artifacts/artifacts/{spelling}"
        answer = await exact(folder.app, method, target, b"planted" if method == "PUT" else b"")
        assert answer.status in REFUSALS, (method, spelling, answer)
        assert SECRET not in answer.body
    assert files_below(objects) == {}


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_our_own_objects(folder, objects, nothing_escaped, method):
    for spelling in REFUSED:
        answer = await exact(folder.app, method, f"{OWN}/objects/{spelling}")
        assert answer.status in REFUSALS, (spelling, answer)
        assert SECRET not in answer.body


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_data_routes_even_with_a_signature(folder, objects, nothing_escaped, method):
    permits = folder.coordinator.permits
    signed_for = "PUT" if method == "PUT" else "GET"
    for spelling in REFUSED:
        path = f"{OWN}/data/objects/{spelling}"
        target = f"{path}?{permits.sign(signed_for, path, expires=2**40)}"
        answer = await exact(folder.app, method, target, b"planted" if method == "PUT" else b"")
        assert answer.status in REFUSALS, (spelling, answer)
        assert SECRET not in answer.body
    assert files_below(objects) == {}


@pytest.mark.parametrize(
    ("path", "name"), [(f"{MLFLOW}/artifacts", "path"), (f"{OWN}/list", "prefix")]
)
async def test_listings(folder, nothing_escaped, path, name):
    for spelling in REFUSED:
        # In a query, the corpus is encoded once more or once less.
        for query in (spelling.replace("\\", "%5c"), quote(spelling, safe="")):
            answer = await exact(folder.app, "GET", f"{path}?{name}={query}")
            if answer.status not in REFUSALS:
                # Some are, decoded once more or less, the name of a folder.
                assert harmless(unquote(query).removesuffix("/")), query
                assert answer.body in {b"{}", b'{"objects":[],"folders":[],"token":null}'}


async def test_presigned(signing):
    for spelling in REFUSED:
        answer = await exact(signing.app, "GET", f"{MLFLOW}/presigned/{spelling}")
        assert answer.status in REFUSALS, (spelling, answer)


@pytest.mark.parametrize("verb", ["create", "complete", "abort"])
async def test_folders_of_multipart_uploads(signing, verb):
    body = {
        "create": b'{"path": "x", "num_parts": 1}',
        "complete": b'{"path": "x", "upload_id": "x", "parts": [{"part_number": 1, "etag": ""}]}',
        "abort": b'{"path": "x", "upload_id": "x"}',
    }[verb]
    for spelling in REFUSED:
        target = f"{MLFLOW}/mpu/{verb}/{spelling}"
        answer = await exact(signing.app, "POST", target, body, {"content-type": JSON})
        assert answer.status in REFUSALS or spelling in {"/", "%2f"}, (spelling, answer)
    assert set(signing.store.parts.opened) <= {"x"}


@pytest.mark.parametrize("verb", ["create", "complete", "abort"])
async def test_names_in_the_messages_of_mlflow(ask_signing, signing, verb):
    """The last segment counts, as in MLflow; whatever that is must be a name."""
    texts = [*REFUSED, *map(unquote, REFUSED), *(unquote(unquote(text)) for text in REFUSED)]
    # One of each last segment: that is what counts.
    for text in {text.replace("\\", "/").rpartition("/")[2]: text for text in texts}.values():
        more = {"num_parts": 1, "upload_id": "x", "parts": [{"part_number": 1, "etag": ""}]}
        answer = await ask_signing.post(f"{MLFLOW}/mpu/{verb}/run", {"path": text} | more)
        if answer.status_code not in REFUSALS:
            assert (verb, answer.status_code) == ("create", 200), text
    for key in signing.store.parts.opened:
        assert key.startswith("run/")
        assert key.count("/") == 1
        assert harmless(key)


@pytest.mark.parametrize("verb", ["create", "complete", "abort"])
@pytest.mark.parametrize(
    "path", ["..", ".", "", "a/..", "a\\..", "%2e%2e", "..%2fx", "a/", "\0", "a\n"]
)
async def test_names_that_mlflow_takes_for_paths_are_none(ask_signing, signing, verb, path):
    more = {"num_parts": 1, "upload_id": "x", "parts": []}
    answer = await ask_signing.post(f"{MLFLOW}/mpu/{verb}/run", {"path": path} | more)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert signing.store.parts.created == []


async def test_keys_in_our_own_messages(folder, objects, nothing_escaped):
    for key in dict.fromkeys([*REFUSED, *map(unquote, REFUSED)]):
        for path, message in (
            ("uploads", new_upload(key)),
            ("reads", {"key": key}),
            ("puts", {"key": key, "size": 1}),
            ("puts/done", {"key": key, "size": 1}),
        ):
            body = json.dumps(message).encode()
            answer = await exact(folder.app, "POST", f"{OWN}/{path}", body, {"content-type": JSON})
            # What is bad UTF-8 in a URL is only odd characters in a message.
            assert answer.status in REFUSALS or harmless(key), (path, key)
    assert all(".transfer-" in name for name in files_below(objects))


async def test_names_that_only_look_bad_are_names(ask, folder, objects, nothing_escaped):
    for name in ORDINARY:
        data = name.encode()
        url = f"{MLFLOW}/artifacts/ordinary/{encoded(name)}"
        stored = await exact(folder.app, "PUT", url, data)
        assert stored.status == 200, name
        assert (objects / "ordinary" / name).read_bytes() == data
        assert (await exact(folder.app, "GET", url)).body == data
        own = await exact(folder.app, "GET", f"{OWN}/objects/ordinary/{encoded(name)}")
        assert own.status == 200
        listed = await ask.get(f"{OWN}/list", params={"prefix": "ordinary/"})
        assert [item["key"] for item in listed.json()["objects"]] == [f"ordinary/{name}"]
        assert (await exact(folder.app, "DELETE", url)).status == 200
        assert files_below(objects) == {}


async def test_a_key_may_be_long_and_no_longer(folder, objects):
    longest = "/".join(["x" * 127] * 8)
    assert len(longest) == 1023
    url = f"{MLFLOW}/artifacts/{longest}"
    assert (await exact(folder.app, "PUT", url + "x", b"1")).status == 200
    assert (await exact(folder.app, "GET", url + "x")).body == b"1"
    assert (await exact(folder.app, "PUT", url + "xx", b"1")).status == 400


# --- links in the root, which somebody with access to the disk may have made


@pytest.fixture
def links(objects: Path, outside: Path) -> list[str]:
    """Links out of the root: to a folder, to a file, to nothing, and in it."""
    (objects / "real").mkdir()
    (objects / "real" / "file").write_bytes(b"real")
    (objects / "out").symlink_to(outside)
    (objects / "file").symlink_to(outside / "secret")
    (objects / "dangling").symlink_to(outside / "new")
    (objects / "inner").symlink_to(objects / "real")
    (objects / "real" / "deep").symlink_to("../../outside")
    (objects / "root").symlink_to("/")
    return [
        *("out/secret", "out/new", "file", "dangling", "dangling/x", "inner/file", "out"),
        *("real/deep/secret", "real/deep/new", f"root{outside}/secret", "root/etc/passwd", "inner"),
    ]


async def test_links_are_never_followed(ask, folder, objects, nothing_escaped, links):
    before = {path: path.readlink() for path in objects.rglob("*") if path.is_symlink()}
    for key in links:
        url = f"{MLFLOW}/artifacts/{key}"
        answers = [
            await ask.get(url),
            await ask("HEAD", url),
            await ask.put(url, b"planted"),
            await ask("DELETE", url),
            await ask.get(f"{OWN}/objects/{key}"),
            await ask("DELETE", f"{OWN}/objects/{key}"),
            await ask.post(f"{OWN}/uploads", new_upload(key)),
            await ask.post(f"{OWN}/reads", {"key": key}),
            await ask.post(f"{OWN}/puts/done", {"key": key, "size": len(SECRET)}),
        ]
        assert {answer.status_code for answer in answers} <= REFUSALS, key
        assert all(SECRET not in answer.content for answer in answers)
    assert {path: path.readlink() for path in before} == before
    listed = await ask.get(f"{OWN}/list")
    assert [item["key"] for item in listed.json()["objects"]] == ["real/file"]
    listed = await ask.get(f"{MLFLOW}/artifacts", params={"path": "real"})
    assert listed.json() == {"files": [{"path": "file", "is_dir": False, "file_size": 4}]}


@pytest.mark.parametrize("prefix", ["out", "inner", "real/deep", "root/etc"])
async def test_links_are_not_listed_through(ask, links, prefix):
    for path, name in ((f"{MLFLOW}/artifacts", "path"), (f"{OWN}/list", "prefix")):
        for folders in ("", "1"):
            query = {name: f"{prefix}/", "folders": folders}
            listed = await ask.get(path, params=query)
            if listed.status_code == 200:
                assert listed.json() in ({}, {"objects": [], "folders": [], "token": None})


async def test_links_made_during_an_upload_are_not_followed(ask, objects, outside, nothing_escaped):
    opened = (await ask.post(f"{OWN}/uploads", new_upload("team/x"))).json()
    (objects / "team").rename(objects / "moved")
    (objects / "team").symlink_to(outside)
    url = f"{OWN}/uploads/{opened['id']}"
    signed = await ask.post(f"{url}/urls", {"epoch": 1, "numbers": [1]})
    target = signed.json()["parts"][0]["request"]["url"].removeprefix("http://127.0.0.1:5500")
    assert (await ask.put(target, b"1234")).status_code == 400
    assert (await ask.post(f"{url}/complete", {"epoch": 1, "size": 10})).status_code == 400


async def test_temporary_names_of_ours_are_nobodys_keys(ask, objects):
    opened = await ask.post(f"{OWN}/uploads", new_upload("team/x"))
    assert opened.status_code == 200
    (partial,) = (objects / "team").iterdir()
    url = f"{MLFLOW}/artifacts/team/{partial.name}"
    assert (await ask.get(url)).status_code == 400
    assert (await ask.put(url, b"1")).status_code == 400
    assert (await ask("DELETE", url)).status_code == 400
    assert partial.stat().st_size == 10
    listed = await ask.get(f"{OWN}/list", params={"prefix": "team/"})
    assert listed.json()["objects"] == []


# --- the prefix of a destination in a bucket


async def test_a_prefix_of_the_destination_is_never_left(tmp_path):
    store = SigningStore()
    store.store("other/secret", SECRET)
    store.store("basement", SECRET)
    async with inside(tmp_path, store, prefix="base/") as running:
        for spelling in REFUSED:
            target = f"{MLFLOW}/artifacts/{spelling}"
            for method, body in (("GET", b""), ("PUT", b"planted"), ("DELETE", b"")):
                answer = await exact(running.app, method, target, body)
                assert answer.status in REFUSALS
                assert SECRET not in answer.body
        assert sorted(store.shelf.objects) == ["basement", "other/secret"]
        assert (await exact(running.app, "PUT", f"{MLFLOW}/artifacts/ment", b"1")).status == 200
        assert sorted(store.shelf.objects) == ["base/ment", "basement", "other/secret"]
        listed = await exact(running.app, "GET", f"{OWN}/list")
        assert b"basement" not in listed.body


# --- over a socket, where no library of ours has seen the path before the server does


@pytest.mark.servers
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_on_the_wire(folder_coordinator, method):
    address, root = folder_coordinator
    canary = root.parent / "outside"
    canary.mkdir(exist_ok=True)
    (canary / "secret").write_bytes(SECRET)
    before = {name for name in files_below(root.parent) if not name.startswith("objects/")}
    routes = [f"{MLFLOW}/artifacts/", "/ajax-api/2.0/mlflow-artifacts/artifacts/"]
    if method != "PUT":
        routes.append(f"{OWN}/objects/")
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        stream = connection.makefile("rb")
        for route in routes:
            for spelling in REFUSED:
                body = b"planted" if method == "PUT" else b""
                head = f"{method} {route}{spelling} HTTP/1.1\r\nHost: {address}\r\n"
                length = f"Content-Length: {len(body)}\r\n\r\n"
                connection.sendall((head + length).encode("latin-1") + body)
                status, answered = _answer(stream)
                assert status in REFUSALS, (route, spelling, answered)
                assert SECRET not in answered
    after = {name for name in files_below(root.parent) if not name.startswith("objects/")}
    assert after - before <= {"coordinator.log", "sessions.db-wal", "sessions.db-shm"}
    assert (canary / "secret").read_bytes() == SECRET
    assert not list(root.rglob("*planted*"))


def _answer(stream) -> tuple[int, bytes]:
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline().strip().lower()) != b"":
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return status, stream.read(length)
