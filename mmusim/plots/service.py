"""How an open-loop service fares before, during and after a migration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mmusim.base.units import NS
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.measure import Metrics
from mmusim.plots.latencies import latencies
from mmusim.plots.ratios import title
from mmusim.plots.style import in_style, key_below, line_styles, panels, two_lines

STEPS = 200
"""Points of a line, at most. A rate over less than two readings would be noise."""


@in_style
def service(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw the requests that wait against time, every seed, a panel a setting.

    Time 0 is the request of the migration. A mark on the axis is the end of a migration.

    Raises
    ------
    ValueError
        If no run followed a service.
    """
    shown = outcome.settings if results is None else results
    if not any(run.service for r in shown for runs in r.runs.values() for run in runs):
        raise ValueError(
            "no migration has an open-loop service and a lead or a tail; add them to its phase"
        )
    styles = line_styles(outcome.experiment.policies.all)
    figure, axes = panels(len(shown), 2.8, sharey=True)
    for ax, result in zip(axes, shown, strict=True):
        for policy, runs in result.runs.items():
            own = styles[policy]
            for number, run in enumerate(one for one in runs if one.service):
                x, y = waiting_by_time(run)
                ax.plot(x, y, linestyle=own.line, linewidth=0.9, color=own.colour,
                        label="" if number else policy)  # fmt: skip
                ax.plot(run.values["migration_time"] / NS["s"], 0, "^", color=own.colour,
                        markersize=5, clip_on=False, label="")  # fmt: skip
        ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        ax.set(title=two_lines(title(result)), xlabel="time since the request (s)")
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("requests that wait")
    key_below(figure, axes[0], 3)
    return figure


def postcopy_waits(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw how long faults wait for their pages in post-copy (CCDF), a panel a setting that has it.

    Raises
    ------
    ValueError
        If no run has post-copy.
    """
    shown = outcome.settings if results is None else results
    with_it = [
        result
        for result in shown
        if any(run.blocked is not None for runs in result.runs.values() for run in runs)
    ]
    if not with_it:
        raise ValueError("no migration came to post-copy; set driver.migration.postcopy_after")
    return latencies(outcome, with_it, "postcopy_fault")


def waiting_by_time(run: Metrics) -> tuple[list[float], list[int]]:
    """Return times in seconds and how many requests wait then: the most of each step."""
    at = np.array([one.at_ns for one in run.service]) / NS["s"]
    count = np.array([one.arrived - one.served for one in run.service])
    step = max(1, len(at) // STEPS)
    starts = np.arange(0, len(at), step)
    most = np.maximum.reduceat(count, starts)
    return at[starts].tolist(), most.tolist()
