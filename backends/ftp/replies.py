"""What an FTP server says, read and decided on without asking it anything: pure functions.

Replies are numbers with foreign words (RFC 959); what a server can is in its
answer to FEAT (RFC 2389). Folders are listed in lines made for programs (MLSD,
RFC 3659) or, by older servers, in those of `ls` and `dir`, made for people.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transfer.checksums import Algorithm, Checksum
from transfer.errors import (
    AccessError,
    ConnectionLostError,
    CredentialsError,
    DiskFullError,
    NotFoundError,
    ProtocolError,
    RejectedError,
    TlsError,
    TransferError,
    UnavailableError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FULL = re.compile(
    r"no space|disk (is )?full|quota|insufficient (storage|disk)|local file", re.IGNORECASE
)
_DENIED = re.compile(
    r"denied|privilege|not permitted|not allowed|permission|forbidden|read.?only", re.IGNORECASE
)
# The first prefix that fits decides; 550 says too much, and its words decide.
_CODES: tuple[tuple[str, type[TransferError]], ...] = (
    ("421", UnavailableError),
    ("425", ConnectionLostError),
    ("426", ConnectionLostError),
    ("431", TlsError),
    ("452", DiskFullError),
    ("4", UnavailableError),
    ("522", TlsError),
    ("530", CredentialsError),
    ("331", CredentialsError),
    ("332", CredentialsError),
    ("532", CredentialsError),
    ("534", TlsError),
    ("535", TlsError),
    ("50", UnsupportedError),
    ("550", NotFoundError),
    ("552", DiskFullError),
    ("553", AccessError),
)
_HINTS: dict[type[TransferError], str] = {
    CredentialsError: "check user and password, or set TRANSFER_STORE_PASSWORD",
    DiskFullError: "free some space on the server and run it again",
    AccessError: "check the permissions on the server",
}


def error_of(what: str, code: str, lines: Iterable[str]) -> TransferError:
    """Return the error for a reply: "cannot <what>: <code> <its words>"."""
    said = " ".join(" ".join(lines).split()).lstrip("- ")[:200]
    kind = _kind(code, said)
    return kind(f"cannot {what}: the server says {code} {said!a}", hint=_HINTS.get(kind, ""))


def is_denial(lines: Iterable[str], path: str) -> bool:
    """Tell whether the words of a reply, which may hold the path too, say that one may not."""
    return _DENIED.search(" ".join(lines).replace(path, "")) is not None


def _kind(code: str, said: str) -> type[TransferError]:
    if code[:1] in {"4", "5"} and _FULL.search(said):
        return DiskFullError
    if code == "550" and _DENIED.search(said):
        return AccessError
    return next((kind for prefix, kind in _CODES if code.startswith(prefix)), RejectedError)


# How a checksum is asked for, the dearest last.
_HASHES: tuple[tuple[str, str, Algorithm], ...] = (
    ("XCRC", "", Algorithm.CRC32),
    ("HASH", "CRC32", Algorithm.CRC32),
    ("XMD5", "", Algorithm.MD5),
    ("HASH", "MD5", Algorithm.MD5),
    ("XSHA256", "", Algorithm.SHA256),
    ("HASH", "SHA-256", Algorithm.SHA256),
)


@dataclass(frozen=True, slots=True)
class HashCommand:
    """How a server is asked for the checksum of a file; `option` goes before, by OPTS HASH."""

    verb: str
    option: str
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class Features:
    """What a server can, by its answer to FEAT."""

    ranges: bool = False
    machine_lists: bool = False
    machine_stat: bool = False
    utf8: bool = False
    hash: HashCommand | None = None


def parse_features(lines: Iterable[str]) -> Features:
    """Read the lines of an answer to FEAT; the first and the last are words."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        found[name.upper()] = rest.strip().upper()
    return Features(
        ranges=found.get("REST") == "STREAM",
        # MLSD comes with MLST, which is what FEAT names (RFC 3659, section 7.8).
        machine_lists="MLST" in found or "MLSD" in found,
        machine_stat="MLST" in found,
        utf8="UTF8" in found,
        hash=_hash_command(found),
    )


