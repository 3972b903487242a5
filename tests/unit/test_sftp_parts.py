from __future__ import annotations

import socket

import asyncssh
import pytest

from backends.sftp.errors import sftp_errors, translated
from backends.sftp.partial import LINE, Partial, line_of, receipts_in
from transfer import errors
from transfer.checksums import Algorithm, checksum_of
from transfer.model import Receipt

ID = "0123456789abcdef" * 2


@pytest.mark.parametrize("algorithm", [None, *(a for a in Algorithm if a != Algorithm.CRC64NVME)])
def test_a_receipt_comes_back_as_it_was_noted(algorithm: Algorithm | None):
    checksum = checksum_of(algorithm, b"x") if algorithm else None
    etag = f'"{checksum.value.hex()}"' if checksum else ""
    receipt = Receipt(2, 10**15, etag, checksum)
    line = line_of(receipt)
    assert len(line) == LINE
    assert receipts_in(bytes(LINE) + line) == {2: receipt}


def test_lines_that_are_not_whole_do_not_count():
    first, second = (line_of(Receipt(number, 5, "")) for number in (1, 2))
    blank = b" " * (LINE - 1) + b"\n"
    assert receipts_in(b"") == {}
    assert set(receipts_in(first + second)) == {1, 2}
    assert set(receipts_in(first + blank + line_of(Receipt(3, 5, "")))) == {1, 3}
    assert set(receipts_in(first + second[:5])) == {1}
    assert set(receipts_in(first + bytes(LINE))) == {1}
    assert receipts_in(second) == {}, "a line in the wrong place is somebody else's"
    assert receipts_in(b'["a", 1, ""]'.ljust(LINE)) == {}
    assert receipts_in(b'[1, "5", ""]'.ljust(LINE)) == {}
    assert receipts_in(b'[1, 5, "md5:wrong"]'.ljust(LINE)) == {}


def test_temporary_names_lie_beside_the_target():
    assert Partial("/a/b.bin", ID).temporary == f"/a/.transfer-{ID}.partial"
    assert Partial("/b.bin", ID).notes == f"/.transfer-{ID}.receipts"


@pytest.mark.parametrize("upload_id", ["", "x", ID[:-1], ID + "0", "../" + ID[3:], ID.upper()])
def test_ids_that_were_never_given_out_are_gone(upload_id: str):
    with pytest.raises(errors.UploadGoneError):
        Partial("/a", upload_id)


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (asyncssh.SFTPNoSuchFile("No such file"), errors.NotFoundError, "no such file"),
        (asyncssh.SFTPPermissionDenied("x"), errors.AccessError, "permission denied"),
        (asyncssh.SFTPNoSpaceOnFilesystem("x"), errors.DiskFullError, "free some space"),
        (asyncssh.SFTPQuotaExceeded("x"), errors.DiskFullError, "free some space"),
        (asyncssh.SFTPOpUnsupported("x"), errors.UnsupportedError, "'x'"),
        (asyncssh.SFTPFailure("Failure"), errors.StoreError, "'Failure'"),
        (asyncssh.SFTPFailure("a\nb\x1b"), errors.StoreError, "'a b\\x1b'"),
        (asyncssh.SFTPBadMessage("Bad message"), errors.RejectedError, "does not accept"),
        (asyncssh.SFTPConnectionLost("x"), errors.ConnectionLostError, "'x'"),
        (asyncssh.ConnectionLost("x"), errors.ConnectionLostError, "the connection ended"),
        (asyncssh.PermissionDenied("x"), errors.CredentialsError, "the connection ended"),
        (asyncssh.ProtocolError("x"), errors.ConnectionLostError, "the connection ended"),
        (ConnectionRefusedError(111, "Connection refused"), errors.ConnectionLostError, "refused"),
        (socket.gaierror(-2, "x"), errors.ConnectionLostError, "does not resolve"),
        (TimeoutError(), errors.StalledError, "does not answer"),
        (EOFError(), errors.ConnectionLostError, "the connection ended"),
    ],
)
def test_errors_of_the_library_become_ours(error, kind, word):
    ours = translated(error, "read sftp://h/a")
    assert type(ours) is kind
    assert word in str(ours)
    assert "\n" not in str(ours)


def test_our_own_errors_pass():
    with pytest.raises(errors.ExistsError), sftp_errors("x"):
        raise errors.ExistsError("x")
