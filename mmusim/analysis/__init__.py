"""The analysis API: functions that return pandas frames, for notebooks and figures.

Frames are tidy: each row is one observation, and units stand in the column names
(``phase_time_ns``). seaborn takes them without a change. ``docs/how-to/analysis.md`` lists them
with examples. :mod:`mmusim.plots` draws the figures that have a name.

May import ``experiment`` and what is below.
"""

from mmusim.analysis.answers import comparisons, load, metrics, runs, verdicts
from mmusim.analysis.hosts import costs
from mmusim.analysis.inside import latencies, ledger, operation_times, quantiles, rounds
from mmusim.analysis.moments import (
    counters,
    lock_holds,
    phases,
    stalls,
    timeline,
    utilisation,
)

__all__ = [
    "comparisons",
    "costs",
    "counters",
    "latencies",
    "ledger",
    "load",
    "lock_holds",
    "metrics",
    "operation_times",
    "phases",
    "quantiles",
    "rounds",
    "runs",
    "stalls",
    "timeline",
    "utilisation",
    "verdicts",
]
