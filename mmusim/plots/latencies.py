"""Distributions of access latencies over all seeds, and the spread of the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from mmusim.analysis.inside import bins, histogram
from mmusim.base.histogram import Histogram
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.measure import Metrics
from mmusim.plots.ratios import title
from mmusim.plots.style import (
    LineStyle,
    in_style,
    key_below,
    line_styles,
    panels,
    readable_decades,
    two_lines,
)

Floats = NDArray[np.float64]
WHAT = {
    "latency": "accesses",
    "request": "requests",
    "postcopy_fault": "waits for pages",
}


class Curve(NamedTuple):
    """The share of accesses that took longer than a time, of one policy in one setting."""

    ns: Floats  # (points,)
    pooled: Floats  # (points,) of all seeds together
    low: Floats  # (points,) of the seed in which it is least
    high: Floats  # (points,) of the seed in which it is most
    total: int


def longer_than(runs: Sequence[Metrics], of: str = "latency") -> Curve:
    """Return the share of accesses, or requests, that took longer, pooled and seed by seed.

    The pooled curve is a description. The seed is the unit of replication, so the band from the
    lowest seed to the highest shows the uncertainty.

    Raises
    ------
    ValueError
        If no run has such times.
    """
    pooled = Histogram()
    own = [found for found in (histogram(run, of) for run in runs) if found.count]
    for found in own:
        pooled.merge(found)
    starts, counts = bins(pooled)
    if not len(starts):
        raise ValueError(f"no run has a {of} to show; choose another figure")
    filled = np.flatnonzero(pooled.counts)
    each = np.array(
        [1 - np.cumsum(found.counts)[filled] / found.count for found in own]
    )  # fmt: skip
    x = np.maximum(np.append(starts, pooled.maximum), 1)
    one = np.ones(1)
    return Curve(
        x,
        np.concatenate([one, 1 - np.cumsum(counts) / counts.sum()]),
        np.concatenate([one, each.min(axis=0)]),
        np.concatenate([one, each.max(axis=0)]),
        pooled.count,
    )


@in_style
def latencies(
    outcome: Outcome, results: Sequence[SettingResult] | None = None, of: str = "latency"
) -> Figure:
    """Draw the share of accesses that take longer than a time (CCDF), a panel a setting.

    Both axes are logarithmic. A line is all seeds together, its band reaches from the lowest seed
    to the highest. `of`: "latency" of accesses, "request", or "postcopy_fault".
    """
    shown = outcome.settings if results is None else results
    figure, axes = panels(len(shown))
    for ax, result in zip(axes, shown, strict=True):
        floor = 1.0
        for policy, curve, style in _curves(outcome, result, of):
            floor = min(floor, 0.5 / curve.total)
            _draw(ax, curve.ns, curve.pooled, curve.low, curve.high, policy, style)
        ax.set(xscale="log", yscale="log", title=two_lines(title(result)), xlabel="latency (ns)")
        ax.set_ylim(floor, 1.5)
        ax.yaxis.set_minor_locator(NullLocator())
        readable_decades(ax)
    axes[0].set_ylabel(f"share of {WHAT[of]} that\ntake longer (1 - ECDF)")
    key_below(figure, axes[0])
    return figure


@in_style
def ecdf(
    outcome: Outcome, results: Sequence[SettingResult] | None = None, of: str = "latency"
) -> Figure:
    """Draw the share of accesses that take at most a time (ECDF), a panel a setting.

    The time axis is logarithmic; line and band as in :func:`latencies`.
    """
    shown = outcome.settings if results is None else results
    figure, axes = panels(len(shown))
    for ax, result in zip(axes, shown, strict=True):
        for policy, curve, style in _curves(outcome, result, of):
            _draw(ax, curve.ns, 1 - curve.pooled, 1 - curve.high, 1 - curve.low, policy, style)
        ax.set(
            xscale="log",
            title=two_lines(title(result)),
            xlabel="latency (ns)",
            ylim=(-0.02, 1.02),
        )
        readable_decades(ax)
    axes[0].set_ylabel(f"share of {WHAT[of]} that\ntake at most this (ECDF)")
    key_below(figure, axes[0])
    return figure


def _curves(outcome: Outcome, result: SettingResult, of: str) -> list[tuple[str, Curve, LineStyle]]:
    styles = line_styles(outcome.experiment.policies.all)
    return [
        (policy, longer_than(runs, of), styles[policy])
        for policy, runs in result.runs.items()
        if any(histogram(run, of).count for run in runs)
    ]


def _draw(
    ax: Axes, x: Floats, y: Floats, low: Floats, high: Floats, policy: str, style: LineStyle
) -> None:
    ax.fill_between(x, low, high, step="post", color=style.colour, alpha=0.22, linewidth=0)
    ax.step(
        x, y, where="post", color=style.colour, linestyle=style.line, linewidth=1.4, label=policy
    )
