"""Who may do what: proved for every route there is, so that none can be forgotten."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

import pytest

from tests.coordinator.inside import MLFLOW, OWN, SigningStore, exact, inside, local, new_upload
from transfer.coordinator import tokens
from transfer.coordinator.app import make_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

# Everything else asks for a token, or for a signature in the URL.
PUBLIC = {"/health", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"}
SIGNED = f"{OWN}/data/"
BASES = ("/api/2.0/mlflow-artifacts", "/ajax-api/2.0/mlflow-artifacts")


def routes() -> list[tuple[str, str]]:
    """Return method and path of every route, those of included routers too."""
    found = sorted(_walk(make_routes().routes, ""))
    assert len(found) > 40
    return found


def _walk(entries, prefix: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        inner = getattr(entry, "original_router", None)
        if inner is not None:
            yield from _walk(inner.routes, prefix + entry.include_context.prefix)
        else:
            for method in entry.methods:
                yield method, prefix + entry.path


def filled(path: str, key: str = "team-a/x") -> str:
    """Return the path of a route with something in place of its parameters."""
    path = path.replace("{number}", "1").replace("{upload_id}", "0" * 32)
    return re.sub(r"{\w+:path}", key, path)


def test_the_walk_finds_all_routes():
    found = {path for _, path in routes()}
    assert found >= PUBLIC
    for base in BASES:
        assert {
            f"{base}/artifacts",
            f"{base}/artifacts/{{path:path}}",
            f"{base}/mpu/create/{{folder:path}}",
            f"{base}/mpu/complete/{{folder:path}}",
            f"{base}/mpu/abort/{{folder:path}}",
            f"{base}/presigned/{{path:path}}",
        } <= found
    assert f"{SIGNED}uploads/{{upload_id}}/parts/{{number}}" in found
    assert f"{OWN}/uploads/{{upload_id}}/complete" in found


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer "},
        {"authorization": "Bearer trf_wrong"},
        {"authorization": "Basic " + base64.b64encode(b"alice:trf_wrong").decode()},
        {"authorization": "Basic =="},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"authorization": "Digest username=alice"},
        {"authorization": "\xff"},
        {"cookie": "token=x"},
    ],
    ids=str,
)
async def test_no_route_answers_without_credentials(guarded, headers):
    await guarded.tenant("alice")
    for method, path in routes():
        for body in (b"", b"{}", b"not json"):
            target = filled(path)
            more = {"content-type": "application/json", **headers}
            answer = await exact(guarded.app, method, target, body, more)
            if path in PUBLIC:
                assert answer.status == 200
            elif path.startswith(SIGNED):
                assert answer.status == 403, (method, path)
            else:
                assert answer.status == 401, (method, path)
                assert "Bearer" in answer.headers["www-authenticate"]


async def test_methods_that_no_route_has_are_no_way_in(guarded):
    for _, path in routes():
        for method in ("OPTIONS", "TRACE", "PATCH", "CONNECT", "FOO"):
            answer = await exact(guarded.app, method, filled(path))
            assert answer.status in {403, 404, 405}
            assert "access-control-allow-origin" not in answer.headers


async def test_slashes_at_the_end_are_no_way_in(guarded):
    for method, path in routes():
        if path not in PUBLIC:
            answer = await exact(guarded.app, method, filled(path) + "/")
            assert answer.status in {401, 403, 404, 405}, (method, path)


async def test_there_are_no_pages_about_the_program(guarded):
    ask = await guarded.asker()
    for path in ("/", "/docs", "/redoc", "/openapi.json", "/metrics", "/debug", "/static/x"):
        assert (await ask.get(path)).status_code == 404


async def test_a_token_reaches_whole_segments_below_its_prefix_only(guarded):
    ours = await guarded.tenant("a", "team-a")
    theirs = await guarded.tenant("b", "team-ab/")
    assert (await ours.put(f"{MLFLOW}/artifacts/team-a/x", b"1")).status_code == 200
    assert (await theirs.put(f"{MLFLOW}/artifacts/team-ab/x", b"2")).status_code == 200
    for key in ("team-ab/x", "team-a.", "Team-A/x", "team-a\u0301/x", "x", "team", "t/team-a/x"):
        assert (await ours.get(f"{MLFLOW}/artifacts/{key}")).status_code == 403
        assert (await ours.put(f"{MLFLOW}/artifacts/{key}", b"3")).status_code == 403
        assert (await ours("DELETE", f"{MLFLOW}/artifacts/{key}")).status_code == 403
        assert (await ours.get(f"{OWN}/objects/{key}")).status_code == 403
        assert (await ours("DELETE", f"{OWN}/objects/{key}")).status_code == 403
        assert (await ours.post(f"{OWN}/uploads", new_upload(key))).status_code == 403
        assert (await ours.post(f"{OWN}/reads", {"key": key})).status_code == 403
        assert (await ours.post(f"{OWN}/puts", {"key": key, "size": 1})).status_code == 403
        assert (await ours.post(f"{OWN}/puts/done", {"key": key, "size": 1})).status_code == 403
    for folder in ("", "team-ab", "team-ab/", "team", "t"):
        listed = await ours.get(f"{MLFLOW}/artifacts", params={"path": folder})
        assert listed.status_code == 403
        listed = await ours.get(f"{OWN}/list", params={"prefix": folder})
        assert listed.status_code == 403
    assert (await theirs.get(f"{MLFLOW}/artifacts/team-ab/x")).content == b"2"
    listed = await ours.get(f"{OWN}/list", params={"prefix": "team-a/"})
    assert [item["key"] for item in listed.json()["objects"]] == ["team-a/x"]


async def test_a_token_does_not_reach_the_object_of_its_prefixes_own_name(tmp_path):
    async with inside(tmp_path, SigningStore(), require_auth=True) as running:
        running.store.store("team-a", b"of others")
        running.store.store("team-a/x", b"1")
        ours, key = await running.tenant("a", "team-a"), "team-a"
        # As if there was none: what is pulled may be a folder.
        for answer in (
            await ours.get(f"{MLFLOW}/artifacts/{key}"),
            await ours.get(f"{MLFLOW}/presigned/{key}"),
            await ours.get(f"{OWN}/objects/{key}"),
            await ours.post(f"{OWN}/reads", {"key": key}),
        ):
            assert answer.status_code == 404
            assert "others" not in answer.text
        for answer in (
            await ours.put(f"{MLFLOW}/artifacts/{key}", b"3"),
            await ours("DELETE", f"{MLFLOW}/artifacts/{key}"),
            await ours.post(f"{MLFLOW}/mpu/create", {"path": key, "num_parts": 1}),
            await ours("DELETE", f"{OWN}/objects/{key}"),
            await ours.post(f"{OWN}/uploads", new_upload(key)),
            await ours.post(f"{OWN}/puts", {"key": key, "size": 1}),
            await ours.post(f"{OWN}/puts/done", {"key": key, "size": 9}),
        ):
            assert answer.status_code == 403
        for prefix in (key, f"{key}/"):
            listed = await ours.get(f"{OWN}/list", params={"prefix": prefix})
            assert [item["key"] for item in listed.json()["objects"]] == ["team-a/x"]
        assert set(running.store.shelf.objects) == {"team-a", "team-a/x"}
        assert running.store.shelf.objects["team-a"][1] == b"of others"


async def test_a_page_token_leads_nobody_out_of_their_prefix(guarded):
    ours = await guarded.tenant("a", "team-a")
    theirs = await guarded.tenant("b", "team-b")
    await theirs.put(f"{MLFLOW}/artifacts/team-b/secret", b"1")
    for token in ("team-a", "team-a/zzz", '["team-b/"]', "../team-b/", "\0", "{", "-1"):
        for folders in ("", "1"):
            query = {"prefix": "team-a/", "token": token, "folders": folders}
            listed = await ours.get(f"{OWN}/list", params=query)
            assert listed.status_code in {200, 400}
            assert "secret" not in listed.text


async def test_presigning_routes_are_for_the_prefix_too(tmp_path):
    async with inside(tmp_path, SigningStore(), require_auth=True) as running:
        ours = await running.tenant("a", "team-a")
        message = {"path": "x", "num_parts": 1}
        for base in BASES:
            for folder in ("team-ab", "team-ab/y", "", "team"):
                url = f"{base}/mpu/create/{folder}".rstrip("/")
                assert (await ours.post(url, message)).status_code == 403
            assert (await ours.get(f"{base}/presigned/team-ab/x")).status_code == 403
            # An absolute name in the body means its last segment, as MLflow has it.
            escape = {"path": "/team-ab/x", "num_parts": 1}
            assert (await ours.post(f"{base}/mpu/create/team-a", escape)).status_code == 200
        assert set(running.store.parts.opened) == {"team-a/x"}


async def test_a_read_only_token_writes_nothing(tmp_path):
    async with inside(tmp_path, SigningStore(), require_auth=True) as running:
        writer, reader = await running.tenant("w"), await running.tenant("r", read_only=True)
        opened = (await writer.post(f"{OWN}/uploads", new_upload("k/x"))).json()
        running.store.store("k/old", b"old")
        upload = f"{OWN}/uploads/{opened['id']}"
        about = {"epoch": 1}
        attempts = [
            await reader.put(f"{MLFLOW}/artifacts/k/new", b"1"),
            await reader("DELETE", f"{MLFLOW}/artifacts/k/old"),
            await reader.post(f"{MLFLOW}/mpu/create/k", {"path": "x", "num_parts": 1}),
            await reader.post(
                f"{MLFLOW}/mpu/complete/k", {"path": "x", "upload_id": opened["id"], "parts": []}
            ),
            await reader.post(f"{MLFLOW}/mpu/abort/k", {"path": "x", "upload_id": opened["id"]}),
            await reader.post(f"{OWN}/uploads", new_upload("k/y")),
            await reader("DELETE", f"{OWN}/objects/k/old"),
            await reader.post(f"{OWN}/puts", {"key": "k/y", "size": 1}),
            await reader.post(f"{OWN}/puts/done", {"key": "k/old", "size": 3}),
        ]
        assert [answer.status_code for answer in attempts] == [403] * len(attempts)
        assert [
            (await reader.post(f"{upload}/{verb}", about | more)).status_code
            for verb, more in (("urls", {"numbers": [1]}), ("complete", {"size": 1}), ("abort", {}))
        ] == [404, 404, 404]
        assert (await reader.get(f"{MLFLOW}/artifacts/k/old")).content == b"old"
        assert (await reader.get(f"{OWN}/capabilities")).json()["read_only"] is True
        assert list(running.store.shelf.objects) == ["k/old"]
        assert running.store.parts.opened == ["k/x"]


async def test_every_writing_route_is_closed_to_a_reader(guarded):
    reader = await guarded.tenant("r", "team-a", read_only=True)
    header = {"authorization": f"Bearer {reader.token}", "content-type": "application/json"}
    for method, path in routes():
        if method in {"GET", "HEAD"} or path in PUBLIC:
            continue
        answer = await exact(guarded.app, method, filled(path), b"{}", header)
        # A body that is none, an upload that is none, no multipart at all: or refused.
        assert answer.status in {400, 403, 404, 501}, (method, path)
        if method in {"PUT", "DELETE"}:
            assert answer.status == 403, (method, path)


async def test_an_upload_of_somebody_else_is_as_unknown_as_any(guarded):
    ours, theirs = await guarded.tenant("a", "team-a"), await guarded.tenant("b", "team-b")
    everything = await guarded.tenant("c")
    opened = (await ours.post(f"{OWN}/uploads", new_upload("team-a/x"))).json()

    async def tried(asker, upload_id):
        url = f"{OWN}/uploads/{upload_id}"
        receipt = {"number": 1, "size": 4, "etag": "x"}
        answers = [
            await asker.get(url),
            await asker.get(f"{url}/parts"),
            await asker.post(f"{url}/urls", {"epoch": 1, "numbers": [1]}),
            await asker.post(f"{url}/receipts", {"epoch": 1, "receipts": [receipt]}),
            await asker.post(f"{url}/complete", {"epoch": 1, "size": 10}),
            await asker.post(f"{url}/abort", {"epoch": 1}),
            await asker.post(f"{url}/abort", {"epoch": 2}),
        ]
        return [(answer.status_code, answer.text.replace(upload_id, "ID")) for answer in answers]

    unknown = await tried(theirs, "0" * 32)
    assert {status for status, _ in unknown} == {404}
    assert await tried(theirs, opened["id"]) == unknown
    assert await tried(everything, opened["id"]) == unknown
    for odd in ("x", "0" * 33, "%00", "%2e%2e", "*", "' or 1=1 --", opened["id"].upper()):
        answers = await tried(theirs, odd)
        assert {status for status, _ in answers} <= {400, 404}
    assert (await ours.get(f"{OWN}/uploads/{opened['id']}")).status_code == 200


async def test_an_upload_id_does_not_carry_over_to_another_key(ask_signing, signing):
    create = {"path": "x", "num_parts": 1}
    opened = (await ask_signing.post(f"{MLFLOW}/mpu/create/a", create)).json()
    about = {"upload_id": opened["upload_id"], "parts": [{"part_number": 1, "etag": "e"}]}
    for folder, name in (("b", "x"), ("a", "y"), ("a/b", "x")):
        for verb in ("complete", "abort"):
            answer = await ask_signing.post(f"{MLFLOW}/mpu/{verb}/{folder}", about | {"path": name})
            assert answer.status_code == 404
            assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert signing.store.parts.opened == ["a/x"]


async def test_a_request_id_of_somebody_else_gives_nothing_away(guarded):
    ours, theirs = await guarded.tenant("a", "team-a"), await guarded.tenant("b", "team-b")
    message = new_upload("team-a/x")
    opened = (await ours.post(f"{OWN}/uploads", message)).json()
    answer = await theirs.post(f"{OWN}/uploads", message | {"key": "team-b/x"})
    assert answer.status_code == 400
    assert opened["id"] not in answer.text
    assert "team-a" not in answer.text


async def test_who_gets_a_name_again_gets_no_more_than_the_new_token_permits(guarded, monkeypatch):
    monkeypatch.setattr(tokens, "_REMEMBERED", 0.0)
    first = await guarded.tenant("a", "team-a")
    opened = (await first.post(f"{OWN}/uploads", new_upload("team-a/x"))).json()
    url = f"{OWN}/uploads/{opened['id']}"
    await guarded.coordinator.tokens.revoke("a")
    reader = await guarded.tenant("a", "team-a", read_only=True)
    receipt = {"number": 1, "size": 4, "etag": "x"}
    assert [
        (await reader.post(f"{url}/{verb}", {"epoch": 1} | more)).status_code
        for verb, more in (
            ("urls", {"numbers": [1]}),
            ("receipts", {"receipts": [receipt]}),
            ("complete", {"size": 10}),
            ("abort", {}),
        )
    ] == [403] * 4
    await guarded.coordinator.tokens.revoke("a")
    elsewhere = await guarded.tenant("a", "team-b")
    assert (await elsewhere.get(url)).status_code == 403
    assert (await elsewhere.get(f"{url}/parts")).status_code == 403


async def test_a_token_is_a_password_too(guarded):
    alice = await guarded.tenant("alice", "team-a")
    ask = await guarded.asker()
    url = f"{OWN}/capabilities"
    for user, status in (("alice", 200), ("bob", 401), ("", 401), ("Alice", 401)):
        answer = await ask.get(url, auth=(user, alice.token))
        assert answer.status_code == status
    assert (await ask.get(url, auth=("alice", ""))).status_code == 401
    assert (await ask.get(url, params={"token": alice.token})).status_code == 401
    assert (await ask.get(url, headers={"authorization": alice.token})).status_code == 401
    for scheme in ("bearer", "BEARER"):
        header = {"authorization": f"{scheme} {alice.token}"}
        assert (await ask.get(url, headers=header)).status_code == 200


async def test_a_revoked_token_stops_within_seconds(guarded, monkeypatch):
    alice = await guarded.tenant("alice")
    assert (await alice.get(f"{OWN}/capabilities")).status_code == 200
    await guarded.coordinator.tokens.revoke("alice")
    now = tokens.time.monotonic()
    monkeypatch.setattr(tokens.time, "monotonic", lambda: now + 5.1)
    assert (await alice.get(f"{OWN}/capabilities")).status_code == 401
    assert (await alice.get(f"{OWN}/capabilities")).status_code == 401


async def test_only_hashes_of_tokens_are_kept(guarded, tmp_path):
    alice = await guarded.tenant("alice")
    await alice.get(f"{OWN}/capabilities")
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("sessions.db*"))
    assert b"alice" in kept
    assert alice.token.encode() not in kept
    assert alice.token not in repr(await guarded.coordinator.tokens.all())


# --- who must show a token


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "::1"}, 200),
        ({"require_auth": True}, 401),
        ({"host": "0.0.0.0"}, 401),
        ({"host": "192.0.2.1"}, 401),
        ({"host": "0.0.0.0", "insecure_no_auth": True}, 200),
        ({"insecure_no_auth": True, "require_auth": True}, 200),
    ],
    ids=str,
)
async def test_only_loopback_is_open_unless_told_otherwise(tmp_path, folder_store, options, status):
    async with inside(tmp_path, folder_store, **options) as running:
        ask = await running.asker()
        assert (await ask.get(f"{OWN}/capabilities")).status_code == status


async def test_a_token_that_is_shown_counts_where_none_is_needed(folder):
    reader = await folder.tenant("r", "team-a", read_only=True)
    assert (await reader.put(f"{MLFLOW}/artifacts/team-a/x", b"1")).status_code == 403
    wrong = await folder.asker("trf_wrong")
    assert (await wrong.get(f"{OWN}/capabilities")).status_code == 401


# --- a page in somebody's browser


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5500", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("[::1]:5500", 200),
        ("evil.example", 400),
        ("evil.example:5500", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.", 400),
        ("", 400),
        ("[", 400),
        ("[::1", 400),
        ("localhost/../evil", 400),
        ("localhost@evil.example", 400),
        ("localhost:5500:1", 400),
        ("localhost\x00", 400),
    ],
)
async def test_an_open_coordinator_answers_to_its_own_names(folder, host, status):
    for path in ("/health", f"{OWN}/capabilities", f"{MLFLOW}/artifacts"):
        assert (await exact(folder.app, "GET", path, host=host)).status == status


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({"allowed_hosts": ("Our.example",)}, {"our.example": 200, "other.example": 400}),
        ({"public_url": "https://Our.example/x"}, {"our.example": 200, "other.example": 400}),
        ({"insecure_no_auth": True}, {"127.0.0.1": 200, "other.example": 400}),
        (
            {"insecure_no_auth": True, "host": "0.0.0.0", "allowed_hosts": ("our.example",)},
            {"our.example": 200, "127.0.0.1": 200, "other.example": 400},
        ),
        # Beyond this machine nobody knows what it is called.
        ({"insecure_no_auth": True, "host": "0.0.0.0"}, {"other.example": 200}),
        # Whoever shows a token is no page that was lured here.
        ({"require_auth": True}, {"other.example": 200}),
        (
            {"require_auth": True, "allowed_hosts": ("our.example",)},
            {"our.example": 200, "other.example": 400},
        ),
    ],
    ids=str,
)
async def test_names_can_be_added(tmp_path, folder_store, options, hosts):
    async with inside(tmp_path, folder_store, **options) as running:
        for host, status in hosts.items():
            assert (await exact(running.app, "GET", "/health", host=host)).status == status


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_what_a_page_can_send_unasked_is_not_read(folder, objects, kind):
    """Browsers send these types to other origins without a preflight."""
    headers = {"content-type": kind} if kind else {}
    for path in (f"{OWN}/uploads", f"{OWN}/puts/done", f"{MLFLOW}/mpu/create/a"):
        body = b'{"request_id": "%s", "key": "x", "size": 1, "part_size": 1}' % (b"0" * 32)
        answer = await exact(folder.app, "POST", path, body, headers)
        assert answer.status == 400
        assert b"Content-Type" in answer.body
    assert list(objects.iterdir()) == []


async def test_nobody_may_read_answers_in_a_page_of_another_origin(folder):
    ask = await folder.asker()
    for origin in ("https://evil.example", "null"):
        answer = await ask.get(f"{MLFLOW}/artifacts", headers={"origin": origin})
        assert "access-control-allow-origin" not in answer.headers


async def test_links_are_for_the_address_that_was_asked(folder):
    ask = await folder.asker(host="localhost:1234")
    opened = (await ask.post(f"{OWN}/uploads", new_upload("x"))).json()
    signed = await ask.post(f"{OWN}/uploads/{opened['id']}/urls", {"epoch": 1, "numbers": [1]})
    url = signed.json()["parts"][0]["request"]["url"]
    assert url.startswith("http://localhost:1234/")
    assert (await ask.put(local(url), b"1234")).status_code == 200
