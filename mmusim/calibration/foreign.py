"""Measurements that others made: samples or histograms as CSV, perf trace, bpftrace.

Every reader returns what was measured in nanoseconds: samples, or counts of half-open bins.

* **CSV of samples**: a column of times; its header may carry the unit (``latency_us``).
* **CSV of a histogram**: columns ``low``, ``high`` and ``count``, with a unit as above.
* **bpftrace**: the text that ``hist()`` and ``lhist()`` print, ``[16, 32)  7 |@@|``.
* **perf trace**: lines with ``duration: 12.3 ms`` or ``( 0.012 ms ):``; the summary of
  ``perf trace -s`` has no distribution and is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from mmusim.base.errors import ConfigError
from mmusim.base.units import NS
from mmusim.costs.distributions import Empirical

Floats = NDArray[np.float64]

_BIN = re.compile(
    r"^\s*[\[(]\s*(-?[0-9.]+)([KMGT]?)\s*(?:,\s*(-?[0-9.]+|\.\.\.)([KMGT]?)\s*[)\]])?\]?\s+([0-9]+)\s*\|"
)
_PERF = re.compile(r"\(\s*([0-9.]+)\s*(ms|us)\s*\)|duration:?\s*([0-9.]+)\s*(ns|us|ms|s)\b")
SUFFIX: Final = {"": 1.0, "K": 1024.0, "M": 1024.0**2, "G": 1024.0**3, "T": 1024.0**4}
"""bpftrace writes powers of two short."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file says about one cost, in nanoseconds."""

    kind: str  # samples or histogram
    samples: Floats  # of samples
    edges: Floats  # (bins, 2) of a histogram
    counts: Floats  # (bins,)

    @property
    def count(self) -> int:
        """How many observations there are."""
        return len(self.samples) if self.kind == "samples" else int(self.counts.sum())


def read_foreign(path: Path, unit: str = "") -> Foreign:
    """Read a file of any of the known kinds; `unit` where the file does not say it.

    Raises
    ------
    ConfigError
        If it cannot be read, is of no known kind, or its unit is not known.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError.of(
            str(path), "file", None, f"cannot be read ({error})", "check path and permissions"
        ) from None
    lines = [line for line in text.splitlines() if line.strip()]
    if any(_BIN.match(line) for line in lines):
        return _bpftrace(lines, _factor(path, unit or "us"))
    if any(_PERF.search(line) for line in lines):
        return _perf(lines)
    if lines and re.search(r"[,;\t]|^[0-9.eE+_a-zA-Z()%-]+$", lines[0]):
        return _csv(path, lines, unit)
    raise _unknown(path)


def _unknown(path: Path) -> ConfigError:
    return ConfigError.of(
        str(path), "file", None, "is neither CSV, bpftrace nor perf trace",
        "give a column of times, columns low, high, count, or what hist() or perf trace prints",
    )  # fmt: skip


def _factor(path: Path, unit: str) -> float:
    if unit not in NS:
        raise ConfigError.of(
            str(path), "unit", unit, f"is not one of {', '.join(NS)}", "write e.g. COST=FILE:us"
        )
    return float(NS[unit])


def _bpftrace(lines: Sequence[str], factor: float) -> Foreign:
    edges, counts = [], []
    for line in lines:
        found = _BIN.match(line)
        if found is None:
            continue
        low = float(found[1]) * SUFFIX[found[2]]
        high = low + 1
        if found[3] and found[3] != "...":
            high = float(found[3]) * SUFFIX[found[4]]
        elif found[3] == "...":
            high = 2 * low  # open: bpftrace does not say how far it reaches
        if high > low >= 0:
            edges.append((low * factor, high * factor))
            counts.append(float(found[5]))
    return Foreign("histogram", np.zeros(0), np.array(edges), np.array(counts))


def _perf(lines: Sequence[str]) -> Foreign:
    ns = []
    for line in lines:
        found = _PERF.search(line)
        if found:
            value, unit = (found[1], found[2]) if found[1] else (found[3], found[4])
            ns.append(float(value) * NS[unit])
    return Foreign("samples", np.array(ns), np.zeros((0, 2)), np.zeros(0))


def _csv(path: Path, lines: Sequence[str], unit: str) -> Foreign:
    dialect = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(lines, delimiter=dialect))
    head = [name.strip().lower() for name in rows[0]]
    body = rows if _is_number(head[0]) else rows[1:]
    named = {re.sub(r"[_ (]*(ns|us|µs|ms|s)\)?$", "", name): i for i, name in enumerate(head)}
    suffix = next(
        (m[1] for name in head if (m := re.search(r"[_ (](ns|us|µs|ms|s)\)?$", name))), ""
    )
    factor = _factor(path, unit or suffix or ("ns" if _is_number(head[0]) else ""))
    try:
        if {"low", "high", "count"} <= named.keys():
            columns = np.array(
                [[float(row[named[key]]) for key in ("low", "high", "count")] for row in body]
            )
            if (columns[:, 1] <= columns[:, 0]).any() or (columns[:, 2] < 0).any():
                raise ConfigError.of(
                    str(path), "bins", None, "must have low < high and counts of at least 0",
                    "correct the table",
                )  # fmt: skip
            return Foreign("histogram", np.zeros(0), columns[:, :2] * factor, columns[:, 2])
        ns = np.array([float(row[0]) for row in body]) * factor
    except (ValueError, IndexError) as error:
        raise ConfigError.of(
            str(path), "file", None, f"has a value that is no number ({error})",
            "give one column of times, or low, high, count",
        ) from None  # fmt: skip
    if len(ns) == 0 or (ns < 0).any() or not np.isfinite(ns).all():
        raise ConfigError.of(
            str(path), "times", None, "must be finite and not negative, at least one of them",
            "correct the table",
        )  # fmt: skip
    return Foreign("samples", ns, np.zeros((0, 2)), np.zeros(0))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def from_bins(edges: Floats, counts: Floats) -> Empirical:
    """Return the distribution that is uniform within each bin."""
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
