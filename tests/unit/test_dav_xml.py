from __future__ import annotations

import pytest

from backends.web.dav_xml import DavEntry, encoded, read_multistatus, seconds, strong
from transfer.checksums import Algorithm
from transfer.errors import BadKeyError, ProtocolError

FOLDER = "<D:resourcetype><D:collection/></D:resourcetype>"
OK = "<D:status>HTTP/1.1 200 OK</D:status>"


def response(href: str, props: str = "<D:getcontentlength>3</D:getcontentlength>") -> str:
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>{props}</D:prop>{OK}"
        "</D:propstat></D:response>"
    )


def listing(*responses: str, head: str = "") -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?>{head}<D:multistatus xmlns:D="DAV:"'
        f' xmlns:oc="http://owncloud.org/ns">{"".join(responses)}</D:multistatus>'
    ).encode()


def paths(*hrefs: str) -> list[str]:
    return [entry.path for entry in read_multistatus(listing(*map(response, hrefs)))]


def test_files_and_folders_are_told_apart():
    props = (
        "<D:getcontentlength>12</D:getcontentlength><D:resourcetype/>"
        "<D:getetag>&quot;abc&quot;</D:getetag>"
        "<D:getlastmodified>Tue, 15 Nov 1994 08:12:31 GMT</D:getlastmodified>"
    )
    found = read_multistatus(listing(response("/d/a%20b", props), response("/d/sub/", FOLDER)))
    assert found == [
        DavEntry("d/a b", is_folder=False, size=12, version='"abc"', modified=784887151.0),
        DavEntry("d/sub", is_folder=True),
    ]
    assert [entry.name for entry in found] == ["a b", "sub"]


def test_addresses_may_be_whole_and_names_are_decoded_once():
    assert paths("http://h:1/a%2520b", "/%C3%BC", "/a?b#c", "/", "/%FF") == [
        "a%20b",
        "ü",
        "a?b#c",
        "",
        "\udcff",
    ]


@pytest.mark.parametrize(
    "href", ["/a/../b", "/a/%2E%2E/b", "/a%2Fb", "/a%00", "/a//b", "name", "ftp://h/a", "/./a"]
)
def test_a_path_that_is_not_plain_is_refused(href: str):
    with pytest.raises(ProtocolError):
        paths(href)


def propstat(status: str) -> str:
    props = "<D:prop><D:getcontentlength>9</D:getcontentlength></D:prop>"
    return f"<D:propstat>{props}<D:status>HTTP/1.1 {status}</D:status></D:propstat>"


def bare(href: str, inside: str) -> str:
    return f"<D:response><D:href>{href}</D:href>{inside}</D:response>"


@pytest.mark.parametrize(
    "inside", [propstat("404 Not Found"), "<D:status>HTTP/1.1 410 Gone</D:status>"]
)
def test_only_what_is_there_counts(inside: str):
    assert read_multistatus(listing(bare("/a", inside))) == []


@pytest.mark.parametrize(
    ("inside", "status"),
    [
        ("<D:status> HTTP/1.1 403 No</D:status>", 403),
        (propstat("500 Internal Server Error"), 500),
        (propstat("404 Not Found") + propstat("403 Forbidden"), 403),
    ],
)
def test_what_could_not_be_looked_at_is_not_missed(inside: str, status: int):
    assert read_multistatus(listing(bare("/a", inside), bare("/b/", inside))) == [
        DavEntry("a", is_folder=False, failed=status),
        DavEntry("b", is_folder=True, failed=status),
    ]


def test_what_has_no_status_at_all_is_no_listing():
    with pytest.raises(ProtocolError, match="no status"):
        read_multistatus(listing(bare("/a", "")))


@pytest.mark.parametrize("size", ["", "-1", "1e3", "٣", "9" * 20])
def test_a_size_that_is_none_is_not_known(size: str):
    props = f"<D:getcontentlength>{size}</D:getcontentlength>"
    assert read_multistatus(listing(response("/a", props)))[0].size is None


def test_the_strongest_checksum_is_taken():
    props = (
        "<oc:checksums><oc:checksum>ADLER32:0abc0123 MD5:" + "0a" * 16 + " SHA1:" + "0b" * 20 + ""
        "</oc:checksum></oc:checksums>"
    )
    checksum = read_multistatus(listing(response("/a", props)))[0].checksum
    assert checksum is not None
    assert (checksum.algorithm, checksum.value) == (Algorithm.SHA1, b"\x0b" * 20)


HOSTILE = {
    "entities in entities": (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    ),
    "a file of this machine": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>',
    "a DTD of somebody else": '<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">',
}


@pytest.mark.parametrize("head", HOSTILE.values(), ids=HOSTILE)
def test_hostile_xml_is_refused(head: str):
    with pytest.raises(ProtocolError, match="no safe XML"):
        read_multistatus(listing(response("/a"), head=head))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Hello</body></html>",
        b"<D:multistatus xmlns:D='DAV:'>",
        b"<?xml version='1.0' encoding='no-such'?><a/>",
        b"\xff\xfe\x00",
        listing("<D:response><D:propstat/></D:response>"),
    ],
)
def test_what_is_no_listing_is_refused(body: bytes):
    with pytest.raises(ProtocolError):
        read_multistatus(body)


def test_a_listing_without_entries_is_empty():
    assert read_multistatus(listing()) == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("a%20b", "a%2520b"),
        ("a?b#c", "a%3Fb%23c"),
        ("dir/ü~", "dir/%C3%BC~"),
        ("a+b=c&d;e:@", "a%2Bb%3Dc%26d%3Be%3A%40"),
        ("\udcff", "%FF"),
    ],
)
def test_a_key_is_encoded_once(key: str, path: str):
    assert encoded(key) == path
    assert paths(f"/{path}") == [key]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/../b", "..", "./a", "a\0b"])
def test_a_key_that_a_server_would_change_is_refused(key: str):
    with pytest.raises(BadKeyError):
        encoded(key)


def test_etags_and_dates():
    assert strong('"a"') == '"a"'
    assert [strong(text) for text in ('W/"a"', "a", '""', "", None)] == [None] * 5
    assert seconds("Thu, 01 Jan 1970 00:00:10 GMT") == 10
    assert [seconds(text) for text in ("yesterday", "", None)] == [None] * 3
