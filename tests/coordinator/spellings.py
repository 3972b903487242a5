"""How people have written a way out of a folder, as the path of a URL or as a name in a message.

Each fix so far closed one spelling: relative, encoded, encoded twice, overlong
UTF-8, backslashes, absolute, with a NUL, with parameters, with empty segments.
"""

from __future__ import annotations

from itertools import product
from typing import Final
from urllib.parse import quote, unquote

_TARGETS = ("outside/secret", "etc/passwd")
_DOTS = ("..", "%2e%2e", ".%2e", "%2E.", "%252e%252e", "%25252e%25252e", "%%32%65%%32%65")
_SLASHES = (
    "/",
    "%2f",
    "%2F",
    "%252f",
    "%5c",
    "%5C",
    "%255c",
    "\\",
    "/%2f",
    "//",
    "/./",
    "%2f%2e%2f",
)


def _climbing() -> list[str]:
    found: list[str] = []
    for dots, slash in product(_DOTS, _SLASHES):
        up = dots + slash
        found += [up + _TARGETS[0], up * 2 + _TARGETS[0], f"team{slash}{up * 2}{_TARGETS[1]}"]
        found.append(f"team{slash}{dots}")
    return found


_OTHERS = [
    # Absolute, in all manners.
    *("/etc/passwd", "//etc/passwd", "///etc/passwd", "%2fetc%2fpasswd", "%2f%2fetc/passwd"),
    *("/%2e%2e/etc/passwd", "%252fetc%252fpasswd", "/", "//", "%2f", "/.", "/.."),
    *("\\etc\\passwd", "%5cetc%5cpasswd", "C:\\Windows\\win.ini", "C:%5cWindows%5cwin.ini"),
    *("\\\\host\\share\\x", "%5c%5chost%5cshare%5cx", "//host/share/x", "\\\\?\\C:\\x"),
    *("\\\\.\\pipe\\x", "..\\..\\x", "a\\..\\..\\x", "a%5c..%5cx", "a\\b", "%5c", "\\"),
    # Dots and nothing else.
    *(".", "..", "./", "../", "%2e", "%2e%2e", "%2e%2e%2f", "%252e", "./x", "x/.", "x/..", "x/./y"),
    *("x/../y", "x/%2e/y", "x/%2e%2e/y", "x/%252e%252e/y", ".%252e/x", "%2e%252e/x", "x/.%2e"),
    # Segments with nothing in them.
    *("x//y", "x//", "x%2f%2fy", "x/%2fy", "x%2f/y", "x///y", "%2fx", "x%252f%252fy"),
    # Bytes that end a string for some, and other control characters.
    *("%00", "x%00", "x%00.png", "%00/x", "../x%00", "x/%00/y", "%2500", "x%2500.txt", "x%252500"),
    *("x%0a", "x%0d%0ay", "x%250a", "%01", "%1b[31m", "x%7f", "x%c2%85y", "x%09y", "x%0b", "%08"),
    # UTF-8 that no encoder writes: longer than need be, cut, surrogates, single bytes.
    *("%c0%ae%c0%ae/x", "%c0%ae%c0%ae%c0%afx", "..%c0%afx", "..%c1%9cx", "%c0%2e%c0%2e/x"),
    *("%e0%80%ae%e0%80%ae/x", "%e0%80%afx", "..%e0%80%afx", "%f0%80%80%ae/x", "%f0%80%80%afx"),
    *(
        "%f8%80%80%80%afx",
        "%fc%80%80%80%80%afx",
        "%c0%80",
        "x%c0%80.txt",
        "%ed%a0%80",
        "%ff",
        "%fe",
    ),
    *("x%80", "x%e2%82", "%u002e%u002e%2fx%ff", "..%c0%9v%80", "%bf%f0%9f", "%a0/..", "..%01/x"),
    # Longer than any key may be.
    "x" * 1025,
    "x/" * 513 + "y",
    "%c3%a9" * 513,
    "..%2f" * 300,
]

# Refused wherever they stand for a key.
REFUSED: Final = list(dict.fromkeys([*_climbing(), *_OTHERS]))

# They look as bad, and mean nothing to the system that the folder is on: names.
ORDINARY: Final = [
    *(
        "\uff0e\uff0e/x",
        "\uff0e\uff0e\uff0fx",
        "\u2025/x",
        "\u2024\u2024/x",
        "x\u2215y",
        "x\u29f5y",
    ),
    *(
        "x\uff3cy",
        "\u2026",
        "..;",
        "..;/x",
        "x/..;/y",
        ";/x",
        "...",
        ".../x",
        "....//"[:4],
        ". .",
        "x.",
    ),
    *(
        "x...",
        ".. ",
        " ..",
        "..\u00a0",
        "C:",
        "C:/x",
        "c:x",
        "nul",
        "con.txt",
        "aux/x",
        "~",
        "~root/x",
    ),
    *(
        "$HOME/x",
        "${x}",
        "`x`",
        "$(x)",
        "|x",
        "x;y",
        "x:y",
        "x::$DATA",
        "x%",
        "100%",
        "100%zz",
        "%u2216x",
    ),
    *(
        "%%",
        "%g0",
        "x%2",
        "a b",
        "a+b=c&d",
        "c#d",
        "what?",
        "*",
        "[x]",
        "{x}",
        "'x'",
        '"x"',
        "<x>",
        "x,y",
    ),
    *(
        "-rf",
        "--help",
        "@x",
        "!x",
        ".hidden",
        "..hidden",
        "\u202ex",
        "x\u2028y",
        "名前",
        "e\u0301",
        "\u00e9",
    ),
]


def encoded(name: str) -> str:
    """Return an ordinary name as the path of a URL."""
    return quote(name, safe="/")


def harmless(key: str) -> bool:
    """Tell whether a key stays where it is, however often somebody decodes it."""
    for _ in range(6):
        segments = key.replace("\\", "/").split("/")
        if len(key.encode()) > 1024 or any(name in {"", ".", ".."} for name in segments):
            return False
        if "\\" in key or any(ord(char) < 32 or 127 <= ord(char) < 160 for char in key):
            return False
        key = unquote(key)
    return True
