"""Sizes and durations as people write and read them.

`KB`, `MB`, `KiB` and `MiB` all count in powers of 1,024: MLflow documents its
100 MB as 104,857,600 bytes, and one meaning is better than two.
"""

from __future__ import annotations

import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

_SHOWN = (("KiB", KIB), ("MiB", MIB), ("GiB", GIB))
_UNITS = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d+)?)\s*(s|m|min|h|d|w)", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes in "16MiB", "16M", "1.5g" or "1048576".

    Raises ValueError for what is no size, is negative or is not whole bytes.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not a size: write bytes, or a number with KiB, MiB, GiB or TiB"
        raise ValueError(msg)
    number, unit = match.groups()
    whole, _, decimals = number.partition(".")
    scale: int = 10 ** len(decimals)
    size, rest = divmod(int(whole + decimals) * _UNITS[unit.lower()], scale)
    if rest:
        msg = f"{text!r} is not a whole number of bytes"
        raise ValueError(msg)
    return size


def parse_duration(text: str) -> float:
    """Return the seconds in "30m", "24h", "1.5 d" or "0".

    Raises ValueError for what is no duration. Any other number needs a unit:
    who writes 24 may mean hours.
    """
    if text.strip() == "0":
        return 0.0
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        msg = f"{text!r} is not a duration: write a number with s, m, h, d or w, such as 24h"
        raise ValueError(msg)
    number, unit = match.groups()
    return float(number) * _SECONDS[unit.lower()]


def format_size(size: float) -> str:
    """Return `size` bytes as "512 B", "16 MiB" or "1.50 GiB"."""
    if abs(size) < KIB:
        return f"{size:.0f} B"
    unit, scale = next(
        ((name, scale) for name, scale in _SHOWN if abs(size) < KIB * scale), ("TiB", TIB)
    )
    value = size / scale
    return f"{value:.0f} {unit}" if value == int(value) else f"{value:.2f} {unit}"


def format_seconds(seconds: float) -> str:
    """Return a duration as "0.4 s", "12 s", "3 min 20 s", "2 h 5 min" or "3 d 4 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
