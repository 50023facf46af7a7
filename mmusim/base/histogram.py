"""Log-linear histograms of times: bounded relative error, exact merge, constant memory."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]

BITS: Final = 7
"""Mantissa bits of (time + 128 ns): a bin is 1 ns or at most 1/64 of its values wide."""
BINS: Final = 64 << BITS


def bin_of(ns: ArrayLike) -> Ints:
    """Return the bins of whole non-negative times; 0 to 127 ns have a bin each."""
    bits = (np.asarray(ns, np.float64) + (1 << BITS)).view(np.int64)
    return np.asarray((bits >> (52 - BITS)) - ((1023 + BITS) << BITS))


def bin_start(bins: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest time of each bin in nanoseconds."""
    octave, part = np.divmod(np.asarray(bins, np.int64), 1 << BITS)
    return np.asarray(np.ldexp((1 << BITS) + part.astype(float), octave) - (1 << BITS))


_NOTHING: Final = np.zeros(BINS, np.int64)
_NOTHING.flags.writeable = False


class Histogram:
    """Counts of times in nanoseconds, with exact count, sum, minimum and maximum.

    A quantile is read with a relative error of at most 1/128 plus 1 ns.
    """

    __slots__ = ("counts", "maximum", "minimum", "total_ns")

    def __init__(self) -> None:
        """Start empty."""
        self.counts: Ints = _NOTHING  # all empty ones share it
        self.total_ns = 0
        self.minimum = 0
        self.maximum = 0

    @property
    def count(self) -> int:
        """How many times were added."""
        return int(self.counts.sum())

    def add(self, ns: ArrayLike) -> None:
        """Add times in whole ns, an array of any shape.

        Raises
        ------
        ValueError
            If a time is negative.
        """
        ns = np.asarray(ns, np.int64)
        if ns.size == 0:
            return
        low, high = int(ns.min()), int(ns.max())
        if low < 0:
            raise ValueError(f"a time of {low} ns is negative; add times of at least 0 ns")
        self.minimum = low if not self.counts.any() else min(self.minimum, low)
        self.maximum = max(self.maximum, high)
        self.total_ns += int(ns.sum())
        first, last = bin_of(np.array([low, high])).tolist()
        if self.counts is _NOTHING:
            self.counts = np.zeros(BINS, np.int64)
        self.counts[first : last + 1] += np.bincount(bin_of(ns) - first, minlength=last - first + 1)

    def __eq__(self, other: object) -> bool:
        """Tell whether both hold the same."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return self.sparse() == other.sparse()

    __hash__ = None  # type: ignore[assignment] # it changes

    def merge(self, other: Histogram) -> None:
        """Add everything another histogram holds."""
        if other.counts is _NOTHING or not other.counts.any():
            return
        if self.counts is _NOTHING:
            self.counts = other.counts.copy()
            self.total_ns, self.minimum, self.maximum = other.total_ns, other.minimum, other.maximum
            return
        self.minimum = min(self.minimum, other.minimum) if self.counts.any() else other.minimum
        self.maximum = max(self.maximum, other.maximum)
        self.total_ns += other.total_ns
        self.counts = self.counts + other.counts

    def quantile(self, p: float) -> float:
        """Return the time in nanoseconds that a share `p` of the times does not exceed.

        Raises
        ------
        ValueError
            If the histogram is empty, or `p` does not lie between 0 and 1.
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p = {p} is not a share; give one between 0 and 1")
        count = self.count
        if count == 0:
            raise ValueError("an empty histogram has no quantiles; add times first")
        rank = max(1, int(np.ceil(p * count)))
        bin_ = int(np.searchsorted(np.cumsum(self.counts), rank))
        middle = (bin_start(bin_) + bin_start(bin_ + 1) - 1) / 2
        return float(np.clip(middle, self.minimum, self.maximum))

    def sparse(self) -> dict[str, list[int]]:
        """Return bins and counts that are not zero, for storage."""
        bins = np.flatnonzero(self.counts)
        return {
            "bins": bins.tolist(),
            "counts": self.counts[bins].tolist(),
            "exact": [self.total_ns, self.minimum, self.maximum],
        }

    @classmethod
    def from_sparse(cls, data: dict[str, list[int]]) -> Histogram:
        """Rebuild what :meth:`sparse` wrote."""
        made = cls()
        made.counts = np.zeros(BINS, np.int64)
        made.counts[data["bins"]] = data["counts"]
        made.total_ns, made.minimum, made.maximum = data["exact"]
        return made
