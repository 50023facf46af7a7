"""A table of comparisons as a coloured map: where a policy is better than the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from mmusim.comparison.compare import Comparison
from mmusim.plots.style import PAPER
from mmusim.vocabulary import METRICS

FULL: Final = 2.0
"""Colours are full from this difference on, in octaves: one extreme ratio would pale all others."""


def draw_map(
    ax: Axes,
    table: Mapping[str, Sequence[Comparison | None]],
    columns: Sequence[str],
    metric: str,
    has_colour: Callable[[Comparison], bool],
    label: Callable[[Comparison], str],
) -> None:
    """Draw the ratios of a metric: purple is better than the baseline, orange and a dot worse.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    table : mapping
        A row of comparisons by the name of the row, one for each of `columns`. None: there is none,
        which is drawn as a dash, as is a comparison without a ratio.
    columns : sequence of str
        Names of the columns.
    metric : str
        The metric that all of them compare; it says which direction is better.
    has_colour : callable
        Whether the difference of a comparison may be coloured.
    label : callable
        The text for a comparison that has a ratio.
    """
    rows = list(table.values())
    octaves = np.array([[_octaves(made) for made in row] for row in rows])
    coloured = np.array([[c is not None and has_colour(c) for c in row] for row in rows])
    most = min(max(float(np.abs(octaves[coloured]).max(initial=0.0)), 0.1), FULL)
    worse = (-1 if METRICS[metric].higher_is_better else 1) * octaves
    ax.pcolormesh(
        np.where(coloured, worse, 0.0), cmap="PuOr_r", norm=TwoSlopeNorm(0, -most, most),
        edgecolors=PAPER, linewidth=2,
    )  # fmt: skip
    for (y, x), is_coloured in np.ndenumerate(coloured):
        made = rows[y][x]
        text = label(made) if made is not None and made.ratio is not None else "–"
        dark = is_coloured and abs(octaves[y, x]) > 0.6 * most
        ink = "#ffffff" if dark else "#000000"  # on colour: the same on dark pages
        ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", color=ink, fontsize="small")
        if is_coloured and worse[y, x] > 0:
            ax.plot(x + 0.04, y + 0.2, ".", color=ink, markersize=5)
    ax.set_xticks(np.arange(len(columns)) + 0.5, columns)
    ax.set_yticks(np.arange(len(rows)) + 0.5, list(table))
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _octaves(made: Comparison | None) -> float:
    return float(np.log2(made.ratio.estimate)) if made and made.ratio else 0.0
