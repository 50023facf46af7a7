"""Control variates: values that a run drew from a known distribution are replaced by their mean.

A grace period of SRCU takes 60 us in the median and 2 ms at the 99th percentile. One or two of them
are in the `protect_time` of each run, so with 30 seeds an interval of a ratio covers 89 times of
100. The profile has the mean of a grace period, and the metric contains the period as a summand. So
the metric with the mean in its place has the same expectation and a fraction of the variance
(Law, "Simulation Modeling and Analysis", 11.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from mmusim.config.settings import Setting
from mmusim.metrics.measure import Metrics

CONTROLLED: Final = ("protect_time",)
"""Metrics that contain every grace period of a run as it was drawn."""


def controlled(setting: Setting, runs: Sequence[Metrics]) -> list[Metrics]:
    """Return runs with expected grace periods in the place of drawn ones, where they are known.

    Parameters
    ----------
    setting : Setting
        The setting of the runs.
    runs : sequence of Metrics
        Runs of one policy.
    """
    mean = setting.costs["c_srcu"].mean()
    return [_controlled(run, mean) for run in runs]


def _controlled(run: Metrics, mean: float) -> Metrics:
    drawn, times = run.values.get("grace_time"), run.values.get("grace_periods")
    if not times or drawn is None:
        return run
    changed = {name: run.values[name] - drawn + times * mean for name in CONTROLLED}
    return replace(run, values={**run.values, **changed})
