"""The analysis API: a handful of functions that return pandas frames, for notebooks and figures.

Frames are tidy: one observation a row, units in the column names (``phase_time_ns``), so that
seaborn takes them as they are. docs/analysis.md has the list with examples; :mod:`mmusim.plots`
draws the figures that have a name.
"""

from mmusim.analysis.answers import comparisons, load, metrics, runs, verdicts
from mmusim.analysis.hosts import costs
from mmusim.analysis.inside import bills, latencies, ledger, quantiles, rounds
from mmusim.analysis.moments import (
    counters,
    lock_holds,
    phases,
    stalls,
    timeline,
    utilisation,
)

__all__ = [
    "bills",
    "comparisons",
    "costs",
    "counters",
    "latencies",
    "ledger",
    "load",
    "lock_holds",
    "metrics",
    "phases",
    "quantiles",
    "rounds",
    "runs",
    "stalls",
    "timeline",
    "utilisation",
    "verdicts",
]
