"""Where the vCPUs' time went: the ledger as stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.experiment.run import Outcome, SettingResult
from mmusim.plots.causes import HATCHES, colour_of
from mmusim.plots.ratios import title
from mmusim.plots.style import INK, headed, in_style, key_below, rows_of, sheet
from mmusim.vocabulary.causes import CAUSES, IDLE_CAUSES

MIN_SHARE: Final = 0.002
"""A cause whose share of every bar is below this is drawn as part of `other`."""


@in_style
def decomposition(outcome: Outcome, results: Sequence[SettingResult] | None = None) -> Figure:
    """Draw where the vCPUs' time in the measured phase went: mean over seeds, a bar a policy.

    Colours are those of the timeline; hatches tell the causes apart in print. Idle time is left
    out, and the axis says so.
    """
    shown = outcome.settings if results is None else results
    bars = [(result, policy) for result in shown for policy in result.runs]
    means = [
        {
            cause: float(np.mean([run.ledger.get(cause, 0) for run in result.runs[policy]])) / 1e6
            for cause in CAUSES
            if cause not in IDLE_CAUSES
        }
        for result, policy in bars
    ]
    seen = [c for c in means[0] if any(mean[c] > MIN_SHARE * sum(mean.values()) for mean in means)]
    widths = {cause: [mean[cause] for mean in means] for cause in seen}
    rest = [sum(mean.values()) - sum(mean[c] for c in seen) for mean in means]
    if any(r > 1e-9 for r in rest):
        widths["other"] = rest
    groups = [(title(result), list(result.runs)) for result in shown]
    places, headings = rows_of(groups)
    figure, axes = sheet(1.2 + 0.25 * (len(bars) + len(headings)) + 0.2 * -(-len(widths) // 4))
    ax: Axes = axes[0, 0]
    left = np.zeros(len(bars))
    for number, (cause, width) in enumerate(widths.items()):
        ax.barh(
            places, width, left=left, label=cause, color=colour_of(cause), height=0.72,
            hatch=HATCHES[number % len(HATCHES)], edgecolor=INK, linewidth=0.4,
        )  # fmt: skip
        left += np.array(width)
    ax.set_yticks(places, [policy for _, policy in bars])
    ax.set_ylim(places[-1] + 0.6, -0.6)
    headed(ax, headings)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    idle = any(
        run.ledger.get(c) for r, policy in bars for run in r.runs[policy] for c in IDLE_CAUSES
    )
    ax.set_xlabel("mean time of all vCPUs" + (" (ms), idle time left out" if idle else " (ms)"))
    key_below(figure, ax)
    return figure
