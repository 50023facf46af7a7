"""Which of two policies is better, and where: a metric's ratio over the swept settings, as
a map.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from mmusim.analysis.answers import compared
from mmusim.comparison.compare import Comparison
from mmusim.experiment.run import Outcome
from mmusim.plots.ratios import said
from mmusim.plots.style import PAPER, in_style, sheet
from mmusim.vocabulary import METRICS


@in_style
def phase_diagram(outcome: Outcome, metric: str, policy: str) -> Figure:
    """Draw a metric of `policy` relative to the baseline over the settings.

    Columns are the values of the first swept key, rows all other labels. Purple is better than the
    baseline, orange and a dot in the corner worse. Without colour the two are equivalent in the
    family of all settings and policies, the difference is too small to matter, or it is unknown. A
    setting in which a figure is zero or missing has no number.

    Raises
    ------
    ValueError
        If the experiment sweeps nothing.
    """
    axis = next(iter(outcome.experiment.sweep), None)
    if axis is None:
        raise ValueError("the experiment has no sweep, so there is nothing to map; add one")
    baseline = outcome.experiment.policies.baseline
    by_setting = compared(outcome, metric)
    table: dict[str, dict[str, Comparison | None]] = {}
    for result in outcome.settings:
        labels = {key: str(value) for key, value in result.setting.labels.items()}
        column = labels.pop(axis)
        row = ", ".join(_short(key, value) for key, value in labels.items()) or "all"
        found = [c for c in by_setting[result.setting.name] if c.candidate == policy and c.ratio]
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
        "purple: better than the baseline; orange, dotted: worse; no colour: neither is known",
        fontsize="small",
    )
    return figure


def _short(key: str, value: str) -> str:
    name = key.rpartition(".")[2]
    return value if name == "variant" else f"{name} {value}"


def _draw(ax: Axes, table: list[list[Comparison | None]], metric: str) -> None:
    """Colour and label the settings."""
    log = np.array([[np.log2(c.ratio.estimate) if c and c.ratio else 0 for c in r] for r in table])
    sure = np.array([[c is not None and not said(c) for c in row] for row in table])
    most = max(float(np.abs(log).max()), 0.1)
    better = -1 if METRICS[metric].higher_is_better else 1
    ax.pcolormesh(
        np.where(sure, better * log, 0.0), cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most),
        edgecolors=PAPER, linewidth=2,
    )  # fmt: skip
    for y, row in enumerate(table):
        for x, c in enumerate(row):
            dark = sure[y, x] and abs(log[y, x]) > 0.6 * most
            text = "–"
            if c is not None and c.ratio is not None:
                text = f"{c.ratio.estimate:.3g}" + (f" ({said(c)})" if said(c) else "")
            black = "#ffffff" if dark else "#000000"  # on colour: the same on dark pages
            ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=black)
            if sure[y, x] and better * log[y, x] > 0:
                ax.plot(x + 0.06, y + 0.2, ".", color=black, markersize=5)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
