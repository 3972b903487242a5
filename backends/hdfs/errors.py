"""What HDFS and its client library say, as our errors.

The library gives some Java exceptions as Python's own, the rest as text: the
name of its error, the Java class, the message with the Java stack behind it.
Source: hdfs-native, `HdfsError`; the exceptions of `ClientProtocol` in Hadoop.
"""

from __future__ import annotations

import re

from transfer.errors import (
    AccessError,
    BadKeyError,
    ConnectionLostError,
    CredentialsError,
    ExistsError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    TransferError,
    UnavailableError,
    UnsupportedError,
    UsageError,
)

_QUOTA = "there is no room left in the quota of this folder"
_LOGIN = "get a ticket with kinit, or check MLFLOW_KERBEROS_USER and MLFLOW_KERBEROS_TICKET_CACHE"
_BY_CLASS: dict[str, tuple[type[TransferError], str]] = {
    "AccessControlException": (
        AccessError,
        "check the permissions, and MLFLOW_KERBEROS_USER for who asks",
    ),
    "InvalidPathException": (BadKeyError, "HDFS takes no name with a colon in it"),
    "PathComponentTooLongException": (BadKeyError, ""),
    "MaxDirectoryItemsExceededException": (RejectedError, "the folder is full"),
    "DSQuotaExceededException": (RejectedError, _QUOTA),
    "NSQuotaExceededException": (RejectedError, _QUOTA),
    "QuotaByStorageTypeExceededException": (RejectedError, _QUOTA),
    "ParentNotDirectoryException": (RejectedError, "something above it is a file"),
    "IllegalStateException": (RejectedError, ""),
    "AccessTokenException": (AccessError, ""),
    "InvalidToken": (CredentialsError, _LOGIN),
}
_BY_KIND: dict[str, tuple[type[TransferError], str]] = {
    "DataTransferError": (ConnectionLostError, ""),
    "BlocksNotFound": (ConnectionLostError, ""),
    "InvalidPath": (BadKeyError, ""),
    "SASLError": (CredentialsError, _LOGIN),
    "GSSAPIError": (CredentialsError, _LOGIN),
    "NoSASLMechanism": (CredentialsError, _LOGIN),
    "UnsupportedFeature": (UnsupportedError, ""),
    "UnsupportedErasureCodingPolicy": (UnsupportedError, ""),
    "InvalidArgument": (
        UsageError,
        "write hdfs://HOST:PORT/PATH, or set HADOOP_CONF_DIR for hdfs:/PATH",
    ),
}
_RPC = re.compile(r'(?:Fatal)?RPCError\("([\w.$]*)", "(.*)', re.DOTALL)
_OTHER = re.compile(r'(\w+)(?:\("?(.*?)"?\))?', re.DOTALL)
_LONGEST = 200


def error_of(what: str, error: BaseException) -> TransferError:
    """Return our error; `what` is "write hdfs://host:8020/key"."""
    text = str(error)
    match error:
        case FileNotFoundError():
            # The text is a path, or a sentence about the NameNode's tables.
            return NotFoundError(f"{what}: there is no such file")
        case FileExistsError():
            return ExistsError(f"{what}: {_first_line(text)}")
        case PermissionError():
            return AccessError(f"{what}: {_first_line(text)}", hint="check the permissions")
        case OSError():
            return ConnectionLostError(f"{what}: {_first_line(text)}")
        case UnicodeEncodeError():
            return BadKeyError(f"{what}: HDFS takes no name that is not Unicode")
        case RuntimeError():
            return _of_text(what, text)
        case _:
            return ProtocolError(f"{what}: the HDFS library failed: {_first_line(text)}")


def _of_text(what: str, text: str) -> TransferError:
    rpc = _RPC.match(text)
    if rpc is not None:
        name = re.split(r"[.$]", rpc[1])[-1]
        # What the server has no name of its own for (a DataNode too few, a
        # NameNode on stand-by or in safe mode) may be over in a moment.
        kind, hint = _BY_CLASS.get(name, (UnavailableError, ""))
        return kind(f"{what}: {_first_line(rpc[2]) or name}", hint=hint)
    other = _OTHER.match(text)
    if other is not None and other[1] in _BY_KIND:
        kind, hint = _BY_KIND[other[1]]
        return kind(f"{what}: {_first_line(other[2] or other[1])}", hint=hint)
    return ProtocolError(f"{what}: {_first_line(text)}")


def _first_line(text: str) -> str:
    """Return the message without the stack of the server behind it."""
    line = re.split(r"\n|\\n|, DatanodeInfoProto|: \[DatanodeInfoProto", text.strip())[0]
    line = line.replace('\\"', '"').rstrip('")')
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
