from __future__ import annotations

import pytest

from backends.web.answers import (
    answered_version,
    checksum_of,
    condition_of,
    error_of_answer,
    gives_ranges,
    info_of_head,
    is_dav,
    leads_to_folder,
    marks_of,
    version_of,
    versions_differ,
)
from transfer.errors import (
    AccessError,
    CredentialsError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    SourceChangedError,
    ThrottledError,
    UnavailableError,
    UnsupportedError,
)
from transfer.store import Response

URL = "http://host/dir"
DATE = "Tue, 15 Nov 1994 08:12:31 GMT"
LATER = "Tue, 15 Nov 1994 08:12:32 GMT"


def test_a_strong_etag_is_the_version():
    assert version_of({"etag": '"x"', "last-modified": DATE, "date": DATE}) == '"x"'
    assert condition_of('"x"') == {"If-Match": '"x"'}


def test_a_date_is_a_version_if_nothing_can_have_been_written_since():
    weak = {"etag": 'W/"x"', "last-modified": DATE}
    assert version_of({**weak, "date": LATER}) == DATE
    assert version_of({**weak, "date": DATE}) is None
    assert version_of(weak) is None
    assert version_of({}) is None
    assert condition_of(DATE) == {"If-Unmodified-Since": DATE}


def test_what_is_no_version_may_be_a_mark():
    assert marks_of({"etag": 'W/"x"', "last-modified": DATE, "date": DATE}) == {
        "etag": '"x"',
        "last-modified": DATE,
    }
    assert marks_of({"etag": " ", "date": DATE}) == {}


def test_an_answer_tells_the_version_in_the_way_it_was_asked():
    headers = {"etag": '"x"', "last-modified": DATE}
    assert answered_version('"y"', headers) == '"x"'
    assert answered_version(LATER, headers) == DATE
    assert answered_version(None, {"etag": 'W/"x"'}) is None


def test_versions_of_different_kinds_do_not_contradict_each_other():
    assert versions_differ('"x"', '"y"')
    assert versions_differ(DATE, LATER)
    assert not versions_differ('"x"', '"x"')
    assert not versions_differ('"x"', DATE)
    assert not versions_differ(None, '"x"')


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"repr-digest": "sha-256=:" + "A" * 43 + "=:"}, "sha256:" + "00" * 32),
        ({"digest": "MD5=" + "A" * 22 + "==,SHA=" + "A" * 27 + "="}, "sha1:" + "00" * 20),
        ({"oc-checksum": "MD5:" + "0f" * 16}, "md5:" + "0f" * 16),
        ({"content-md5": "A" * 22 + "=="}, "md5:" + "00" * 16),
    ],
)
def test_checksums_are_found_in_whichever_header_has_them(headers, shown):
    assert checksum_of(headers).shown == shown


@pytest.mark.parametrize(
    "headers", [{}, {"content-md5": "no"}, {"digest": "id-crc32=1"}, {"oc-checksum": "ADLER32:1"}]
)
def test_what_is_no_checksum_is_none(headers):
    assert checksum_of(headers) is None


def test_ranges_are_there_only_if_the_server_says_so():
    assert gives_ranges({"accept-ranges": "bytes"})
    assert gives_ranges({"content-range": "bytes 0-1/2"})
    assert not gives_ranges({"accept-ranges": "none"})
    assert not gives_ranges({})


def test_an_object_without_a_length_is_none():
    with pytest.raises(ProtocolError, match="does not say how long"):
        info_of_head("a", URL, Response(200, {}))
    assert info_of_head("a", URL, Response(200, {"content-length": "7"})).size == 7


def test_webdav_is_what_says_so():
    assert is_dav(Response(200, {"dav": "1, 2"}))
    assert not is_dav(Response(200, {"dav": "2"}))
    assert not is_dav(Response(405, {"dav": "1"}))


@pytest.mark.parametrize("location", ["/dir/", "http://other:8080/dir/", "http://host/dir/?x"])
def test_a_missing_slash_means_a_folder(location: str):
    assert leads_to_folder(URL, Response(301, {"location": location}))


@pytest.mark.parametrize("location", ["/dir", "/", "/login?back=/dir/", ""])
def test_another_redirect_does_not(location: str):
    assert not leads_to_folder(URL, Response(302, {"location": location}))
    assert not leads_to_folder(URL, Response(200, {"location": "/dir/"}))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, CredentialsError),
        (403, AccessError),
        (404, NotFoundError),
        (405, UnsupportedError),
        (410, NotFoundError),
        (413, RejectedError),
        (416, SourceChangedError),
        (423, UnavailableError),
        (429, ThrottledError),
        (500, UnavailableError),
        (507, RejectedError),
    ],
)
def test_statuses_have_their_errors(status: int, kind: type[Exception]):
    error = error_of_answer("write http://host/a", URL, Response(status, {}))
    assert type(error) is kind
    assert str(error).startswith(f"write http://host/a: the server answered {status}")


def test_a_redirect_says_where_to_without_its_secrets():
    answer = Response(307, {"location": "//user:pw@other/x?token=secret"})
    error = error_of_answer("read http://host/dir", URL, answer)
    assert isinstance(error, ProtocolError)
    assert "redirects to http://other/x?…, which is not followed" in error.message
    assert "secret" not in str(error)
    assert "pw" not in str(error)


def test_a_login_that_is_not_basic_is_named():
    answer = Response(401, {"www-authenticate": 'Digest realm="x"'})
    assert "digest" in error_of_answer("x", URL, answer).hint
    basic = Response(401, {"www-authenticate": "Basic"})
    assert "user and password" in error_of_answer("x", URL, basic).hint
