from __future__ import annotations

import pytest

from backends.ftp.replies import (
    Features,
    HashCommand,
    Listed,
    error_of,
    is_denial,
    parse_facts,
    parse_features,
    parse_hash,
    parse_line,
    seconds_of,
)
from transfer import errors
from transfer.checksums import Algorithm

VSFTPD = """Features:
 EPRT
 EPSV
 MDTM
 PASV
 REST STREAM
 SIZE
 TVFS
End"""
PROFTPD = """Features:
 AUTH TLS
 HASH CRC32;MD5;SHA-1*;SHA-256;SHA-512
 LANG en-US*
 MDTM
 MLST modify*;perm*;size*;type*;
 REST STREAM
 SIZE
 UTF8
 XCRC
 XMD5
End"""
RCLONE = """Extensions supported:
 UTF8
 SIZE
 MLST Type*;Size*;Modify*;
End"""


def test_features_are_read_as_servers_write_them():
    assert parse_features(VSFTPD.splitlines()) == Features(ranges=True)
    assert parse_features(PROFTPD.splitlines()) == Features(
        ranges=True,
        machine_lists=True,
        machine_stat=True,
        utf8=True,
        hash=HashCommand("XCRC", "", Algorithm.CRC32),
    )
    found = parse_features(RCLONE.splitlines())
    assert (found.ranges, found.machine_lists, found.utf8) == (False, True, True)
    assert parse_features([]) == Features()


@pytest.mark.parametrize("line", [" REST", " REST STREAMS", " XREST STREAM", "REST BLOCK"])
def test_ranges_only_where_the_server_says_so(line: str):
    assert not parse_features([line]).ranges


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (" HASH SHA-256*;MD5", HashCommand("HASH", "MD5", Algorithm.MD5)),
        (" HASH SHA-1*;SHA-256", HashCommand("HASH", "SHA-256", Algorithm.SHA256)),
        (" HASH SHA-512*", None),
        (" XSHA256", HashCommand("XSHA256", "", Algorithm.SHA256)),
        (" XMD5 filename;start;end", HashCommand("XMD5", "", Algorithm.MD5)),
    ],
)
def test_the_cheapest_checksum_is_chosen(line: str, command: HashCommand | None):
    assert parse_features([line]).hash == command


@pytest.mark.parametrize(
    ("algorithm", "lines", "digest"),
    [
        (Algorithm.CRC32, [" 1A2B3C4D"], "1a2b3c4d"),
        (Algorithm.CRC32, [" B3C"], "00000b3c"),
        (Algorithm.MD5, ["-Computing MD5 digest", " D41D8CD98F00B204E9800998ECF8427E"],
         "d41d8cd98f00b204e9800998ecf8427e"),
        (Algorithm.SHA256, [f" SHA-256 0-9 {'ab' * 32} name"], "ab" * 32),
        (Algorithm.SHA256, [" no digest here"], None),
    ],
)  # fmt: skip
def test_digests_are_found_among_words(algorithm, lines, digest):
    found = parse_hash(algorithm, lines)
    assert (found.value.hex() if found else None) == digest


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        (
            "type=file;size=12;modify=20240229123456.789; a  b;c=d .bin",
            Listed("a  b;c=d .bin", "file", 12, "20240229123456.789"),
        ),
        ("Type=dir;Modify=20240229123456;UNIX.mode=0755; x\r\n", Listed("x", "folder", None,
         "20240229123456")),
        ("type=file;size=0;  leads", Listed(" leads", "file", 0)),
        ("type=OS.unix=slink:/elsewhere;size=3; l", Listed("l", "link", 3)),
        ("type=cdir; .", None),
        ("type=pdir; ..", None),
    ],
)  # fmt: skip
def test_lines_of_mlsd_are_read(line: str, listed: Listed | None):
    assert parse_facts(line) == listed


