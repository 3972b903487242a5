"""What stores say in the XML of an error: `<Error><Code>..</Code><Message>..</Message></Error>`.

S3, Cloud Storage (XML API) and Azure Blob have this in common. It is read leniently: proxies and
imitations write what they like, and an error that cannot be read must not hide the error.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from transfer.errors import ExistsError, PreconditionError, ThrottledError, TransferError
from transfer.statuses import error_of_status, retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

# By a store's own codes: which error it is, and what to do ("" if nothing can be said).
Codes: TypeAlias = "Mapping[str, tuple[type[TransferError], str]]"

_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})")


def code_and_reason(body: bytes) -> tuple[str, str]:
    """Return the code and the first line of the message, each "" if there is none."""
    return _text(_CODE.search(body)), _text(_MESSAGE.search(body))


def shown(text: str) -> str:
    """Return the part of a text that can be shown in a message, which is one line."""
    line = text.lstrip().partition("\n")[0][:300]
    return "".join(char for char in line if char.isprintable()).strip()


def error_of_code(
    codes: Codes,
    code: str,
    status: int,
    headers: Mapping[str, str],
    message: str,
    *,
    hint: str = "",
) -> TransferError:
    """Return the error that a code stands for; that of the status, with `hint`, for others."""
    kind, told = codes.get(code, (None, hint))
    if kind is None:
        return error_of_status(status, headers, message, hint=hint)
    if kind is ThrottledError:
        return ThrottledError(message, retry_after=retry_after(headers))
    return kind(message, hint=told)


def refused_overwrite(error: TransferError) -> TransferError:
    """Read a failed If-None-Match as what it was asked for."""
    return ExistsError(error.message) if isinstance(error, PreconditionError) else error


def _text(found: re.Match[bytes] | None) -> str:
    if found is None:
        return ""
    from html import unescape  # noqa: PLC0415 - seldom needed

    return shown(unescape(found[1].decode(errors="replace")))
