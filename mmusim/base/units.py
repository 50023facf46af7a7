"""Sizes in bytes and times in nanoseconds, and the parsers of units that users write.

Inside mmusim a time is an ``int`` of nanoseconds and a size is an ``int`` of bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

PAGE: Final = 4096
PAGES_PER_REGION: Final = 512  # a region is what one 2 MiB spte maps
REGION: Final = PAGE * PAGES_PER_REGION
MOST_SEEDS: Final = 100_000
"""Largest number of seeds of a setting."""
MOST_BYTES: Final = 1 << 62
"""Upper bound of sizes and rates. The sum of two fits 63 bits."""

NS: Final = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9}
BYTES: Final = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "bytes": 1, "kbytes": 1 << 10,
}  # fmt: skip
"""Units as tools print them. `kbytes` are those of QEMU, of 1,024 bytes."""
_BITS: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SECOND: Final = ("s", "sec", "second")
RATES: Final[dict[str, int | Fraction]] = {
    **{f"{unit}/{second}": size for second in _SECOND for unit, size in BYTES.items()},
    **{
        f"{size}{bits}": Fraction(factor, 8)
        for size, factor in _BITS.items()
        for bits in (
            *(f"{bits}/{second}" for second in _SECOND for bits in ("bit", "bits", "b")), "bps",
        )
    },
    "mbps": Fraction(10**6, 8),
}  # fmt: skip
"""Units of networks. `Gbit/s`, `Gbits/sec` (iperf), `Gb/s` and `Gbps` are the same; QEMU prints
`mbps` for Mbit/s and `bytes/second`.
"""

_LISTED: Final = frozenset([
    *NS, *(unit for unit in BYTES if not unit.endswith("bytes")),
    *(f"{unit}/s" for unit in BYTES if not unit.endswith("bytes")), "Mbit/s", "Gbit/s", "%",
])  # fmt: skip
"""Units that messages list. The parser accepts more spellings."""

_QUANTITY = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,2})?)\s*([A-Za-zµ%/]+)\s*")


def _quantity(text: str, units: Mapping[str, int | Fraction], example: str) -> Fraction:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units or len(match[1]) > 4000:
        if text.strip().startswith("-") and _QUANTITY.fullmatch(text.strip()[1:]):
            raise ValueError(f"must not be negative; write e.g. {example}")
        names = [unit for unit in units if unit in _LISTED]
        raise ValueError(f"must be a number and a unit of {', '.join(names)}; write e.g. {example}")
    return Fraction(match[1].replace("_", "")) * units[match[2]]


def _whole(amount: Fraction, what: str, example: str) -> int:
    """Round to whole bytes, halves up. Sizes and rates have no other rule of rounding.

    Tools print `1986.83MiB/s`, which does not mean a fraction of a byte.
    """
    rounded = math.floor(amount + Fraction(1, 2))
    if amount and not rounded:
        raise ValueError(f"must be {what} or more; write e.g. {example}")
    if rounded >= MOST_BYTES:
        raise ValueError(f"must be less than {MOST_BYTES >> 60} EiB; write e.g. {example}")
    return rounded


def parse_ns(text: str) -> float:
    """Read a time such as ``"1.5us"``; return nanoseconds, possibly fractional.

    Raises
    ------
    ValueError
        If the text is not a number followed by a known unit.
    """
    ns = _quantity(text, NS, '"300ms"')
    if ns >= 10**18:
        raise ValueError('must be shorter than 30 years; write e.g. "300ms"')
    return float(ns)


def parse_bytes(text: str) -> int:
    """Read a size such as ``"4GiB"`` or ``"12466991104B"``; return bytes, rounded to whole ones.

    Raises
    ------
    ValueError
        If the text is not a number followed by a known unit, is less than half a byte but not 0, or
        does not fit 62 bits.
    """
    return _whole(_quantity(text, BYTES, '"4GiB"'), "a byte", '"4GiB"')


def parse_rate(text: str) -> int:
    """Read a rate such as ``"1986.83MiB/s"`` or ``"10Gbps"``; return bytes per second, rounded.

    Raises
    ------
    ValueError
        As :func:`parse_bytes`.
    """
    return _whole(_quantity(text, RATES, '"128MiB/s"'), "a byte per second", '"128MiB/s"')


def parse_fraction(text: str) -> float:
    """Read a share such as ``"20%"``; return a number from 0 to 1.

    Raises
    ------
    ValueError
        If the text is not a percentage from 0 to 100.
    """
    share = _quantity(text, {"%": 1}, '"20%"')
    if share > 100:
        raise ValueError('must lie between 0% and 100%; write e.g. "20%"')
    return float(share) / 100


def show_ns(ns: float) -> str:
    """Write a time for people: ``11.4 ms``."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= 0.99995 * size:
            return f"{ns / size:.4g} {unit}"
    return f"{ns:.4g} ns"


def show_number(value: float) -> str:
    """Write a number for people: whole with separators if it is large, else six digits.

    From 1e15 on with an exponent: a bound that is open in practice has 300 digits.
    """
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.6g}"


def show_mean(value: float) -> str:
    """Write a mean count or a ratio for people: whole above 1000, else with four digits."""
    if 1e3 <= abs(value) < 1e15:
        return show_number(round(value))
    return show_number(float(f"{value:.4g}"))


def show_bytes(size: int) -> str:
    """Write a size exactly, in the largest binary unit that divides it."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % BYTES[unit] == 0:
            return f"{size // BYTES[unit]}{unit}"
    return f"{size}B"
