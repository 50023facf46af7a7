"""How latencies differ from the baseline, quantile by quantile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator, SymmetricalLogLocator

from mmusim.comparison.compare import shift as quantile_differences
from mmusim.experiment.run import Outcome, SettingResult
from mmusim.metrics.few_beyond import too_few_beyond
from mmusim.plots.latencies import WHAT
from mmusim.plots.ratios import title
from mmusim.plots.style import (
    INK,
    PAPER,
    hollow_note,
    in_style,
    key_below,
    line_styles,
    panels,
    two_lines,
)  # fmt: skip

TICKS: Final = {0.5: "p50", 0.9: "p90", 0.99: "p99", 0.999: "p99.9", 0.9999: "p99.99"}
LINEAR_NS: Final = 10.0
"""Differences up to this are drawn to scale, larger ones logarithmically."""


@in_style
def shift(
    outcome: Outcome, results: Sequence[SettingResult] | None = None, of: str = "latency"
) -> Figure:
    """Draw the shift function: quantile differences to the baseline, a panel a setting.

    The band is simultaneous over the quantiles, so where it does not hold 0 the quantile differs.
    The axis of quantiles is stretched towards the tail: it is -log10(1 - p). A mark is hollow where
    fewer than ten times of some run lie beyond its quantile.

    Raises
    ------
    ValueError
        If there are fewer than four seeds, of which no band can be made.
    UnlikeRunsError
        If a run has no such latencies.
    """
    shown = outcome.settings if results is None else results
    policies = outcome.experiment.policies
    styles = line_styles(policies.all)
    figure, axes = panels(len(shown), 2.8)
    any_few = False
    for ax, result in zip(axes, shown, strict=True):
        for policy in policies.compare:
            found = quantile_differences(result.runs[policies.baseline], result.runs[policy], of)
            own, x = styles[policy], nines(found.p)
            ax.plot(x, found.difference_ns, linestyle=own.line, marker=own.mark, markersize=4,
                    color=own.colour, label=policy)  # fmt: skip
            few = [too_few_beyond(found.times, p) for p in found.p.tolist()]
            ax.plot(x[few], found.difference_ns[few], own.mark, markersize=4, color=own.colour,
                    markerfacecolor=PAPER, zorder=3)  # fmt: skip
            any_few = any_few or any(few)
            ax.fill_between(x, found.low_ns, found.high_ns, color=own.colour, alpha=0.2, lw=0)
        ax.axhline(0, color=INK, linewidth=1)
        ax.set_title(two_lines(title(result)))
        _scales(ax)
    axes[0].set_ylabel(f"latency of {WHAT[of]} relative to\n{policies.baseline} (ns)")
    key_below(figure, axes[0], note=hollow_note() if any_few else "")
    return figure


def nines(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return where quantiles lie on the axis: the number of nines, -log10(1 - p)."""
    return np.asarray(-np.log10(1 - np.asarray(p, float)))


def _scales(ax: Axes) -> None:
    ax.set_yscale("symlog", linthresh=LINEAR_NS)
    ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=LINEAR_NS))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(EngFormatter(sep=""))
    ax.set_xticks(nines(list(TICKS)), list(TICKS.values()), fontsize="x-small")
    ax.set_xlabel("quantile of a run")