def _hash_command(found: Mapping[str, str]) -> HashCommand | None:
    offered = {name.strip("* ") for name in re.split("[;,]", found.get("HASH", ""))}
    for verb, option, algorithm in _HASHES:
        if verb in found and (not option or option in offered):
            return HashCommand(verb, option, algorithm)
    return None


def parse_hash(algorithm: Algorithm, lines: Iterable[str]) -> Checksum | None:
    """Find the digest in an answer to HASH, XCRC and their like; None if there is none.

    Servers write it among other words; CRCs with leading zeros left out.
    """
    length = {Algorithm.CRC32: 8, Algorithm.MD5: 32, Algorithm.SHA256: 64}[algorithm]
    least = 1 if algorithm is Algorithm.CRC32 else length
    for word in " ".join(lines).replace("-", " ").split():
        if least <= len(word) <= length and re.fullmatch("[0-9A-Fa-f]+", word):
            return Checksum(algorithm, bytes.fromhex(word.rjust(length, "0")))
    return None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of a listing; `kind` is "file", "folder" or "link"; `modified` as MDTM says it."""

    name: str
    kind: str
    size: int | None = None
    modified: str | None = None


_KINDS = {"file": "file", "dir": "folder"}


def parse_facts(line: str) -> Listed | None:
    """Read a line of MLSD or MLST (RFC 3659, section 7.2); None for the folder and its parent."""
    facts, _, name = line.rstrip("\r\n").partition(" ")
    found = {
        key.lower(): value for key, _, value in (fact.partition("=") for fact in facts.split(";"))
    }
    kind = found.get("type", "").lower()
    if kind in {"cdir", "pdir"}:
        return None
    size = found.get("size", "")
    return Listed(
        name,
        _KINDS.get(kind, "link"),
        int(size) if size.isdecimal() else None,
        found.get("modify") or None,
    )


_TIME = r"\d\d:\d\d(:\d\d(\.\d+ [-+]\d{4})?)?"
# Names of owners and groups may have spaces in them; the first number before a date is the size.
_UNIX = re.compile(
    r"(?P<kind>[-dlbcpsD])[-rwxsStTlL]{9}[+.@]?\s+\d+\s+\S.*?\s+(?P<size>\d+(,\s*\d+)?)\s+"
    r"([^\W\d_]{3,4}\.?\s+\d{1,2}\s+(\d{4}|\d{1,2}:\d\d)"
    rf"|\d{{4}}-\d\d-\d\d\s+{_TIME}) (?P<name>.+)",
    re.DOTALL,
)
_DOS = re.compile(
    r"(\d\d-\d\d-\d\d(\d\d)?|\d{4}-\d\d-\d\d)\s+\d\d:\d\d(\s*[AP]M)?\s+"
    r"(?P<size><DIR>|[\d,]+)\s(?P<name>.+)",
    re.IGNORECASE | re.DOTALL,
)
_ENTRY = re.compile(r"[-dlbcpsD][-rwxsStTlL]{9}|\d{1,4}[-/.]\d\d[-/.]\d\d")


def parse_line(line: str) -> Listed | None:
    """Read a line of LIST, as `ls -l` or `dir` write it; None for one that names nothing.

    Its times have no zone and no seconds, so they are left out. ProtocolError for an
    entry in another form: it must not be missing unseen.
    """
    line = line.rstrip("\r\n")
    if found := _UNIX.fullmatch(line):
        name, kind = found["name"], found["kind"]
        if kind == "l":
            return Listed(name.partition(" -> ")[0], "link")
        if kind == "d":
            return Listed(name, "folder")
        # A device has two numbers there.
        return Listed(name, "file", int(found["size"]) if found["size"].isdecimal() else 0)
    if found := _DOS.fullmatch(line):
        if found["size"].startswith("<"):
            return Listed(found["name"].lstrip(), "folder")
        return Listed(found["name"], "file", int(found["size"].replace(",", "")))
    if _ENTRY.match(line):
        raise ProtocolError(f"the server lists {line[:80]!a}, which cannot be read as an entry")
    return None


def seconds_of(time: str | None) -> float | None:
    """Return the seconds since 1970 of a time as MDTM and MLSD write it, which is in UTC."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d+)?", time or "")
    if found is None:
        return None
    whole = calendar.timegm(tuple(int(found[number]) for number in range(1, 7)))
    return whole + float(found[7] or 0)
