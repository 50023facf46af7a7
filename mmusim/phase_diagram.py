"""Which of two policies is better where: a metric's ratio over the swept settings, as a map."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from mmusim.comparison import compare
from mmusim.experiment import Outcome
from mmusim.stats import Interval

WIDTH = 8.0  # inches
MORE_IS_BETTER = ("worst_utilisation", "fault_free", "progress")
"""Beginnings of the metrics of which more is better; of all others it is less."""


def phase_diagram(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline over the settings.

    Columns are the values of the first swept key, rows all other labels. Purple is better than the
    baseline, orange worse; without colour the interval holds 1. A setting in which a figure is
    zero or missing has no number.

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
        both = result.runs[baseline], result.runs[policy]
        there = all(metric in run.values for runs in both for run in runs)
        table.setdefault(row, {})[column] = compare(*both, metric).ratio if there else None
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    figure = Figure(figsize=(WIDTH, 1.3 + 0.42 * len(table)), layout="constrained")
    ax: Axes = figure.subplots()
    _draw(ax, [[row.get(c) for c in columns] for row in table.values()], metric)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(table)), list(table))
    ax.set_xlabel(axis.rpartition(".")[2])
    ax.set_title(f"{metric}: {policy} / {baseline}", loc="left")
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
    ax.imshow(
        np.where(sure, better * log, 0.0), cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most),
        aspect="auto",
    )  # fmt: skip
    for y, row in enumerate(ratios):
        for x, r in enumerate(row):
            dark = sure[y, x] and abs(log[y, x]) > 0.6 * most
            text = "–" if r is None else f"{r.estimate:.3g}" + ("" if sure[y, x] else " (n.s.)")
            ax.text(x, y, text, ha="center", va="center", color="white" if dark else "black")
    ax.grid(visible=False)
    ax.tick_params(length=0)
