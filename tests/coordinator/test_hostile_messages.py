"""Messages that nobody well-meaning sends: refused with a 4xx, at once, and without a traceback."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.coordinator.inside import JSON, MLFLOW, OWN, exact, files_below, new_upload
from transfer.coordinator.guard import MAX_MESSAGE, MAX_MLFLOW_COMPLETE

if TYPE_CHECKING:
    from tests.coordinator.inside import Answer

ID = "0" * 32
OWN_ROUTES = [
    f"{OWN}/uploads",
    f"{OWN}/uploads/{ID}/urls",
    f"{OWN}/uploads/{ID}/receipts",
    f"{OWN}/uploads/{ID}/complete",
    f"{OWN}/uploads/{ID}/abort",
    f"{OWN}/reads",
    f"{OWN}/puts",
    f"{OWN}/puts/done",
]
MLFLOW_ROUTES = [f"{MLFLOW}/mpu/{verb}/a" for verb in ("create", "complete", "abort")]
ROUTES = OWN_ROUTES + MLFLOW_ROUTES
LEAKS = (b"Traceback", b'File "', b".py", b"sqlalchemy", b"sqlite", b"pydantic", b"errors.pydantic")


def check_refusal(answer: Answer, what: object) -> None:
    assert 400 <= answer.status < 500, (what, answer)
    for leak in LEAKS:
        assert leak not in answer.body, (what, answer)
    assert len(answer.body) < 1000, what
    if answer.status != 413:
        assert set(json.loads(answer.body)) in (
            {"title", "status", "detail", "code"},
            {"error_code", "message"},
        )


NO_JSON = {
    "nothing": b"",
    "a space": b" ",
    "cut": b'{"key": "x"',
    "trailing": b"{} {}",
    "single quotes": b"{'key': 'x'}",
    "NUL": b"\0",
    "NUL in it": b'{"key": "\0"}',
    "bad UTF-8": b'{"key": "\xff\xfe"}',
    "overlong UTF-8": b'{"key": "\xc0\xaf"}',
    "UTF-16": '{"key": "x"}'.encode("utf-16"),
    "a mark": b"\xef\xbb\xbf{}",
    "lone surrogate": b'{"key": "\\ud800"}',
    "gzip": gzip.compress(b'{"key": "x"}'),
    "XML": b"<key>x</key>",
    "a form": b"key=x&size=1",
    "comment": b'{"key": "x" /* */}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in a field": b'{"metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "infinity": b"Infinity",
    "huge exponent": b'{"size": 1e400}',
    "many digits": b'{"size": ' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_what_is_no_message(folder, signing, name):
    for route in ROUTES:
        running = signing if route in MLFLOW_ROUTES else folder
        answer = await exact(running.app, "POST", route, NO_JSON[name], {"content-type": JSON})
        check_refusal(answer, (route, name))


@pytest.mark.parametrize(
    "text", ["null", "true", "1", '"x"', "[]", "[{}]", "{}", '{"": 1}', '{"__proto__": {}}']
)
async def test_messages_without_what_is_needed(folder, signing, text):
    for route in ROUTES:
        running = signing if route in MLFLOW_ROUTES else folder
        answer = await exact(running.app, "POST", route, text.encode(), {"content-type": JSON})
        check_refusal(answer, route)


VALID = {
    f"{OWN}/uploads": new_upload("x"),
    f"{OWN}/reads": {"key": "x"},
    f"{OWN}/puts": {"key": "x", "size": 1},
    f"{OWN}/puts/done": {"key": "x", "size": 1},
    f"{OWN}/uploads/{ID}/urls": {"epoch": 1, "numbers": [1]},
    f"{OWN}/uploads/{ID}/receipts": {
        "epoch": 1,
        "receipts": [{"number": 1, "size": 1, "etag": "x"}],
    },
    f"{OWN}/uploads/{ID}/complete": {"epoch": 1, "size": 1, "receipts": []},
    f"{OWN}/uploads/{ID}/abort": {"epoch": 1},
}
ODD = [
    *(None, True, -1, 0.5, 10**30, -(10**30), "", "x", "\x00", "\u202e", [], {}, [[]], {"a": 1}),
    *("x" * 100_000, [1] * 10_000, "9" * 5000, "crc32c:", "' OR 1=1 --", "${jndi:x}", "\r\nX: 1"),
]


@pytest.mark.parametrize("route", VALID, ids=lambda route: route.replace(ID, "ID"))
async def test_every_field_with_every_odd_value(folder, objects, route):
    """Never a 5xx, whatever is put where; a disk that is too small is the exception there is."""
    for field in VALID[route]:
        for value in ODD:
            body = json.dumps(VALID[route] | {field: value}).encode()
            answer = await exact(folder.app, "POST", route, body, {"content-type": JSON})
            assert answer.status < 500 or answer.status == 507, (field, value, answer)
            assert not any(leak in answer.body for leak in LEAKS)
    for field in VALID[route]:
        fewer = {name: value for name, value in VALID[route].items() if name != field}
        body = json.dumps(fewer).encode()
        answer = await exact(folder.app, "POST", route, body, {"content-type": JSON})
        assert 400 <= answer.status < 500 or field == "receipts"


@pytest.mark.parametrize("route", VALID, ids=lambda route: route.replace(ID, "ID"))
async def test_fields_that_nobody_knows_are_errors(folder, route):
    """A misunderstanding shows at once."""
    for name in ("more", "Key", "x" * 5000, "\u202e", "a\nb"):
        body = json.dumps(VALID[route] | {name: 1}).encode()
        answer = await exact(folder.app, "POST", route, body, {"content-type": JSON})
        check_refusal(answer, route)
        assert answer.status == 400


async def test_numbers_that_are_none(folder, objects):
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-0.0",
        "1.0",
        "01",
        "+1",
        "0x10",
        "1_0",
        '"1"',
    ):
        body = b'{"request_id": "%s", "key": "x", "part_size": 4, "size": %s}'
        body %= b"0" * 32, text.encode()
        answer = await exact(folder.app, "POST", f"{OWN}/uploads", body, {"content-type": JSON})
        check_refusal(answer, text)
    assert files_below(objects) == {}


async def test_a_field_given_twice_has_one_meaning(folder):
    body = b'{"key": "../x", "key": "x"}'
    answer = await exact(folder.app, "POST", f"{OWN}/reads", body, {"content-type": JSON})
    assert answer.status == 404
    body = b'{"key": "x", "key": "../x"}'
    answer = await exact(folder.app, "POST", f"{OWN}/reads", body, {"content-type": JSON})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("route", "start", "item", "end"),
    [
        (f"{OWN}/uploads/{ID}/urls", '{"epoch": 1, "numbers": [', "1", "]}"),
        (f"{OWN}/uploads/{ID}/urls", '{"epoch": 1, "numbers": [', "{}", "]}"),
        (f"{OWN}/uploads/{ID}/receipts", '{"epoch": 1, "receipts": [', "{}", "]}"),
        (f"{OWN}/uploads/{ID}/complete", '{"epoch": 1, "size": 1, "receipts": [', "0", "]}"),
        (f"{OWN}/puts", '{"key": "x", "size": 1, "metadata": {"": ""', '"%d": 1', "}}"),
        (f"{OWN}/puts", '{"key": "x", "size": 1', '"%d": 1', "}"),
    ],
)
async def test_a_million_errors_are_refused_at_once(folder, route, start, item, end):
    items = [item % n if "%" in item else item for n in range(10**6)]
    if item.startswith('"'):
        items[0] = "," + items[0]
    body = (start + ",".join(items) + end)[:4_000_000].encode()
    body = body if body.endswith(end.encode()) else body.rpartition(b",")[0] + end.encode()
    started = time.process_time()
    answer = await exact(folder.app, "POST", route, body, {"content-type": JSON})
    check_refusal(answer, route)
    assert time.process_time() - started < 5


@pytest.mark.parametrize("item", ["{}", "1", '{"part_number": 1}'])
async def test_a_long_list_of_parts_is_refused_at_once(signing, item):
    items = ",".join([item] * ((MAX_MLFLOW_COMPLETE - 100) // (len(item) + 1)))
    body = f'{{"path": "x", "parts": [{items}]}}'.encode()
    started = time.process_time()
    route = f"{MLFLOW}/mpu/complete/a"
    answer = await exact(signing.app, "POST", route, body, {"content-type": JSON})
    check_refusal(answer, route)
    assert time.process_time() - started < 5


# --- how long a message may be


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize(
    ("route", "limit"),
    [
        (f"{OWN}/reads", MAX_MESSAGE),
        (f"{MLFLOW}/mpu/create/a", MAX_MESSAGE),
        (f"{MLFLOW}/mpu/complete/a", MAX_MLFLOW_COMPLETE),
        (f"/ajax-api{MLFLOW.removeprefix('/api')}/mpu/complete/a", MAX_MLFLOW_COMPLETE),
    ],
)
async def test_a_message_has_a_longest(ask_signing, route, limit, announced):
    async def pieces(size):
        while size > 0:
            yield b" " * min(size, 1 << 20)
            size -= 1 << 20

    for size, status in ((limit + 1, 413), (limit, 400)):
        headers = {"content-type": JSON} | ({"content-length": str(size)} if announced else {})
        answer = await ask_signing("POST", route, content=pieces(size), headers=headers)
        assert answer.status_code == status
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 30, "9" * 5000, "1 2", "", "\xb2"])
async def test_lengths_that_are_none(folder, length):
    headers = {"content-type": JSON, "content-length": length}
    answer = await exact(folder.app, "POST", f"{OWN}/reads", b'{"key": "x"}', headers)
    assert answer.status in {400, 413}
    answer = await exact(folder.app, "PUT", f"{MLFLOW}/artifacts/x", b"1", headers)
    assert answer.status < 500


async def test_objects_have_no_longest(ask, objects):
    size = MAX_MESSAGE + 1
    assert (await ask.put(f"{MLFLOW}/artifacts/x", bytes(size))).status_code == 200
    assert (objects / "x").stat().st_size == size


async def test_a_body_that_says_two_lengths(folder):
    headers = {"content-type": JSON, "transfer-encoding": "chunked"}
    for method, path in (("POST", f"{OWN}/reads"), ("PUT", f"{MLFLOW}/artifacts/x")):
        answer = await exact(folder.app, method, path, b"1", headers)
        assert answer.status == 400


# --- on the wire


@pytest.mark.servers
def test_what_two_servers_could_read_differently(folder_coordinator):
    """Request smuggling: a proxy before us must not see other requests than we do."""
    address, root = folder_coordinator
    put = f"PUT {MLFLOW}/artifacts/smuggled HTTP/1.1\r\nHost: {address}\r\n"
    chunks = "5\r\nhello\r\n0\r\n\r\n"
    for lines, body in (
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunks),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        ("Transfer-Encoding: xchunked\r\n", chunks),
        ("Transfer-Encoding: chunked, identity\r\n", chunks),
        ("Transfer-Encoding : chunked\r\n", chunks),
        ("Content-Length: +5\r\n", "hello"),
        ("Content-Length: -5\r\n", "hello"),
        ("Content-Length: 5 \x0b\r\n", "hello"),
        (f"Host: {address}\r\nContent-Length: 5\r\n", "hello"),
        ("X: a\r\n b\r\n\x00: c\r\nContent-Length: 5\r\n", "hello"),
    ):
        status = raw(address, (put + lines + "\r\n" + body).encode("latin-1"))
        assert 400 <= status < 500 or status == 501, lines
    assert not (root / "smuggled").exists()


@pytest.mark.servers
def test_what_is_no_http(folder_coordinator):
    address, _ = folder_coordinator
    for text in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET " + b"/" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + address.encode() + b"\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        assert raw(address, text) in {0, 400}
    assert raw(address, f"GET /health HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()) == 200


def raw(address: str, request: bytes) -> int:
    """Send bytes, and return the status of the answer; 0 where the connection was only closed."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(request)
            head = connection.recv(1000)
        except ConnectionError:
            return 0
    return int(head.split()[1]) if head else 0


