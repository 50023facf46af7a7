"""Which of two policies is better where: a metric's ratio over the swept settings, as a map."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from mmusim.analysis.answers import compared
from mmusim.experiment import Outcome
from mmusim.plots.style import PAPER, in_style, sheet
from mmusim.stats import Interval

MORE_IS_BETTER = ("worst_utilisation", "fault_free", "progress", "migrated", "guest_share")
"""Beginnings of the metrics of which more is better; of all others it is less."""


@in_style
def phase_diagram(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline over the settings.

    Columns are the values of the first swept key, rows all other labels. Purple is better than the
    baseline, orange worse, and a dot in the corner says worse where there is no colour; without
    colour the interval holds 1 (n.s.: not significant). A setting in which a figure is zero or
    missing has no number.

    Raises
    ------
    ValueError
        If the experiment sweeps nothing.
    """
    axis = next(iter(outcome.experiment.sweep), None)
    if axis is None:
        raise ValueError("the experiment has no sweep, so there is nothing to map; add one")
    baseline = outcome.experiment.policies.baseline
    table: dict[str, dict[str, Interval | None]] = {}
    for result in outcome.cells:
        labels = {key: str(value) for key, value in result.cell.labels.items()}
        column = labels.pop(axis)
        row = ", ".join(_short(key, value) for key, value in labels.items()) or "all"
        found = [c.ratio for c in compared(outcome, result, metric) if c.candidate == policy]
        table.setdefault(row, {})[column] = found[0] if found else None
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    figure, axes = sheet(1.4 + 0.42 * len(table))
    ax: Axes = axes[0, 0]
    _draw(ax, [[row.get(c) for c in columns] for row in table.values()], metric)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(table)) + 0.5, list(table))
    ax.set_xlabel(axis)
    ax.set_title(f"{metric}: {policy} / {baseline}", loc="left")
    figure.supxlabel(
        "purple: better than the baseline; orange, dotted: worse; n.s.: the 95 % interval holds 1",
        fontsize="small",
    )
    return figure


def _short(key: str, value: str) -> str:
    name = key.rpartition(".")[2]
    return value if name == "variant" else f"{name} {value}"


def _draw(ax: Axes, ratios: list[list[Interval | None]], metric: str) -> None:
    """Colour and label the settings."""
    log = np.array([[np.log2(r.estimate) if r is not None else 0.0 for r in row] for row in ratios])
    sure = np.array([[r is not None and 1 not in r for r in row] for row in ratios])
    most = max(float(np.abs(log).max()), 0.1)
    better = -1 if metric.startswith(MORE_IS_BETTER) else 1
    ax.pcolormesh(
        np.where(sure, better * log, 0.0), cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most),
        edgecolors=PAPER, linewidth=2,
    )  # fmt: skip
    for y, row in enumerate(ratios):
        for x, r in enumerate(row):
            dark = sure[y, x] and abs(log[y, x]) > 0.6 * most
            text = "–" if r is None else f"{r.estimate:.3g}" + ("" if sure[y, x] else " (n.s.)")
            black = "#ffffff" if dark else "#000000"  # on colour: the same on dark pages
            ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=black)
            if sure[y, x] and better * log[y, x] > 0:
                ax.plot(x + 0.06, y + 0.2, ".", color=black, markersize=5)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
