"""The benchmark's server: what it counts must be true, or no row is."""

from __future__ import annotations

import http.client
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from bench.sinks import Sink, make_certificate, sink
from tests.support.servers import have

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module", params=["discards", "keeps"])
def server(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    if not (have("cc") or have("gcc")) or not Path("/usr/include/openssl/ssl.h").exists():
        pytest.skip("the sink needs a C compiler and OpenSSL's headers: make bench-peers")
    folder = tmp_path_factory.mktemp("sink")
    keep = folder / "kept" if request.param == "keeps" else None
    if keep:
        keep.mkdir()
    with sink(folder, make_certificate(folder, "127.0.0.1"), keep=keep) as running:
        running.keeps = keep is not None
        yield running


@pytest.fixture
def ask(server: Sink):
    server.reset()
    connection = http.client.HTTPConnection(urlsplit(server.http).netloc, timeout=10)

    def request(method: str, path: str, body: bytes = b"", **headers: str):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    yield request
    connection.close()


def opened(ask) -> str:
    _, _, text = ask("POST", "/bench/key?uploads", x_amz_meta_mark="mine")
    return re.search(b"<UploadId>(.*)</UploadId>", text)[1].decode()


def document(*parts: tuple[int, str]) -> bytes:
    inside = "".join(
        f"<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>"
        for number, etag in parts
    )
    return f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>".encode()


def test_multipart_upload_is_counted_part_by_part(server: Sink, ask):
    upload = opened(ask)
    path = f"/bench/key?uploadId={upload}"
    tags = {}
    for number, size in ((2, 7), (1, 300_000)):
        _, headers, _ = ask(
            "PUT", f"{path}&partNumber={number}", os.urandom(size), x_amz_checksum_crc32c="AAAAAA=="
        )
        tags[number] = headers["ETag"].replace('"', "&quot;")
    _, _, listed = ask("GET", path)
    assert re.findall(b"<PartNumber>(.*?)</PartNumber>", listed) == [b"1", b"2"]
    assert re.findall(b"<Size>(.*?)</Size>", listed) == [b"300000", b"7"]
    assert listed.count(b"<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C>") == 2
    with pytest.raises(RuntimeError, match="left open"):
        server.sizes()
    status, _, _ = ask("POST", path, document((1, tags[1]), (2, tags[2])))
    assert status == 200
    assert server.sizes() == {"key": 300_007}
    _, headers, _ = ask("HEAD", "/bench/key")
    assert headers["Content-Length"] == "300007"
    assert headers["x-amz-meta-mark"] == "mine"
    assert server.counts()["checksum"] == 2


@pytest.mark.parametrize("parts", [(), ((1, "wrong"),), ((2, "TAG"),)])
def test_complete_with_other_parts_is_refused(ask, parts):
    upload = opened(ask)
    path = f"/bench/key?uploadId={upload}"
    _, headers, _ = ask("PUT", f"{path}&partNumber=1", b"abc")
    named = [(number, etag.replace("TAG", headers["ETag"])) for number, etag in parts]
    status, _, text = ask("POST", path, document(*named))
    assert status == 400
    assert b"InvalidPart" in text
    assert ask("DELETE", path)[0] == 204
    assert ask("GET", path)[0] == 404


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_chunks_of_the_sdk_are_no_content(server: Sink, ask, chunk: int):
    data = os.urandom(2500)
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    body = b"".join(b"%x;chunk-signature=0\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    body += b"0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    status, _, _ = ask(
        "PUT",
        "/bench/chunked",
        body,
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_trailer="x-amz-checksum-crc32",
    )
    assert status == 200
    assert server.sizes() == {"chunked": 2500}
    assert server.counts()["trailer"] == 1
    if server.keeps:
        assert ask("GET", "/bench/chunked")[2] == data


def test_content_that_was_thrown_away_is_not_made_up(server: Sink, ask):
    ask("PUT", "/bench/whole", b"content")
    status, _, text = ask("GET", "/bench/whole")
    if server.keeps:
        assert (status, text) == (200, b"content")
    else:
        assert status == 404


def test_registered_file_is_read_whole_and_in_ranges(server: Sink, ask, tmp_path: Path):
    data = os.urandom(100_000)
    (tmp_path / "file").write_bytes(data)
    server.register({"data/file": (tmp_path / "file", "AAAAAA==")})
    status, headers, text = ask("GET", "/bench/data/file", x_amz_checksum_mode="ENABLED")
    assert (status, text) == (200, data)
    assert headers["x-amz-checksum-crc32c"] == "AAAAAA=="
    for asked, part in (("10-19", data[10:20]), ("99990-", data[99990:]), ("-5", data[-5:])):
        status, headers, text = ask("GET", "/bench/data/file", Range=f"bytes={asked}")
        assert (status, text) == (206, part)
        assert headers["Content-Range"].endswith("/100000")
    assert ask("GET", "/bench/data/file", Range="bytes=100000-")[0] == 416
    assert ask("GET", "/bench/data/file", If_Match='"other"')[0] == 412
    assert ask("GET", "/bench/data/nothing")[0] == 404
    assert server.sizes() == {}


def test_listing_goes_page_by_page(ask):
    for number in range(5):
        ask("PUT", f"/bench/l/d/{number}", b"x" * number)
    ask("PUT", "/bench/l/e/other", b"")
    found, token = [], ""
    while True:
        more = f"&continuation-token={token}" if token else ""
        _, _, text = ask("GET", f"/bench?list-type=2&prefix=l/d/&max-keys=2{more}")
        found += re.findall(b"<Key>(.*?)</Key>", text)
        if b"<IsTruncated>false" in text:
            break
        token = re.search(b"<NextContinuationToken>(.*?)<", text)[1].decode()
    assert found == [b"l/d/0", b"l/d/1", b"l/d/2", b"l/d/3", b"l/d/4"]
    _, _, text = ask("GET", "/bench?list-type=2&delimiter=/&prefix=l/")
    assert re.findall(b"<CommonPrefixes><Prefix>(.*?)<", text) == [b"l/d/", b"l/e/"]


def test_requests_are_counted_and_own_calls_are_not(server: Sink, ask):
    ask("PUT", "/bench/a", b"12345")
    ask("HEAD", "/bench/a")
    counts = server.counts()
    assert (counts["requests"], counts["PUT"], counts["HEAD"]) == (2, 1, 1)
    assert counts["bytes_in"] == 5
