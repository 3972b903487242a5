from __future__ import annotations

import pytest

from backends.azure.blocks import Block
from backends.azure.documents import block_list, commitment, delegation, listing, md5_of
from transfer.checksums import Algorithm, checksum_of
from transfer.errors import ProtocolError
from transfer.model import ObjectInfo, Page

MD5 = checksum_of(Algorithm.MD5, b"12")

LISTING = f"""\ufeff<?xml version="1.0" encoding="utf-8"?>
<EnumerationResults ServiceEndpoint="https://a.blob.core.windows.net/" ContainerName="c">
  <Prefix>p/</Prefix><MaxResults>1000</MaxResults>
  <Blobs>
    <Blob><Name>p/a &amp; b</Name><Properties>
      <Last-Modified>Thu, 01 Jan 2026 00:00:10 GMT</Last-Modified><Etag>0x8D1</Etag>
      <Content-Length>2</Content-Length><Content-Type>text/plain</Content-Type>
      <Content-MD5>{MD5.base64}</Content-MD5></Properties></Blob>
    <Blob><Name Encoded="true">p/%EF%BF%BE</Name><Properties>
      <Content-Length>0</Content-Length><Content-Type /><Content-MD5 /></Properties></Blob>
    <Blob><Name>p/folder</Name><Properties>
      <Content-Length>0</Content-Length><ResourceType>directory</ResourceType></Properties></Blob>
    <BlobPrefix><Name>p/folder/</Name></BlobPrefix>
  </Blobs>
  <NextMarker>2!72!more</NextMarker>
</EnumerationResults>""".encode()


def blob(inside: str) -> bytes:
    name = "EnumerationResults"
    return f"<{name}><Blobs><Blob>{inside}</Blob></Blobs></{name}>".encode()


def test_listing():
    assert listing(LISTING) == Page(
        (
            ObjectInfo("p/a & b", 2, '"0x8D1"', 1_767_225_610.0, MD5, "text/plain"),
            ObjectInfo("p/\ufffe", 0),
        ),
        ("p/folder/",),
        "2!72!more",
    )


def test_listing_that_ends_has_no_marker():
    body = b"<EnumerationResults><Blobs /><NextMarker /></EnumerationResults>"
    assert listing(body) == Page(())


def test_block_list():
    body = b"""<?xml version="1.0"?><BlockList>
      <CommittedBlocks><Block><Name>YQ==</Name><Size>1</Size></Block></CommittedBlocks>
      <UncommittedBlocks><Block><Name>Yg==</Name><Size>4194304000</Size></Block></UncommittedBlocks>
      </BlockList>"""
    assert block_list(body) == ([Block("Yg==", 4194304000)], [Block("YQ==", 1)])
    assert block_list(b"<BlockList/>") == ([], [])


def test_only_blocks_that_wait_are_committed_in_order():
    assert commitment(["Yg==", "YQ=="]).endswith(
        b"<BlockList><Uncommitted>Yg==</Uncommitted><Uncommitted>YQ==</Uncommitted></BlockList>"
    )


def test_delegated_key():
    body = b"""<UserDelegationKey><SignedOid>o</SignedOid><SignedTid>t</SignedTid>
      <SignedStart>s</SignedStart><SignedExpiry>e</SignedExpiry><SignedService>b</SignedService>
      <SignedVersion>v</SignedVersion><Value>a2V5</Value></UserDelegationKey>"""
    fields = {"skoid": "o", "sktid": "t", "skt": "s", "ske": "e", "sks": "b", "skv": "v"}
    assert delegation(body) == (fields, "a2V5")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"<html/>",
        b"<BlockList/>",
        b"{}",
        b"\xff\xfe\x00",
        b'<!DOCTYPE a [<!ENTITY b "c">]><EnumerationResults>&b;</EnumerationResults>',
        blob("<Name>a</Name>"),
        blob("<Properties><Content-Length>1</Content-Length></Properties>"),
        blob("<Name>a</Name><Properties><Content-Length>x</Content-Length></Properties>"),
    ],
)
def test_what_is_no_listing_is_a_protocol_error(body: bytes):
    with pytest.raises(ProtocolError, match="the store answered what is not a listing"):
        listing(body)


def test_what_is_no_key_is_a_protocol_error():
    with pytest.raises(ProtocolError):
        delegation(b"<UserDelegationKey/>")


@pytest.mark.parametrize("text", [None, "", "x", "AAAA"])
def test_property_that_is_no_md5_is_none(text: str | None):
    assert md5_of(text) is None