@pytest.mark.parametrize(
    ("line", "listed"),
    [
        ("-rw-r--r--    1 0        0            1000 Nov 24 08:44 a b.bin",
         Listed("a b.bin", "file", 1000)),
        ("-rw-------    1 1000     users  5368709120 Feb 29  2024  leads",
         Listed(" leads", "file", 5368709120)),
        ("drwxr-xr-x    2 ftp      ftp        4096 Jan  1  1980 dir\r", Listed("dir", "folder")),
        ("lrwxrwxrwx    1 0        0             7 Nov 24 08:44 l -> there", Listed("l", "link")),
        ("drwxrwsr-t+   2 a-b      c.d        4096 Jan 11 00:00 x", Listed("x", "folder")),
        ("crw-rw-rw-    1 root     root     1,   3 Jan 11 00:00 null", Listed("null", "file", 0)),
        ("11-24-26  08:44AM       <DIR>          some dir", Listed("some dir", "folder")),
        ("11-24-2026  08:44PM            1,234,567 some file.bin",
         Listed("some file.bin", "file", 1234567)),
        ("-rw-r--r--    1 joe Domain Users    1000 Nov 24 08:44 a b.bin",
         Listed("a b.bin", "file", 1000)),
        ("-rw-r--r--    1 joe 1000    2000 Nov 24 08:44 1 Nov 24 08:44 x",
         Listed("1 Nov 24 08:44 x", "file", 2000)),
        ("-rw-r--r-- 1 u g 7 2026-01-31 08:44 a", Listed("a", "file", 7)),
        ("-rw-r--r-- 1 u g 7 2026-01-31 08:44:10.000000000 +0100 a", Listed("a", "file", 7)),
        ("11-24-26  18:44       <DIR>          some dir", Listed("some dir", "folder")),
        ("2026-11-24  18:44            12 some file", Listed("some file", "file", 12)),
        ("total 12", None),
        ("ls: cannot open directory", None),
        ("", None),
    ],
)  # fmt: skip
def test_lines_for_people_are_read(line: str, listed: Listed | None):
    assert parse_line(line) == listed


@pytest.mark.parametrize(
    "line",
    [
        "-rw-r--r-- 1 u g 7 yesterday a",
        "drwxr-xr-x a",
        "24.11.2026  18:44  12  a",
        "11-24-26  18:44  <OTHER>  a",
    ],
)
def test_an_entry_that_cannot_be_read_is_not_left_out(line: str):
    with pytest.raises(errors.ProtocolError, match="cannot be read"):
        parse_line(line)


@pytest.mark.parametrize(
    ("lines", "path", "denied"),
    [
        (["Permission denied."], "/a", True),
        (["/permissions: No such file or directory"], "/permissions", False),
        (["Failed to change directory."], "/a", False),
    ],
)
def test_denials_are_told_by_their_words_not_by_the_path(lines, path, denied):
    assert is_denial(lines, path) is denied


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("19700101000000", 0.0),
        ("20240229123456", 1709210096.0),
        ("20240229123456.5", 1709210096.5),
        ("2024", None),
        (None, None),
    ],
)
def test_times_are_in_utc(text: str | None, seconds: float | None):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        ("421", "Too many connections", errors.UnavailableError),
        ("425", "Cannot open data connection", errors.ConnectionLostError),
        ("426", "Connection closed; transfer aborted", errors.ConnectionLostError),
        ("450", "File busy", errors.UnavailableError),
        ("451", "Failure writing to local file.", errors.DiskFullError),
        ("452", "Insufficient storage", errors.DiskFullError),
        ("500", "Unknown command", errors.UnsupportedError),
        ("502", "Not implemented", errors.UnsupportedError),
        ("522", "Data connections must be encrypted", errors.TlsError),
        ("530", "Login incorrect.", errors.CredentialsError),
        ("534", "Policy requires SSL", errors.TlsError),
        ("550", "No such file or directory", errors.NotFoundError),
        ("550", "Permission denied.", errors.AccessError),
        ("550", "Not enough privileges.", errors.AccessError),
        ("550", "No space left on device", errors.DiskFullError),
        ("552", "Quota exceeded", errors.DiskFullError),
        ("553", "Could not create file.", errors.AccessError),
        ("555", "What?", errors.RejectedError),
    ],
)
def test_replies_become_errors(code: str, said: str, kind: type[errors.TransferError]):
    error = error_of("write ftp://h/a", code, [f" {said}"])
    assert type(error) is kind
    assert str(error).startswith(f"cannot write ftp://h/a: the server says {code} '{said}'")


def test_words_of_a_server_stay_on_one_line():
    error = error_of("list x", "550", ["-first\x1b[31m", " second\x07", "x" * 1000])
    assert "\n" not in str(error)
    assert "\x1b" not in str(error)
    assert len(str(error)) < 300
