from __future__ import annotations

import pytest

from backends.hdfs.errors import error_of
from transfer.errors import (
    AccessError,
    BadKeyError,
    ConnectionLostError,
    CredentialsError,
    ExistsError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    UnavailableError,
    UsageError,
)

STACK = r"\n\tat org.apache.hadoop.hdfs.Some.method(Some.java:1)\n\tat more"
SECURITY = "org.apache.hadoop.security.AccessControlException"
PROTOCOL = "org.apache.hadoop.hdfs.protocol"


def rpc(name: str, message: str) -> RuntimeError:
    return RuntimeError(f'RPCError("{name}", "{message}{STACK}")')


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("/a"), NotFoundError),
        (FileExistsError("/a already exists\n\tat x"), ExistsError),
        (OSError("Connection refused (os error 111)"), ConnectionLostError),
        (rpc(SECURITY, 'Permission denied: user=\\"x\\"'), AccessError),
        (rpc("org.apache.hadoop.ipc.StandbyException", "stand-by"), UnavailableError),
        (rpc("java.io.IOException", "could only be replicated to 0 nodes"), UnavailableError),
        (rpc("org.apache.hadoop.fs.InvalidPathException", "Invalid path name /a:b"), BadKeyError),
        (rpc(f"{PROTOCOL}.FSLimitException$PathComponentTooLongException", "long"), BadKeyError),
        (rpc(f"{PROTOCOL}.DSQuotaExceededException", "quota"), RejectedError),
        (RuntimeError('DataTransferError("All nodes failed for write")'), ConnectionLostError),
        (RuntimeError('InvalidArgument("No fs.defaultFS setting found")'), UsageError),
        (RuntimeError('SASLError("no ticket")'), CredentialsError),
        (RuntimeError("NoSASLMechanism"), CredentialsError),
        (RuntimeError("something new"), ProtocolError),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), BadKeyError),
        (BaseException("there is no reactor running"), ProtocolError),
    ],
)
def test_errors_are_ours_in_one_line(error: BaseException, kind: type[Exception]):
    found = error_of("write hdfs://h/a", error)
    assert type(found) is kind
    assert found.message.startswith("write hdfs://h/a: ")
    assert "\n" not in str(found)
    assert "\tat" not in found.message
    assert "\\n" not in found.message


def test_the_servers_own_words_are_kept():
    found = error_of("x", rpc(SECURITY, 'Permission denied: inode=\\"/a\\":root'))
    assert found.message == 'x: Permission denied: inode="/a":root'
    nodes = RuntimeError('DataTransferError("All DataNodes failed: [DatanodeInfoProto { id: 1 }]")')
    assert error_of("x", nodes).message == "x: All DataNodes failed"
    assert len(error_of("x", rpc("java.io.IOException", "y" * 999)).message) < 220
