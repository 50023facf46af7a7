"""Times that others measured, as plain values: samples or counts in bins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmusim.costs.distributions import Empirical

Floats = NDArray[np.float64]

_UNITS: Final = {
    "ns": "ns", "nsec": "ns", "nsecs": "ns", "nanoseconds": "ns",
    "us": "us", "µs": "us", "μs": "us", "usec": "us", "usecs": "us", "microseconds": "us",
    "ms": "ms", "msec": "ms", "msecs": "ms", "milliseconds": "ms",
    "s": "s", "sec": "s", "secs": "s", "seconds": "s",
}  # fmt: skip
_UNIT_OF_NAME = re.compile(rf"(?:^|[\s_.\-(\[@])({'|'.join(_UNITS)})[)\]]?$", re.IGNORECASE)

_RATE = re.compile(r"(?:^|[\s_.\-(\[/])(?:per|[kmgt]i?b|bytes|bits?|pages|ops)$", re.IGNORECASE)


class Summary(NamedTuple):
    """What a tool says of times that it does not keep: nothing of their shape."""

    mean: float
    error: float  # standard error of the mean
    rounding: float  # half a unit of the last digit printed
    least: float
    most: float
    observations: int

    def times(self, factor: float) -> Summary:
        """Return the same with every time multiplied by `factor`."""
        scaled = [factor * time for time in self[:5]]
        return Summary(scaled[0], scaled[1], scaled[2], scaled[3], scaled[4], self.observations)


@dataclass(frozen=True, slots=True)
class Foreign:
    """Times that a file holds: samples, counts in half-open bins, or a summary."""

    kind: str  # samples, histogram or summary
    samples: Floats  # (n,) of samples
    edges: Floats  # (bins, 2) of a histogram
    counts: Floats  # (bins,)
    summary: Summary | None = None
    note: str = ""  # what the times include, and what the file lacks

    @property
    def count(self) -> int:
        """How many observations there are."""
        if self.summary is not None:
            return self.summary.observations
        return len(self.samples) if self.kind == "samples" else int(self.counts.sum())

    def times(self, factor: float) -> Foreign:
        """Return the same with every time multiplied by `factor`."""
        scaled = self.summary.times(factor) if self.summary is not None else None
        return replace(
            self, samples=self.samples * factor, edges=self.edges * factor, summary=scaled
        )

    def median(self) -> float:
        """Return the median, of a histogram as if each bin were uniform, of a summary its mean."""
        if self.summary is not None:
            return self.summary.mean
        if self.kind == "samples":
            return float(np.median(self.samples))
        return float(from_bins(self.edges, self.counts).quantile(0.5))

    def mean(self) -> float:
        """Return the mean, of a histogram as if each bin were uniform."""
        if self.summary is not None:
            return self.summary.mean
        if self.kind == "samples":
            return float(self.samples.mean())
        return float((self.edges.mean(axis=1) * self.counts).sum() / self.counts.sum())


@dataclass(frozen=True, slots=True)
class Series:
    """One of the things that a file measures."""

    name: str  # a column, a map, a system call or the reason of an exit; empty if there is none
    unit: str  # of its times; empty if the file does not say
    data: Foreign
    likely: bool = True  # False: used only on request by name
    costs: tuple[str, ...] = ()  # for which it needs no request by name, whatever else there is
    moments: bool = False  # its numbers say when, not how long


def samples(values: Sequence[float], note: str = "") -> Foreign:
    """Return samples as they are."""
    made = np.array(values, np.float64)
    return Foreign("samples", made, np.zeros((0, 2)), np.zeros(0), note=note)


def summarised(summary: Summary, note: str) -> Foreign:
    """Return a mean with its error; the distribution is unknown."""
    return Foreign("summary", np.zeros(0), np.zeros((0, 2)), np.zeros(0), summary, note)


def histogram(
    edges: Sequence[tuple[float, float]], counts: Sequence[float], note: str = ""
) -> Foreign:
    """Return counts of half-open bins."""
    made = np.array(edges, np.float64).reshape(-1, 2)
    return Foreign("histogram", np.zeros(0), made, np.array(counts, np.float64), note=note)


def unit_of(name: str) -> str:
    """Return the unit that a name ends with: ``delay_us``, ``Latency (ms)``; empty if none.

    A rate ends with a unit too (``faults_per_s``, ``dirty_MB_s``) and is no time.
    """
    found = _UNIT_OF_NAME.search(name.strip())
    if found is None or _RATE.search(name.strip()[: found.start()]):
        return ""
    return _UNITS[found[1].lower()]


def from_bins(edges: Floats, counts: Floats) -> Empirical:
    """Return the distribution that is uniform within each bin, and has nothing between them.

    Parameters
    ----------
    edges : ndarray, shape (bins, 2)
        Lower and upper end of each bin, which do not overlap.
    counts : ndarray, shape (bins,)
        Not negative, at least one above zero.

    Raises
    ------
    ValueError
        If every bin is empty.
    """
    order = np.argsort(edges[:, 0])
    edges, counts = edges[order], counts[order]
    some = counts > 0
    edges, counts = edges[some], counts[some]
    if not len(counts):
        raise ValueError("the histogram is empty; count something")
    upto = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    p: list[float] = [0.0]
    ns: list[float] = [float(edges[0, 0])]
    for i, (low, high) in enumerate(edges):
        if low > ns[-1]:  # nothing lies between two bins: the table jumps
            p.append(min(float(np.nextafter(upto[i], 1.0)), 1.0) if upto[i] else 0.0)
            ns.append(float(low))
        p.append(float(upto[i + 1]))
        ns.append(float(high))
    p[-1] = 1.0
    keep = [i for i in range(len(p)) if i == len(p) - 1 or p[i] < p[i + 1]]
    return Empirical(tuple(p[i] for i in keep), tuple(ns[i] for i in keep))
