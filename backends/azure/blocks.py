"""Uploads as block ids: Azure has no uploads, only blocks that wait below the name of a blob.

A block id begins with the mark of its upload, then the number of the part, then what
is random in each attempt. So neither uploads of the same blob nor attempts of the
same part touch each other's blocks, and receipts say which of them are meant. All
ids of a blob must have one length: where somebody has left blocks with other ids,
ours take their length. Part number 0 is the upload itself: a block that is never
committed, of one byte while the upload is open and of two when it was given up.

Source: "Put Block" of the Azure Blob REST reference: ids have at most 64 bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from transfer.errors import UploadGoneError
from transfer.model import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LENGTH = 30
# Room for a mark and for attempts that do not collide.
LENGTHS = range(12, 65)
OPEN, GIVEN_UP = b"-", b"--"
_NONCE, _DIGITS = 32, 2
_MARK, _NUMBER, _ATTEMPT = 16, 3, 4


@dataclass(frozen=True, slots=True)
class Block:
    """A block that waits to be committed; `id` is base64, as on the wire."""

    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the id of an `Upload` says: its mark, and what the blob will be given at the end.

    `nonce` is that of the intent, `length` is that of its block ids in bytes.
    """

    nonce: str
    length: int = LENGTH
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def id(self) -> str:
        """As text: the nonce, the length, and base64 of the rest if there is any."""
        rest = ""
        if self.content_type or self.metadata:
            text = json.dumps([self.content_type, dict(self.metadata)], separators=(",", ":"))
            rest = base64.urlsafe_b64encode(text.encode()).decode()
        return f"{self.nonce}{self.length:02}{rest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the id of an `Upload`; UploadGoneError for what cannot be one."""
        nonce, length, rest = text[:_NONCE], text[_NONCE:][:_DIGITS], text[_NONCE + _DIGITS :]
        try:
            bytes.fromhex(nonce)
            if len(nonce) != _NONCE or int(length) not in LENGTHS:
                raise UploadGoneError(f"{text[:40]!r} is no upload of this store")
            said = json.loads(base64.urlsafe_b64decode(rest)) if rest else (None, {})
            content_type, metadata = said
        except (ValueError, TypeError, binascii.Error):
            raise UploadGoneError(f"{text[:40]!r} is no upload of this store") from None
        return cls(nonce, int(length), content_type, metadata)

    @property
    def marker(self) -> str:
        """The id of the block that stands for the upload."""
        return self._block(0, bytes(self.length))

    def block(self, number: int) -> str:
        """Return an id for the next attempt of a part."""
        return self._block(number, secrets.token_bytes(self.length))

    def _block(self, number: int, attempt: bytes) -> str:
        start = self._mark + number.to_bytes(_NUMBER, "big")
        return base64.b64encode(start + attempt[len(start) :]).decode()

    @property
    def _mark(self) -> bytes:
        return bytes.fromhex(self.nonce)[: min(_MARK, self.length - _NUMBER - _ATTEMPT)]

    def parts(self, blocks: Iterable[Block]) -> list[Receipt]:
        """Return what has arrived, by number; several attempts of a part may have.

        Raises UploadGoneError if the upload is none, or was given up.
        """
        found: list[Receipt] = []
        state = 0
        for block in blocks:
            number = self._number(block)
            if number == 0:
                state = block.size
            elif number is not None:
                found.append(Receipt(number, block.size, block.id))
        if state != len(OPEN):
            raise UploadGoneError("given up, or another upload to this blob was completed first")
        return sorted(found, key=lambda receipt: receipt.number)

    def _number(self, block: Block) -> int | None:
        """Return the part that a block is of, None for somebody else's."""
        raw = raw_id(block.id)
        mark = self._mark
        if len(raw) != self.length or not raw.startswith(mark):
            return None
        return int.from_bytes(raw[len(mark) :][:_NUMBER], "big")


def raw_id(block_id: str) -> bytes:
    """Return the bytes of a block id; none for what is not base64."""
    try:
        return base64.b64decode(block_id, validate=True)
    except (binascii.Error, ValueError):
        return b""


def matching_length(blocks: Iterable[Block]) -> int | None:
    """Return the length that ids must have beside these, None if ours cannot have it."""
    lengths = {len(raw_id(block.id)) for block in blocks}
    return lengths.pop() if len(lengths) == 1 and lengths <= set(LENGTHS) else None


def named(receipts: Sequence[Receipt], listed: Sequence[Receipt]) -> list[Receipt]:
    """Return the receipts with the ids of their blocks.

    A sender that cannot say which attempt it means (MLflow's, whose protocol knows only
    an ETag that Azure does not give) has made one; of several, none is chosen.
    """
    attempts: dict[int, list[Receipt]] = {}
    for receipt in listed:
        attempts.setdefault(receipt.number, []).append(receipt)
    return [_named(receipt, attempts.get(receipt.number, [])) for receipt in receipts]


def _named(receipt: Receipt, attempts: Sequence[Receipt]) -> Receipt:
    if receipt.etag or len(attempts) != 1:
        return receipt
    return Receipt(receipt.number, receipt.size, attempts[0].etag, receipt.checksum)