# --- when something of ours breaks after all


async def test_a_bug_says_nothing_about_itself(folder, ask, monkeypatch, caplog):
    async def broken(*args):
        msg = "secret-in-a-bug /etc/shadow"
        raise RuntimeError(msg)

    monkeypatch.setattr(folder.store, "stat", broken)
    with caplog.at_level(logging.INFO):
        for path in (f"{OWN}/objects/x", f"{MLFLOW}/artifacts/x%20y"):
            answer = await ask.get(path)
            assert answer.status_code == 500
            assert "secret-in-a-bug" not in answer.text
            assert "see its log" in answer.text
    # The operator finds all of it, and the line of the request too.
    assert "secret-in-a-bug" in caplog.text
    assert [r for r in caplog.records if r.name == "transfer.coordinator.requests"]


async def test_the_log_has_one_line_a_request_and_no_query(folder, ask, caplog):
    with caplog.at_level(logging.INFO, "transfer.coordinator.requests"):
        await ask.get(f"{OWN}/list", params={"prefix": "a/", "token": "canary-token"})
        await exact(folder.app, "GET", f"{MLFLOW}/artifacts/%1b[31m%0aforged%20line")
        await exact(folder.app, "GET", "/health", host="evil.example")
        await ask.post(f"{OWN}/reads", {"key": "canary-key"})
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 4
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    assert not any("canary" in line for line in lines)
    assert [line.split()[-3] for line in lines] == ["200", "400", "400", "404"]
