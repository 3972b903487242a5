"""Which checksum an S3 store checks, and what it says of one: names, headers, fields.

Amazon S3 checks `x-amz-checksum-*` headers; many compatibles ignore them, a few
refuse them. A store that confirms the algorithm when an upload is opened is
taken at its word, one that refuses is not asked again.

Source: "Checking object integrity" in the Amazon S3 user guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer.checksums import Algorithm, Checksum, available

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transfer.settings import Checksumming

# The names of the algorithms as values and in elements.
_NAMES = {
    Algorithm.CRC32C: "CRC32C",
    Algorithm.CRC32: "CRC32",
    Algorithm.CRC64NVME: "CRC64NVME",
    Algorithm.SHA1: "SHA1",
    Algorithm.SHA256: "SHA256",
}
_HEADERS = [(name, f"x-amz-checksum-{name}") for name in _NAMES]
# Checksums of the whole that a client can compute from those of parts.
FULL_OBJECT = frozenset({Algorithm.CRC32C, Algorithm.CRC32, Algorithm.CRC64NVME})


def chosen(setting: Checksumming) -> Algorithm | None:
    """Return the algorithm that a setting stands for."""
    if setting == "none":
        return None
    return Algorithm.CRC32C if setting == "auto" else Algorithm(setting)


def create_headers(algorithm: Algorithm | None) -> dict[str, str]:
    """Return what asks for part checksums when an upload is opened."""
    if algorithm not in FULL_OBJECT:
        return {}
    return {
        "x-amz-checksum-algorithm": _NAMES[algorithm],
        "x-amz-checksum-type": "FULL_OBJECT",
    }


def confirmed(algorithm: Algorithm | None, headers: Mapping[str, str]) -> Algorithm | None:
    """Return the algorithm if the store has said that it checks parts by it.

    Content-MD5 needs no word: it is as old as S3, and part of HTTP.
    """
    if algorithm is Algorithm.MD5:
        return algorithm
    if algorithm is None or headers.get("x-amz-checksum-algorithm") != _NAMES[algorithm]:
        return None
    return algorithm


def fields(checksum: Checksum | None) -> dict[str, str]:
    """Return a checksum as an element of a document, such as `ChecksumCRC32C`."""
    if checksum is None or checksum.algorithm not in _NAMES:
        return {}
    return {f"Checksum{_NAMES[checksum.algorithm]}": checksum.base64}


def header(checksum: Checksum | None) -> dict[str, str]:
    """Return the header that binds a request to its content."""
    if checksum is None:
        return {}
    if checksum.algorithm is Algorithm.MD5:
        return {"Content-MD5": checksum.base64}
    return {f"x-amz-checksum-{checksum.algorithm}": checksum.base64}


def of_fields(answer: Mapping[str, str]) -> Checksum | None:
    """Return the checksum of a whole object, or of a part, from the document of an answer.

    One that is put together from those of parts ("abc=-3") covers no bytes, and
    does not count.
    """
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    return _first({name: answer.get(f"Checksum{element}") for name, element in _NAMES.items()})


def of_headers(headers: Mapping[str, str]) -> Checksum | None:
    """Return the checksum of a whole object from an answer of the data path."""
    if headers.get("x-amz-checksum-type", "FULL_OBJECT").upper() != "FULL_OBJECT":
        return None
    return _first({name: headers[header] for name, header in _HEADERS if header in headers})


def _first(values: Mapping[Algorithm, str | None]) -> Checksum | None:
    for algorithm, value in values.items():
        if value and "-" not in value and available(algorithm):
            try:
                return Checksum.from_base64(algorithm, value)
            except ValueError:
                continue
    return None
