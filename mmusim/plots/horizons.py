"""Which of two policies is better, by horizon: a metric's ratio over the windows of every setting,
as a map.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from mmusim.analysis.horizons import SURE, is_sure, over_windows
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome
from mmusim.plots.style import PAPER, in_style, sheet
from mmusim.vocabulary import METRICS

FULL: Final = 2.0
"""Colours are full from this difference on, in octaves: one cell would pale all others."""


@in_style
def horizons(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline: a row a setting, a column a window.

    Purple is better than the baseline, orange and a dot in the corner worse. Colour needs three
    things: a difference in the family of all cells that matters, ten times or more beyond a
    quantile, and the same sign on 90 % of the hosts that were tried. The share of hosts stands
    behind the ratio.

    Raises
    ------
    ConfigError
        If the driver has no windows, or the metric is none of the guest's.
    """
    table = over_windows(outcome, metric, policy)
    columns = list(next(iter(table.values()), {}))
    figure, axes = sheet(1.5 + 0.3 * len(table))
    ax: Axes = axes[0, 0]
    _draw(ax, [[row[name] for name in columns] for row in table.values()], metric)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(table)) + 0.5, [name or "all" for name in table])
    baseline = outcome.experiment.policies.baseline
    ax.set_title(f"{metric}: {policy} / {baseline}", loc="left")
    hosts = f", and the sign on {SURE:.0%} of {outcome.hosts} hosts" if outcome.hosts else ""
    figure.supxlabel(
        f"purple: better than the baseline; orange, dotted: worse; colour needs a difference{hosts}"
        "\n*: fewer than ten times beyond the quantile"
        + ("; in brackets: share of hosts with this sign" if outcome.hosts else ""),
        fontsize="small",
    )
    return figure


def _draw(ax: Axes, table: list[list[Comparison | None]], metric: str) -> None:
    """Colour and label the cells."""
    log = np.array([[np.log2(c.ratio.estimate) if c and c.ratio else 0 for c in r] for r in table])
    sure = np.array([[c is not None and is_sure(c) for c in row] for row in table])
    most = min(max(float(np.abs(log[sure]).max(initial=0.0)), 0.1), FULL)
    worse = -1 if METRICS[metric].higher_is_better else 1
    ax.pcolormesh(
        np.where(sure, worse * log, 0.0), cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most),
        edgecolors=PAPER, linewidth=2,
    )  # fmt: skip
    for (y, x), is_coloured in np.ndenumerate(sure):
        dark = is_coloured and abs(log[y, x]) > 0.6 * most
        black = "#ffffff" if dark else "#000000"  # on colour: the same on dark pages
        ax.text(x + 0.5, y + 0.5, _label(table[y][x]), ha="center", va="center", color=black,
                fontsize="small")  # fmt: skip
        if is_coloured and worse * log[y, x] > 0:
            ax.plot(x + 0.04, y + 0.2, ".", color=black, markersize=5)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _label(made: Comparison | None) -> str:
    if made is None or made.ratio is None:
        return "–"
    held = f" ({made.over_hosts.holds.estimate:.0%})" if made.over_hosts else ""
    return f"{made.ratio.estimate:.3g}{'*' if made.caveat else ''}{held}"
