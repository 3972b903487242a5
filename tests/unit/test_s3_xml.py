"""Documents of S3 and of its compatibles."""

from __future__ import annotations

import pytest

from backends.s3.documents import Document, decoded, is_error, parts_document
from transfer.errors import UnavailableError

LISTING = b"""
<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>
<Contents><Key>a+b%2Bc/%C3%BC</Key><Size>3</Size></Contents>
<Contents><Key>d</Key><Size>0</Size></Contents></ListBucketResult>"""


def test_fields_and_items_whatever_the_namespace():
    page = Document("list", LISTING, "List")
    assert page.fields["Name"] == "b"
    assert [item["Size"] for item in page.items("Contents")] == ["3", "0"]
    plain = Document(
        "list", LISTING.replace(b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', b""), "List"
    )
    assert plain.fields == page.fields


def test_keys_are_decoded_only_where_they_were_encoded():
    page = Document("list", LISTING, "List")
    assert [decoded(item["Key"], page) for item in page.items("Contents")] == ["a b+c/ü", "d"]
    plain = Document("list", LISTING.replace(b"<EncodingType>url</EncodingType>", b""), "List")
    assert next(decoded(item["Key"], plain) for item in plain.items("Contents")) == "a+b%2Bc/%C3%BC"


@pytest.mark.parametrize("body", [b"", b"<html>", b"<html/>", b"ok", b"<List", b"\xff\xfe"])
def test_what_is_no_such_document_is_a_failure_of_the_server(body: bytes):
    with pytest.raises(UnavailableError, match="list s3://b"):
        Document("list s3://b", body, "List")


def test_entities_that_grow_are_refused():
    lines = [b'<!ENTITY a0 "0123456789">']
    lines += [b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 20) for n in range(1, 9)]
    body = b"<?xml version='1.0'?><!DOCTYPE x [" + b"".join(lines) + b"]><List>&a8;</List>"
    with pytest.raises(UnavailableError):
        Document("list", body, "List")


def test_success_that_holds_an_error_is_one():
    assert is_error(b"<?xml version='1.0'?>\n\n<Error><Code>InternalError</Code></Error>")
    assert not is_error(LISTING)
    assert not is_error(b"")


def test_parts_are_written_with_their_texts_escaped():
    body = parts_document([{"PartNumber": 1, "ETag": '"a"'}, {"PartNumber": 2, "ETag": "<&>"}])
    found = list(Document("x", body, "CompleteMultipartUpload").items("Part"))
    assert found == [{"PartNumber": "1", "ETag": '"a"'}, {"PartNumber": "2", "ETag": "<&>"}]
