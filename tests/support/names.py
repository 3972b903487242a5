"""Two hundred names that hurt somebody: a shell, a URL, an XML document, a case-blind disk."""

from __future__ import annotations

import string
import unicodedata

from tests.conformance.suite import AWKWARD

_READ_AS_SOMETHING_ELSE = [
    "%", "%%", "%2F", "%2e%2e", "%00", "%zz", "+", "a++b", "a=b&c=d", "&amp;", "<b>&'\"</b>",
    "?uploads", "a?partNumber=1&uploadId=x", "a;type=i", "x#fragment", "user:password@host",
    "http:", "file:", "C:", "back\\slash", "$HOME", "`id`", "$(id)", "!!", "~", "~root",
    "-", "--", "--help", "con", "nul", "aux.txt", "index.html", "null", "None", "0", "-1",
    "true", "{}",
]  # fmt: skip
_WHITE_AND_UNSEEN = [
    " ", "   ", "tab\tin", "\ttab", "line\nbreak", "carriage\rreturn", "bell\x07", "\x7f",
    "no\u00a0break", "zero\u200bwidth", "\u202eright to left", "bom\ufeff",
    "ideographic\u3000space",
]  # fmt: skip
_SCRIPTS = [
    "ﬁ-ligature", "İstanbul-\u0131", "ß-ẞ", "Å-Å", "日本語.bin", "עברית", "العربية", "हिन्दी", "ไทย",
    "Ελληνικά", "русский", "🚀🏽.bin", "\U0001d4b3-astral", "👩\u200d👩\u200d👧", "\ue000-private",
]  # fmt: skip
_PLACES = [
    ".hidden/.deeper/.file", ".git/config", "a/ /b", " /x", "a /b ", "-/-", "%20/%2F", "+/+",
    "?/?", "&/=", "ü/ü", "/".join("abcdefghijklmnopqrstuvwxyz"), "/".join(["long" * 20] * 5),
    "...", "..a", "a..", "a./b.", ".transfer", "x.partial", "x.receipts",
]  # fmt: skip
_LONG = ["y" * 255, "ü" * 127, "名" * 85, "%" * 85]
_TWINS = [unicodedata.normalize(form, "Ünïcödé 한국어") for form in ("NFC", "NFD")]


def awkward_names() -> list[str]:
    """Return the names, all different; none is a folder of another."""
    signs = [sign for sign in string.punctuation if sign != "/"]
    names = [*AWKWARD, *_READ_AS_SOMETHING_ELSE, *_WHITE_AND_UNSEEN, *_SCRIPTS, *_PLACES]
    names += [*_LONG, *_TWINS]
    names += [f"in{sign}side" for sign in signs] + [f"signs/{sign}front" for sign in signs]
    names += [f"signs/end{sign}" for sign in signs]
    found = list(dict.fromkeys(names))
    folders = {name[:place] for name in found for place in range(len(name)) if name[place] == "/"}
    return [name for name in found if name not in folders]
