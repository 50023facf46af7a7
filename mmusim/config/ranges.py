"""A range of a quantity with a unit, and the value at any share of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import Field

from mmusim.base.quantities import Strict, shown
from mmusim.base.units import (
    PAGE,
    parse_bytes,
    parse_fraction,
    parse_ns,
    parse_rate,
    show_bytes,
)


class Range(Strict):
    """``{ from = "500ns", to = "2us", scale = "log" }``; sizes and whole numbers go in steps."""

    from_: Annotated[str | int | float, Field(alias="from"), shown("500ns", "the unit of the key")]
    """Lowest value, as the key itself is written."""
    to: Annotated[str | int | float, shown("8us", "the unit of the key")]
    """Highest value, in the same unit."""
    scale: Annotated[Literal["linear", "log"], shown("log")] = "linear"
    """Spread the points evenly over the values, or over their logarithms."""
    step: Annotated[str | int | float | None, shown("1ms", "the unit of the key")] = None
    """Values are whole steps above `from`. Without it, whole numbers go in steps of 1, sizes in
    pages, and other values have six significant digits.
    """

    def at(self, share: float) -> Any:
        """Return the value at a share from 0 to 1 of the range, in the spelling of files.

        In steps, every value has an equal part of the range (on a linear scale). Values between
        steps have six significant digits.
        """
        kind = kind_of(self.from_)
        assert kind is not None
        low, high, step = kind.read(self.from_), kind.read(self.to), self._step(kind)
        start, end = (low - step / 2, high + step / 2) if step else (low, high)
        if self.scale == "log":
            start = max(start, low / 2)
            value = math.exp(math.log(start) + share * (math.log(end) - math.log(start)))
        else:
            value = start + share * (end - start)
        if step:
            most = math.floor((high - low) / step + 1e-9)
            value = low + step * min(max(round((value - low) / step), 0), most)
        return kind.show(value)

    def _step(self, kind: Kind) -> float:
        return kind.step if self.step is None else kind.read(self.step)

    def wrong(self) -> tuple[str, object, str, str] | None:
        """Return the wrong part, its value, the rule and a remedy; None if the range is correct."""
        kind, given = kind_of(self.from_), {".from": self.from_, ".to": self.to, ".step": self.step}
        kinds = {part: kind_of(value) for part, value in given.items() if value is not None}
        for part, its in kinds.items():
            if its is None:
                return part, given[part], "is neither a number nor a quantity", 'write e.g. "500ns"'
        assert kind is not None
        for part, its in kinds.items():
            if its is not kind and {its, kind} != {WHOLE, NUMBER}:
                assert its is not None
                rule = f"is {its.name}, and from is {kind.name}"
                return part, given[part], rule, "write all of a range in one unit"
        low, high = kind.read(self.from_), kind.read(self.to)
        if low >= high:
            return "", None, f"from {self.from_!r} to {self.to!r} is empty", "let it ascend"
        if self.scale == "log" and low <= 0:
            return ".from", self.from_, "must be above zero on a log scale", "begin higher"
        if self.step is not None and not 0 < kind.read(self.step) <= high - low:
            return ".step", self.step, "must be above zero and fit into the range", "take another"
        return None


class Kind(NamedTuple):
    """The kind of a value, with its reader and writer."""

    name: str
    read: Callable[[Any], float]
    show: Callable[[float], Any]
    step: float  # 0: it varies smoothly


def _show_ns(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if float(f"{ns:.6g}") >= size:
            return f"{_plain(ns / size)}{unit}"
    return f"{_plain(ns)}ns"


def _show_rate(rate: float) -> str:
    for unit, size in (("GB/s", 10**9), ("MB/s", 10**6)):
        if float(f"{rate:.6g}") >= size:
            return f"{_plain(rate / size)}{unit}"
    return f"{round(rate)}B/s"


def _plain(number: float) -> str:
    """Write six significant digits without an exponent."""
    return f"{float(f'{number:.6g}'):.15g}"


WHOLE: Final = Kind("a whole number", float, round, 1)
NUMBER: Final = Kind("a number", float, lambda value: float(f"{value:.6g}"), 0)
TEXTS: Final = (
    Kind("a time", parse_ns, _show_ns, 0),
    Kind("a size", parse_bytes, lambda size: show_bytes(round(size)), PAGE),
    Kind("a rate", parse_rate, _show_rate, 0),
    Kind("a share", parse_fraction, lambda share: f"{_plain(100 * share)}%", 0),
)


def kind_of(value: object) -> Kind | None:
    """Return what a value is; None if it is no quantity."""
    if isinstance(value, str):
        for kind in TEXTS:
            try:
                kind.read(value)
            except ValueError:
                continue
            return kind
        return None
    return WHOLE if isinstance(value, int) else NUMBER if isinstance(value, float) else None
